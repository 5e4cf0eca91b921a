//! A replica's part in updates: what it promises, and what it takes because of that.

use super::Replica;
use crate::peer::{PeerReply, UpdateRequest};
use crate::ring::{NodeIndex, Slot};
use crate::store::{Accepted, Copied, Lookup, Prepared, Written};
use crate::time::UnixMs;
use crate::version::Version;

impl Replica {
    /// Serves one request for an update, of the peer `from`.
    pub(super) fn serve_update(&self, from: NodeIndex, request: UpdateRequest<'_>, now: UnixMs, out: &mut Vec<u8>) {
        match request {
            UpdateRequest::Prepare { key, ballot, insists } => self.prepare_for_peer(key, (ballot, insists), now, out),
            UpdateRequest::Accept { key, value, ballot, base, expires_at } => {
                self.accept(key, value, expires_at, (ballot, base), now).encode(out);
            }
            UpdateRequest::Base { key, value, version, expires_at, ballot } => {
                self.copy_base(key, value, expires_at, (version, ballot), now).encode(out);
            }
            UpdateRequest::Call { id, protocol, words } => self.calls.take(from, id, protocol, &words).encode(out),
            UpdateRequest::Done { id, reply } => {
                self.calls.done(id, reply);
                PeerReply::Ok.encode(out);
            }
        }
    }

    /// Promises `ballot` for a key and lets `f` see what it is; unless the asker insists, only if nobody else may take that back.
    ///
    /// # Errors
    /// Why this replica promises nothing.
    pub(crate) fn prepare<T>(
        &self,
        slot: Slot,
        key: &[u8],
        (ballot, insists): (Version, bool),
        now: UnixMs,
        f: impl FnOnce(Lookup<'_>) -> T,
    ) -> Result<T, PeerReply> {
        if !self.may_answer(slot) {
            return Err(PeerReply::Syncing);
        }
        // The clock goes first: what is stamped here from now on is above what is promised.
        self.admit(ballot, None, now)?;
        self.promises_now(now)?;
        match self.store.prepare(slot, key, (ballot, insists), now, f) {
            Prepared::Shows(shown) => Ok(shown),
            Prepared::Withheld(uncertain) => Err(PeerReply::Withheld(uncertain)),
            Prepared::Promised(larger) => Err(PeerReply::Promised(larger)),
            Prepared::Crowded => Err(PeerReply::Refused("ERR too many updates are under way".to_owned())),
        }
    }

    fn prepare_for_peer(&self, key: &[u8], asked: (Version, bool), now: UnixMs, out: &mut Vec<u8>) {
        let begin = out.len();
        let prepared = self.prepare(Slot::of_key(key), key, asked, now, |lookup| encode_lookup(lookup, out));
        if let Err(refusal) = prepared {
            out.truncate(begin);
            refusal.encode(out);
        }
    }

    /// Takes an update's write under its ballot, if nothing newer than its base came in between.
    pub(crate) fn accept(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        (ballot, base): (Version, Version),
        now: UnixMs,
    ) -> PeerReply {
        if let Err(refusal) = self.admit(ballot, expires_at, now) {
            return refusal;
        }
        let slot = Slot::of_key(key);
        match self.store.accept(slot, key, value, expires_at, (ballot, base), now) {
            Accepted::Written(Written::Applied { .. }) if !self.may_ack(slot) => PeerReply::Syncing,
            Accepted::Written(Written::Applied { .. }) => PeerReply::Ok,
            Accepted::Written(Written::Stale(newer)) => PeerReply::Stale(newer),
            Accepted::Written(Written::Void) => PeerReply::Void,
            Accepted::Written(Written::Promised(other)) | Accepted::Refused(other) => PeerReply::Promised(other),
        }
    }

    /// Keeps the record that an update has seen, which this replica may lack.
    pub(crate) fn copy_base(
        &self,
        key: &[u8],
        value: Option<&[u8]>,
        expires_at: Option<UnixMs>,
        (version, ballot): (Version, Version),
        now: UnixMs,
    ) -> PeerReply {
        if let Err(refusal) = self.admit(version, expires_at, now) {
            return refusal;
        }
        let slot = Slot::of_key(key);
        match self.store.copy_base(slot, key, value, expires_at, (version, ballot), now) {
            Copied::Promised(other) | Copied::Unsettled(other) => PeerReply::Promised(other),
            _ if !self.may_ack(slot) => PeerReply::Syncing,
            Copied::Newest => PeerReply::Ok,
            Copied::Older(newer) => PeerReply::Stale(newer),
        }
    }
}

/// What a key is, as a reply to a peer.
pub(super) fn encode_lookup(lookup: Lookup<'_>, out: &mut Vec<u8>) {
    match lookup {
        Lookup::Missing => PeerReply::Missing.encode(out),
        Lookup::Tombstone { version } => PeerReply::encode_record(version, None, None, out),
        Lookup::Live(record) => {
            PeerReply::encode_record(record.version(), record.expires_at(), record.value(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterConfig, NodeConfig};
    use crate::ring::NodeId;
    use crate::time::WallClock;
    use crate::version::{Hlc, StartNumber};

    fn replica_of_three() -> Replica {
        let node = |number| NodeConfig {
            id: NodeId::from(format!("node-{number}").as_str()),
            addr: format!("127.0.0.1:700{number}"),
            announce: None,
        };
        let cluster = ClusterConfig {
            nodes: [1, 2, 3].map(node).into(),
            replication_factor: 3,
            write_quorum: 2,
            ..ClusterConfig::single_node()
        };
        Replica::new(cluster, NodeIndex(0), WallClock::System)
    }

    #[test]
    fn a_clock_gone_astray_does_not_keep_a_restarted_node_from_taking_writes() {
        let replica = replica_of_three();
        let (now, limit_ms) = (replica.wall.now(), replica.config.max_clock_drift_ms);
        let version =
            |after_ms| Version::new(Hlc::first_of(UnixMs(now.0 + after_ms)), NodeIndex(1), StartNumber::FIRST);
        let write = |version, now| replica.write(Slot::of_key(b"k"), b"k", Some(b"v"), version, None, now);

        replica.keep_promises(Hlc::first_of(UnixMs(now.0 + 3_600_000)), now);

        assert!(
            matches!(write(version(limit_ms - 1), now), PeerReply::Promised(_)),
            "what may have been promised is kept"
        );
        let later = UnixMs(now.0 + limit_ms + 1);
        assert!(!matches!(write(version(limit_ms + 1), later), PeerReply::Promised(_)), "and no more than that");
    }
}
