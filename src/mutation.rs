//! Rules that can be broken on purpose, to prove that the simulation notices.
//!
//! A simulation that finds nothing may be blind. So each rule that it is to guard has a switch here, asked with
//! [`is_on`] at the very place where the rule stands. Without the feature `mutations` the answer is a constant and
//! nothing is left of it; with it, a thread turns on one mutation at a time for everything that runs on it, which
//! suffices for clusters that live on one thread each. `scripts/mutations.sh` shows that each one is caught.

/// A rule left out, or replaced by a more obvious one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// A replica acks every write, also one that is older than what it shows.
    NoStaleRule,
    /// A write is stamped anew at the first STALE instead of after N-W+1.
    RetryAtFirstStale,
    /// A coordinator takes STALE for an ack.
    StaleIsAck,
    /// A node that is syncing answers reads, from what little it holds.
    SyncingAnswers,
    /// A node that is syncing counts toward W.
    SyncingAcks,
    /// A node that has lost its memory confirms reverts for the process that it was. That a confirmation has to come
    /// from the same process covers the rule that a syncing node confirms nothing, so both are left out.
    SyncingConfirmsRevert,
    /// A node that is syncing counts for FLUSHALL.
    SyncingCountsForFlush,
    /// A write is taken back although somebody has read it.
    ShownIsIgnored,
    /// An open record keeps nothing below it.
    OneRecordPerKey,
    /// `reverted` is said after N-W+1 confirmations.
    RevertedTooEarly,
    /// A late message brings back what was taken back.
    VoidMarkIsIgnored,
    /// Versions of two runs of a node may be equal.
    NoStartNumber,
    /// A read returns the newest answer and leaves it on the few replicas that have it.
    NoWriteBack,
    /// FLUSHALL is stamped by the clock of the coordinator alone.
    FlushByOwnClock,
    /// A node takes the mark of a FLUSHALL whatever it has promised to updates.
    FlushIgnoresPromises,
    /// Tombstones are dropped when they are old enough, whoever is away.
    TombstonesByAge,
    /// Hints are sent however old they are.
    HintsOutliveTombstones,
    /// A replica that has answered an update takes older writes all the same.
    PromiseIsIgnored,
    /// A replica takes older writes once the update is over, whatever became of it.
    PromiseIsForgotten,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::NoStaleRule,
        Self::RetryAtFirstStale,
        Self::StaleIsAck,
        Self::SyncingAnswers,
        Self::SyncingAcks,
        Self::SyncingConfirmsRevert,
        Self::SyncingCountsForFlush,
        Self::ShownIsIgnored,
        Self::OneRecordPerKey,
        Self::RevertedTooEarly,
        Self::VoidMarkIsIgnored,
        Self::NoStartNumber,
        Self::NoWriteBack,
        Self::FlushByOwnClock,
        Self::FlushIgnoresPromises,
        Self::TombstonesByAge,
        Self::HintsOutliveTombstones,
        Self::PromiseIsIgnored,
        Self::PromiseIsForgotten,
    ];
}

/// Whether this rule is broken on the present thread.
#[cfg(not(feature = "mutations"))]
#[inline]
#[must_use]
pub const fn is_on(_mutation: Mutation) -> bool {
    false
}

#[cfg(feature = "mutations")]
pub use switched::{is_on, set};

#[cfg(feature = "mutations")]
mod switched {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static PRESENT: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Breaks this rule, and no other, on the present thread.
    pub fn set(mutation: Option<Mutation>) {
        PRESENT.set(mutation);
    }

    /// Whether this rule is broken on the present thread.
    #[must_use]
    pub fn is_on(mutation: Mutation) -> bool {
        PRESENT.get() == Some(mutation)
    }
}
