//! The first command on every link: who dials, and whether both nodes mean the same cluster.
//!
//! Nodes must agree on the ring to the last token, or a key's replicas would differ from node to node and writes would
//! vanish without a word. Comparing a fingerprint alone finds this but does not help anybody mend it, so both sides'
//! settings travel too and the first that differs is named. Before that comes the cluster secret, compared in constant
//! time: a stranger must learn nothing about the settings. What is answered is a
//! [`Welcome`](super::Welcome).

use std::fmt;

use subtle::ConstantTimeEq;

use super::words::{bulk_number, bulk_version, parse_number, parse_start, shown};
use super::{CatchUp, LocalNode};
use crate::codec::reply;
use crate::flush::FlushMarks;
use crate::ring::{NodeId, NodeIndex};
use crate::version::{StartNumber, Version};

/// The version of what nodes say to each other. Nodes of different versions do not talk.
pub const PROTOCOL_VERSION: u32 = 5;
/// The word of the introduction.
pub const INTRODUCTION_COMMAND: &str = "RHELLO";
/// Stands before a setting's name among the introduction's arguments.
const SETTING_PREFIX: &str = "setting.";
/// Fields that an introduction has at most, several times as many as any version sends: every setting is looked up among
/// all.
const FIELDS_MAX: usize = 256;
/// The error code before the words of an [`IntroductionError`] on the wire.
pub(super) const REFUSAL_CODE: &str = "NOPERM";

/// What a node says of itself when it dials: `RHELLO protocol n cluster name node id start n fingerprint hex
/// state blank|syncing|caught-up flushed version decided version [secret s] [setting.name value ..]`. Unknown words are passed over.
#[derive(Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The cluster's name.
    pub cluster: String,
    /// The sender.
    pub node: NodeId,
    /// [`PROTOCOL_VERSION`] of the sender.
    pub protocol_version: u32,
    /// A hash over everything that the ring depends on.
    pub fingerprint: u64,
    /// What the fingerprint covers, and every other setting that all nodes must share, as names and values.
    pub settings: Vec<(String, String)>,
    /// The sender's run.
    pub start: StartNumber,
    /// How far the sender has come in catching up.
    pub catch_up: CatchUp,
    /// The flushes that the sender knows of.
    pub flush_marks: FlushMarks,
    /// The cluster's secret, if one is configured.
    pub secret: Option<Vec<u8>>,
}

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

/// In place of a setting's value that a node did not send.
const ABSENT: &str = "(none)";

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

impl Introduction {
    /// Appends the introduction as a command to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let fields = 8 + usize::from(self.secret.is_some()) + self.settings.len();
        reply::array(out, 1 + 2 * fields);
        reply::bulk(out, INTRODUCTION_COMMAND.as_bytes());
        reply::bulk(out, b"protocol");
        bulk_number(u64::from(self.protocol_version), out);
        reply::bulk(out, b"cluster");
        reply::bulk(out, self.cluster.as_bytes());
        reply::bulk(out, b"node");
        reply::bulk(out, self.node.as_str().as_bytes());
        reply::bulk(out, b"start");
        bulk_number(self.start.get(), out);
        reply::bulk(out, b"fingerprint");
        reply::bulk(out, format!("{:x}", self.fingerprint).as_bytes());
        reply::bulk(out, b"state");
        reply::bulk(out, self.catch_up.word().as_bytes());
        reply::bulk(out, b"flushed");
        bulk_version(self.flush_marks.begun, out);
        reply::bulk(out, b"decided");
        bulk_version(self.flush_marks.decided, out);
        if let Some(secret) = &self.secret {
            reply::bulk(out, b"secret");
            reply::bulk(out, secret);
        }
        for (name, value) in &self.settings {
            reply::bulk(out, format!("{SETTING_PREFIX}{name}").as_bytes());
            reply::bulk(out, value.as_bytes());
        }
    }

    /// Reads a command that is already split into its arguments, the word first.
    ///
    /// # Errors
    ///
    /// [`IntroductionError::Malformed`] when a field is missing or is not what it should be.
    pub fn parse_args(args: &[&[u8]]) -> Result<Self, IntroductionError> {
        let (pairs, []) = args.get(1..).unwrap_or_default().as_chunks::<2>() else {
            return Err(malformed("a word without a value"));
        };
        if pairs.len() > FIELDS_MAX {
            return Err(malformed("too many fields"));
        }
        let field = |name: &str| pairs.iter().find(|[word, _]| word.eq_ignore_ascii_case(name.as_bytes()));
        let needed = |name: &str| field(name).map(|[_, value]| *value).ok_or_else(|| malformed(&format!("no {name}")));
        let protocol_version = parse_number(needed("protocol")?).and_then(|number| u32::try_from(number).ok());
        Ok(Self {
            protocol_version: protocol_version.ok_or_else(|| malformed("protocol"))?,
            cluster: text(needed("cluster")?)?,
            node: NodeId::from(text(needed("node")?)?.as_str()),
            start: parse_start(needed("start")?).ok_or_else(|| malformed("start"))?,
            fingerprint: parse_fingerprint(needed("fingerprint")?)?,
            catch_up: CatchUp::parse(needed("state")?).ok_or_else(|| malformed("state"))?,
            flush_marks: FlushMarks {
                begun: Version::parse(needed("flushed")?).ok_or_else(|| malformed("flushed"))?,
                decided: Version::parse(needed("decided")?).ok_or_else(|| malformed("decided"))?,
            },
            secret: field("secret").map(|[_, secret]| secret.to_vec()),
            settings: parse_settings(pairs)?,
        })
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Introduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introduction")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("protocol_version", &self.protocol_version)
            .field("fingerprint", &format_args!("{:x}", self.fingerprint))
            .field("settings", &self.settings)
            .field("start", &self.start)
            .field("catch_up", &self.catch_up)
            .field("flush_marks", &self.flush_marks)
            .field("secret", &self.secret.as_ref().map(|_| "(hidden)"))
            .finish()
    }
}

fn parse_settings(pairs: &[[&[u8]; 2]]) -> Result<Vec<(String, String)>, IntroductionError> {
    let setting = |[word, value]: &[&[u8]; 2]| {
        let name = word.strip_prefix(SETTING_PREFIX.as_bytes())?;
        Some(text(name).and_then(|name| Ok((name, text(value)?))))
    };
    pairs.iter().filter_map(setting).collect()
}

fn parse_fingerprint(value: &[u8]) -> Result<u64, IntroductionError> {
    u64::from_str_radix(&text(value)?, 16).map_err(|_| malformed("fingerprint"))
}

fn text(value: &[u8]) -> Result<String, IntroductionError> {
    match std::str::from_utf8(value) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(malformed(&format!("'{}' is not UTF-8", shown(value)))),
    }
}

pub(super) fn malformed(what: &str) -> IntroductionError {
    IntroductionError::Malformed(what.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::peer::testing::{decode_requests, introduction};

    fn parse(bytes: &[u8]) -> Result<Introduction, IntroductionError> {
        let requests = decode_requests(bytes);
        let args: Vec<&[u8]> = requests.first().args().collect();
        Introduction::parse_args(&args)
    }

    proptest! {
        #[test]
        fn an_introduction_survives_a_round_trip(
            cluster in ".*",
            node in ".*",
            protocol_version in any::<u32>(),
            fingerprint in any::<u64>(),
            settings in prop::collection::vec((".*", ".*"), 0..5),
            start in any::<u64>(),
            secret in any::<Option<Vec<u8>>>(),
        ) {
            let (node, start) = (NodeId::from(node.as_str()), StartNumber::new(start));
            let mark = |hlc| Version::new(crate::version::Hlc(hlc), NodeIndex(1), start);
            let flush_marks = FlushMarks { begun: mark(3), decided: mark(2) };
            let sent =
                Introduction { cluster, node, protocol_version, fingerprint, settings, start, catch_up: CatchUp::Partial, flush_marks, secret };
            let mut bytes = Vec::new();
            sent.encode(&mut bytes);
            prop_assert_eq!(parse(&bytes), Ok(sent));
        }
    }

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
    fn an_introduction_of_absurdly_many_fields_is_malformed() {
        let args = vec![b"setting.replicas".as_slice(); 2 * FIELDS_MAX + 3];
        assert_eq!(Introduction::parse_args(&args), Err(malformed("too many fields")));
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

    #[test]
    fn debug_output_hides_the_secret() {
        let text = format!("{:?}", ours());
        assert!(!text.contains("swordfish") && text.contains("hidden"), "{text}");
    }

    #[test]
    fn broken_introductions_are_malformed() {
        for line in [
            "RHELLO",
            "RHELLO protocol",
            "RHELLO protocol one cluster c node n start 1 fingerprint f",
            "RHELLO protocol 1 cluster c node n start 1 fingerprint g",
            "RHELLO protocol 1 cluster c node n start -1 fingerprint f",
            "RHELLO protocol 1 cluster c start 1 fingerprint f",
        ] {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let parsed = Introduction::parse_args(&args);
            assert!(matches!(parsed, Err(IntroductionError::Malformed(_))), "{line}: {parsed:?}");
        }
        assert!(Introduction::parse_args(&[]).is_err());
    }
}
