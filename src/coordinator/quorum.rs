//! How many replicas make a read or a write: the arithmetic of N, W and R (Gifford, "Weighted Voting for Replicated
//! Data", 1979; `DeCandia` et al., "Dynamo", 2007).

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
    fn a_write_is_lost_exactly_when_too_few_can_still_answer() {
        let quorum = Quorum { replicas: 3, write: 2, read: 1 };
        for (acks, outstanding, lost) in
            [(0, 3, false), (0, 2, false), (0, 1, true), (1, 1, false), (1, 0, true), (2, 0, false)]
        {
            assert_eq!(quorum.write_is_lost(acks, outstanding), lost, "{acks} acks, {outstanding} outstanding");
        }
    }
}
