//! How many replicas make a read or a write: the arithmetic of N, W and R (Gifford, "Weighted Voting for Replicated
//! Data", 1979; `DeCandia` et al., "Dynamo", 2007).
//!
//! A client may choose its own R and W (QUORUM). Two rules rest on numbers that readers and writers have in common, so a
//! choice must not move them: a write that N-C+1 replicas refused is stamped anew, because no read of more than one
//! replica answers what is on fewer than C. Therefore such a read, whoever asks, has its answer on the configured W at
//! least, and a write counts refusals by the smaller of its W and the configured one ([`Quorum::of_read`],
//! [`Quorum::stale_limit_beside`]). What a client with its own quorum is promised:
//!
//! * Clients of one key that all have R + W > N, 2 W > N, R > 1 and no smaller W than configured read and write it linearizably.
//! * READ r with r > 1 and r + (configured W) > N shows every write that was acknowledged to clients with the configured
//!   WRITE or a larger one, and never goes back in time.
//! * A write with a smaller WRITE than configured is acknowledged sooner and promised less: whoever restarts, flushes or
//!   reads to change (INCR) asks as many replicas as the configured W demands, and may miss it.
//! * A write with a larger one is on more replicas when it is acknowledged. Where another write of the key overtakes it on a
//!   replica, it may end as an error where a write with the configured W would have been stamped anew.
//! * No client's choice takes anything from what the others are promised.

/// The quorum sizes of a cluster; `1 <= write, read <= replicas`, as the configuration guarantees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quorum {
    /// N: replicas of each key.
    pub replicas: u16,
    /// W: replicas that have a write before it is answered.
    pub write: u16,
    /// R: replicas whose newest record answers a read.
    pub read: u16,
}

impl Quorum {
    /// STALE answers after which a write can never be read: every write quorum then holds a replica that refuses it.
    #[must_use]
    pub fn stale_limit(self) -> u16 {
        self.replicas - self.write + 1
    }

    /// The quorum of a read by a client that chose this one: its `write` is on how many replicas the answer of a read of
    /// several has to be. Not fewer than configured, so that what is refused by [`Self::stale_limit_beside`] replicas is
    /// never answered; beyond that, as many as the client's next read is sure to meet, if it writes to so many.
    #[must_use]
    pub(super) fn of_read(self, configured: Self) -> Self {
        let met_by_the_next = self.replicas - self.read + 1;
        Self { write: self.write.min(met_by_the_next).max(configured.write), ..self }
    }

    /// [`Self::stale_limit`] for a write of a client that chose this quorum.
    #[must_use]
    pub(super) fn stale_limit_beside(self, configured: Self) -> u16 {
        Self { write: self.write.min(configured.write), ..self }.stale_limit()
    }

    /// Whether a write with these numbers of acks and of answers still to come can no longer reach its quorum.
    #[must_use]
    pub fn write_is_lost(self, acks: u16, outstanding: u16) -> bool {
        acks + outstanding < self.write
    }

    /// Replicas that an update asks: so many that they meet every write quorum, and that those who lack what they all show
    /// are too few to refuse it for good.
    #[must_use]
    pub fn update(self) -> u16 {
        (self.replicas - self.write + 1).max(self.write)
    }

    /// For a read that has to see each update that was answered before it, whoever carried that out: an update is on the
    /// `configured` W, so among so many is one that has it.
    #[must_use]
    pub fn behind_updates(self, configured: Self) -> Self {
        Self { read: self.read.max(self.replicas - configured.write + 1), ..self }
    }

    /// Replicas of the others that a restarted node must have heard so that no acknowledged write can be missing.
    #[must_use]
    pub fn catch_up(self) -> u16 {
        self.replicas - self.write + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_stand_as_in_the_table() {
        // (N, W, stale limit = catch up)
        let table = [
            (1, 1, 1),
            (2, 1, 2),
            (2, 2, 1),
            (3, 1, 3),
            (3, 2, 2),
            (3, 3, 1),
            (4, 2, 3),
            (4, 3, 2),
            (4, 4, 1),
            (5, 1, 5),
            (5, 2, 4),
            (5, 3, 3),
            (5, 4, 2),
            (5, 5, 1),
        ];
        for (replicas, write, limit) in table {
            let quorum = Quorum { replicas, write, read: 1 };
            assert_eq!(quorum.stale_limit(), limit, "{quorum:?}");
            assert_eq!(quorum.catch_up(), limit, "{quorum:?}");
            assert!(limit + write > replicas, "a stale quorum meets every write quorum: {quorum:?}");
        }
    }

    #[test]
    fn a_read_behind_updates_meets_them_all_and_asks_no_fewer_than_its_client_wants() {
        for replicas in 1..=5 {
            for configured in every(replicas) {
                for reader in every(replicas) {
                    let behind = reader.behind_updates(configured);
                    assert!(behind.read + configured.write > replicas && behind.read <= replicas);
                    assert_eq!(Quorum { read: reader.read, ..behind }, reader);
                    assert!(behind.read >= reader.read);
                }
            }
        }
    }

    /// Every quorum of a cluster with so many replicas.
    fn every(replicas: u16) -> impl Iterator<Item = Quorum> {
        let pairs = (1..=replicas).flat_map(move |write| (1..=replicas).map(move |read| (write, read)));
        pairs.map(move |(write, read)| Quorum { replicas, write, read })
    }

    #[test]
    fn no_choice_lets_a_read_answer_what_a_write_takes_for_unreadable() {
        for replicas in 1..=5 {
            for configured in every(replicas) {
                for (writer, reader) in every(replicas).flat_map(|writer| every(replicas).map(move |r| (writer, r))) {
                    let refusing = writer.stale_limit_beside(configured);
                    let answering = reader.of_read(configured).write;
                    assert!(refusing + answering > replicas, "{configured:?} {writer:?} {reader:?}");
                    assert!(answering <= replicas && answering >= configured.write);
                }
            }
        }
    }

    #[test]
    fn who_does_not_choose_gets_what_is_configured() {
        for configured in (1..=5).flat_map(every) {
            assert_eq!(configured.of_read(configured), configured);
            assert_eq!(configured.stale_limit_beside(configured), configured.stale_limit());
        }
    }

    #[test]
    fn a_choice_that_makes_reads_meet_writes_keeps_reads_from_going_back() {
        for replicas in 1..=5 {
            for configured in every(replicas) {
                for chosen in every(replicas).filter(|chosen| chosen.read + chosen.write > replicas) {
                    let answering = chosen.of_read(configured).write;
                    assert!(answering + chosen.read > replicas, "{configured:?} {chosen:?}");
                }
            }
        }
    }

    #[test]
    fn a_write_is_lost_exactly_when_too_few_can_still_answer() {
        let quorum = Quorum { replicas: 3, write: 2, read: 1 };
        for (acks, outstanding, lost) in
            [(0, 3, false), (0, 2, false), (0, 1, true), (1, 1, false), (1, 0, true), (2, 0, false)]
        {
            assert_eq!(quorum.write_is_lost(acks, outstanding), lost, "{acks} acks, {outstanding} outstanding");
        }
    }
}
