//! Is a peer alive? One rule for both communicators, in numbers that can be checked with a pencil.
//!
//! A peer that died takes its connections with it; one that hangs does not, and its kernel goes on taking what it is
//! sent. So silence has to be measured, and it only means something while a question is open. An idle link is
//! therefore tried with a mark. Time is counted in ticks, an eighth of `request_timeout` each:
//!
//! | ticks | what happens |
//! |---|---|
//! | 0 | something was asked, or bytes last flowed |
//! | 3 | no sign of life since: *suspect*. It still counts, but others are asked first |
//! | 7 | still none: *down*. What waits ends, and nothing is sent until it has welcomed us again |
//!
//! A peer that hangs while nobody asks anything is tried within 4 ticks, so it is suspect after 7 and down after 11, which is
//! less than one and a half timeouts.

use super::LinkState;

/// How many ticks make up `request_timeout`.
pub(super) const TICKS_PER_TIMEOUT: u32 = 8;
/// An idle link is tried with a mark after so many ticks: half a timeout.
pub(super) const IDLE_TICKS: u64 = 4;
/// After so many ticks without a sign of life a peer is suspect.
const SUSPECT_TICKS: u64 = 3;
/// After so many it is down. An exchange ends when it waited that long, which is between 6/8 and 7/8 of the timeout.
pub(super) const PATIENCE_TICKS: u64 = 7;
const _: () = assert!(SUSPECT_TICKS < PATIENCE_TICKS && PATIENCE_TICKS < TICKS_PER_TIMEOUT as u64);
const _: () =
    assert!(IDLE_TICKS + PATIENCE_TICKS < 2 * TICKS_PER_TIMEOUT as u64, "a hung peer is down within two timeouts");

/// What this node thinks of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Health {
    /// It answers, or nobody has asked it anything for long.
    #[default]
    Alive,
    /// It is slow to answer. It counts like one that is alive.
    Suspect,
    /// It cannot be reached, or does not answer. It counts for nothing.
    Down,
}

/// What a connection shows of its peer's life, in ticks since the connection was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Signs {
    /// When the oldest open question was asked; `None` if all are answered, which is a sign of life in itself.
    pub(super) asked_at: Option<u64>,
    /// When it last gave another sign of life.
    pub(super) heard_at: u64,
}

impl Health {
    /// What to think of a peer at the tick `now`.
    pub(super) fn judge(link: LinkState, signs: Signs, now: u64) -> Self {
        let Signs { asked_at, heard_at } = signs;
        match (link, asked_at.map(|asked_at| now - asked_at.max(heard_at).min(now))) {
            (LinkState::Down, _) | (LinkState::Up, Some(PATIENCE_TICKS..)) => Self::Down,
            (LinkState::Up, Some(SUSPECT_TICKS..)) => Self::Suspect,
            (LinkState::Up, _) => Self::Alive,
        }
    }

    /// The word for it in INFO.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}

/// What the queues of a connection tell, for INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Pulse {
    /// Requests without an answer.
    pub(super) requests: usize,
    /// How many ticks ago the oldest of them was asked.
    pub(super) asked: Option<u64>,
    /// How many ticks ago the last answer came.
    pub(super) heard: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_makes_a_peer_suspect_after_three_ticks_and_down_after_seven() {
        let at = |now| Health::judge(LinkState::Up, Signs { asked_at: Some(10), heard_at: 9 }, now);
        let seen: Vec<Health> = (10..=18).map(at).collect();
        let (alive, suspect, down) = (Health::Alive, Health::Suspect, Health::Down);
        assert_eq!(seen, [alive, alive, alive, suspect, suspect, suspect, suspect, down, down]);
    }

    #[test]
    fn a_sign_of_life_starts_the_count_again() {
        let at = |now| Health::judge(LinkState::Up, Signs { asked_at: Some(10), heard_at: 14 }, now);
        assert_eq!([at(16), at(17), at(20), at(21)], [Health::Alive, Health::Suspect, Health::Suspect, Health::Down]);
    }

    #[test]
    fn a_peer_that_was_asked_nothing_is_alive_while_the_link_is_up() {
        let idle = Signs { asked_at: None, heard_at: 0 };
        assert_eq!(Health::judge(LinkState::Up, idle, 1000), Health::Alive);
        assert_eq!(Health::judge(LinkState::Down, idle, 0), Health::Down);
    }
}
