//! Whether two nodes may talk: do both mean the same cluster?
//!
//! Nodes must agree on the ring to the last token, or a key's replicas would differ from node to node and writes would
//! vanish without a word. Comparing a fingerprint alone finds this but does not help anybody mend it, so both sides'
//! settings travel too and the first that differs is named. Before that comes the cluster secret, compared in constant
//! time: a stranger must learn nothing about the settings. What is answered is a [`Welcome`](super::Welcome).

use subtle::ConstantTimeEq;

use super::words::shown;
use super::{Introduction, LocalNode};
use crate::codec::reply;
use crate::ring::{NodeId, NodeIndex};

/// The error code before the words of an [`IntroductionError`] on the wire.
pub(super) const REFUSAL_CODE: &str = "NOPERM";

/// In place of a setting's value that a node did not send.
const ABSENT: &str = "(none)";

/// Why two nodes do not talk. Whoever configured them is at fault; no data has passed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IntroductionError {
    /// The nodes speak different versions of the peers' protocol.
    #[error("protocol version differs: {ours} here, {theirs} there")]
    ProtocolVersion {
        /// Ours.
        ours: u32,
        /// The other node's.
        theirs: u32,
    },
    /// The nodes belong to different clusters.
    #[error("cluster differs: '{ours}' here, '{theirs}' there")]
    Cluster {
        /// Ours.
        ours: String,
        /// The other node's.
        theirs: String,
    },
    /// The secrets differ, or one side has none.
    #[error("the cluster secret differs")]
    Secret,
    /// A node's address leads to itself, or two processes run under one name.
    #[error("node '{0}' met itself: an address that leads to the wrong node, or two processes with one name")]
    Yourself(NodeId),
    /// The other node is not in the configuration.
    #[error("node '{0}' is not in this node's configuration")]
    UnknownNode(NodeId),
    /// Another node answers at the address than the configuration says.
    #[error("'{expected}' was expected at this address, '{found}' answered")]
    OtherNode {
        /// The node that was dialled.
        expected: NodeId,
        /// The node that answered.
        found: NodeId,
    },
    /// A setting that all nodes must share differs.
    #[error("setting '{name}' differs: '{ours}' here, '{theirs}' there")]
    Setting {
        /// The setting's name.
        name: String,
        /// Our value.
        ours: String,
        /// The other node's value.
        theirs: String,
    },
    /// A newer run of the same node was seen already: this one is a leftover, or its clock was set back.
    #[error("start number {theirs} of '{node}' is too old: {remembered} was seen before")]
    StartTooOld {
        /// The other node.
        node: NodeId,
        /// The start number that it sent.
        theirs: u64,
        /// The highest one seen of it.
        remembered: u64,
    },
    /// A start number that no clock can have shown, and that the node could hardly exceed in its next run.
    #[error("the start number of '{0}' lies years ahead; set its clock right")]
    StartTooLate(NodeId),
    /// The command or reply is not an introduction or its answer.
    #[error("malformed introduction: {0}")]
    Malformed(String),
    /// The other node refused us, for this reason in its own words.
    #[error("refused by the peer: {0}")]
    Refused(String),
}

/// Answers an introduction on behalf of `node`: appends a welcome or a refusal to `out`, and returns whom the
/// connection belongs to from now on. `args` is the whole command, the word first.
///
/// # Errors
///
/// The reason of the refusal, for the log. The connection has then not introduced itself and may be closed.
pub fn answer_introduction(
    node: &dyn LocalNode,
    args: &[&[u8]],
    out: &mut Vec<u8>,
) -> Result<NodeIndex, IntroductionError> {
    let answer = Introduction::parse_args(args).and_then(|theirs| node.introduce(&theirs));
    match answer {
        Ok((from, welcome)) => {
            welcome.encode(out);
            Ok(from)
        }
        Err(error) => {
            reply::error(out, &format!("{REFUSAL_CODE} {error}"));
            Err(error)
        }
    }
}

/// Whether a node that introduces itself as `theirs` may be talked to, as far as introductions alone can tell.
///
/// # Errors
///
/// The first difference, in this order: protocol, cluster, secret, name, settings one by one, fingerprint.
pub fn check(ours: &Introduction, theirs: &Introduction) -> Result<(), IntroductionError> {
    if ours.protocol_version != theirs.protocol_version {
        let (ours, theirs) = (ours.protocol_version, theirs.protocol_version);
        return Err(IntroductionError::ProtocolVersion { ours, theirs });
    }
    if ours.cluster != theirs.cluster {
        // A stranger's words: they go to the log.
        let (ours, theirs) = (ours.cluster.clone(), shown(theirs.cluster.as_bytes()));
        return Err(IntroductionError::Cluster { ours, theirs });
    }
    if !same_secret(ours.secret.as_deref(), theirs.secret.as_deref()) {
        return Err(IntroductionError::Secret);
    }
    if ours.node == theirs.node {
        return Err(IntroductionError::Yourself(ours.node.clone()));
    }
    check_settings(ours, theirs)
}

fn same_secret(ours: Option<&[u8]>, theirs: Option<&[u8]>) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => ours.ct_eq(theirs).into(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn check_settings(ours: &Introduction, theirs: &Introduction) -> Result<(), IntroductionError> {
    let names = ours.settings.iter().chain(&theirs.settings).map(|(name, _)| name);
    for name in names {
        let (our_value, their_value) = (ours.setting(name), theirs.setting(name));
        if our_value != their_value {
            return Err(setting_differs(name, our_value.unwrap_or(ABSENT), their_value.unwrap_or(ABSENT)));
        }
    }
    if ours.fingerprint != theirs.fingerprint {
        let (ours, theirs) = (format!("{:x}", ours.fingerprint), format!("{:x}", theirs.fingerprint));
        return Err(setting_differs("ring fingerprint", &ours, &theirs));
    }
    Ok(())
}

fn setting_differs(name: &str, ours: &str, theirs: &str) -> IntroductionError {
    IntroductionError::Setting { name: name.to_owned(), ours: ours.to_owned(), theirs: theirs.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::testing::introduction;

    fn ours() -> Introduction {
        introduction("a")
    }

    fn refusal(change: impl FnOnce(&mut Introduction)) -> String {
        let mut theirs = introduction("b");
        change(&mut theirs);
        check(&ours(), &theirs).unwrap_err().to_string()
    }

    #[test]
    fn nodes_with_the_same_settings_in_any_order_talk() {
        let mut theirs = introduction("b");
        theirs.settings.reverse();
        assert_eq!(check(&ours(), &theirs), Ok(()));
    }

    #[test]
    fn each_difference_is_named() {
        assert_eq!(refusal(|their| their.protocol_version = 1), "protocol version differs: 5 here, 1 there");
        assert_eq!(refusal(|their| their.cluster = "live".into()), "cluster differs: 'test' here, 'live' there");
        assert_eq!(refusal(|their| their.secret = None), "the cluster secret differs");
        assert_eq!(refusal(|their| their.secret = Some(b"swordfisH".to_vec())), "the cluster secret differs");
        assert!(refusal(|their| their.node = NodeId::from("a")).starts_with("node 'a' met itself"));
        let replicas = refusal(|their| {
            their.settings[0].1 = "5".into();
            their.fingerprint = 1;
        });
        assert_eq!(replicas, "setting 'replicas' differs: '3' here, '5' there");
        let missing = refusal(|their| their.settings.truncate(1));
        assert_eq!(missing, "setting 'virtual_nodes' differs: '256' here, '(none)' there");
        let extra = refusal(|their| their.settings.push(("x".into(), "1".into())));
        assert_eq!(extra, "setting 'x' differs: '(none)' here, '1' there");
        let fingerprint = refusal(|their| their.fingerprint = 1);
        assert_eq!(fingerprint, "setting 'ring fingerprint' differs: 'f1' here, '1' there");
    }

    #[test]
    fn a_strangers_words_are_quoted_short_and_on_one_line() {
        let refused = refusal(|their| their.cluster = "\n".repeat(1000));
        assert!(refused.len() < 200 && !refused.contains('\n'), "{refused}");
    }

    #[test]
    fn a_secret_that_only_the_other_side_has_is_refused() {
        let open = Introduction { secret: None, ..ours() };
        assert_eq!(check(&open, &introduction("b")), Err(IntroductionError::Secret));
    }

    #[test]
    fn a_stranger_learns_no_setting() {
        let theirs = Introduction { secret: None, settings: vec![], ..introduction("b") };
        assert_eq!(check(&ours(), &theirs), Err(IntroductionError::Secret));
    }
}
