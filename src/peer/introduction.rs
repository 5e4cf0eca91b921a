//! The first command on every link: what a node says of itself when it dials.
//!
//! Beside its name and the cluster's it tells all settings that nodes must share, so that the first that differs can be named
//! to whoever has to mend it. Whether both nodes mean the same cluster is judged in [`admission`](super::admission).

use std::fmt;

use super::words::{bulk_number, bulk_version, parse_number, parse_start, shown};
use super::{CatchUp, IntroductionError};
use crate::codec::reply;
use crate::flush::FlushMarks;
use crate::ring::NodeId;
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

    /// The value of a setting, if the node has sent it.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
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
    use crate::ring::NodeIndex;

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

    #[test]
    fn an_introduction_of_absurdly_many_fields_is_malformed() {
        let args = vec![b"setting.replicas".as_slice(); 2 * FIELDS_MAX + 3];
        assert_eq!(Introduction::parse_args(&args), Err(malformed("too many fields")));
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let text = format!("{:?}", introduction("a"));
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
