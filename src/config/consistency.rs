//! What N, W and R together promise to a client.

use std::fmt;

use super::ClusterConfig;

/// What a client may rely on, per key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consistency {
    /// Every operation takes effect at one moment between its request and its answer, whichever nodes are asked.
    Linearizable,
    /// A read returns the last acknowledged write, or one that is still in flight.
    LastAcknowledged,
    /// Reads may be old for a while; once writes stop, all replicas come to hold the same, namely the write that was
    /// acknowledged last.
    EventualLastWins,
    /// As before, but of two acknowledged writes the one with the faster clock may win.
    Eventual,
}

impl Consistency {
    /// What `n` replicas, `w` of which have a write and `r` of which are asked by a read, promise.
    #[must_use]
    pub fn of(n: u16, w: u16, r: u16) -> Self {
        let (n, w, r) = (u32::from(n), u32::from(w), u32::from(r));
        let writes_meet = 2 * w > n;
        let reads_meet_writes = r + w > n;
        if writes_meet && reads_meet_writes && r > 1 {
            Self::Linearizable
        } else if w == n && r == 1 {
            Self::LastAcknowledged
        } else if writes_meet {
            Self::EventualLastWins
        } else {
            Self::Eventual
        }
    }
}

impl ClusterConfig {
    /// What this cluster promises.
    #[must_use]
    pub fn consistency(&self) -> Consistency {
        Consistency::of(self.replication_factor, self.write_quorum, self.read_quorum)
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linearizable => "linearizable per key",
            Self::LastAcknowledged => "reads return the last acknowledged write, or one still in flight",
            Self::EventualLastWins => "eventually consistent; of two acknowledged writes the later one wins",
            Self::Eventual => "eventually consistent; of two acknowledged writes the one with the faster clock may win",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formula_agrees_with_the_table_for_up_to_five_replicas() {
        // For each N a row per W; in it, for R = 1 to N: L linearizable, A last acknowledged, W eventual with the last
        // write winning, - eventual.
        let table: [&[&str]; 5] = [
            &["A"],
            &["--", "AL"],
            &["---", "WLL", "ALL"],
            &["----", "----", "WLLL", "ALLL"],
            &["-----", "-----", "WWLLL", "WLLLL", "ALLLL"],
        ];
        for (rows, n) in table.iter().zip(1..) {
            for (row, w) in rows.iter().zip(1..) {
                let formula: String = (1..=n).map(|r| letter(Consistency::of(n, w, r))).collect();
                assert_eq!(formula, *row, "N = {n}, W = {w}");
            }
        }
    }

    fn letter(consistency: Consistency) -> char {
        match consistency {
            Consistency::Linearizable => 'L',
            Consistency::LastAcknowledged => 'A',
            Consistency::EventualLastWins => 'W',
            Consistency::Eventual => '-',
        }
    }
}
