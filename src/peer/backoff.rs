//! How long to wait before a peer is dialled again.
//!
//! Doubling keeps a dead peer cheap, the cap keeps a returned one from being missed for long, and chance keeps the
//! nodes of a cluster from dialling a restarted one in step.

use std::time::Duration;

/// The first wait.
const WAIT_MIN: Duration = Duration::from_millis(50);
/// No wait is longer.
const WAIT_MAX: Duration = Duration::from_secs(1);
const _: () = assert!(WAIT_MIN.as_nanos() < WAIT_MAX.as_nanos());

/// The waits of one link, from a seed.
#[derive(Debug)]
pub(super) struct Backoff {
    wait: Duration,
    chance: Chance,
}

impl Backoff {
    /// Waits that begin with the shortest.
    pub(super) fn new(seed: u64) -> Self {
        Self { wait: WAIT_MIN, chance: Chance::new(seed) }
    }

    /// The next wait: between half of the present step and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(WAIT_MAX);
        wait.mul_f64(0.5 + self.chance.fraction() / 2.0)
    }

    /// A link was made and is gone. The waits begin anew if it lived longer than the longest of them; a peer that
    /// welcomes us and breaks off at once is no better than one that refuses.
    pub(super) fn link_lived(&mut self, age: Duration) {
        if age >= WAIT_MAX {
            self.wait = WAIT_MIN;
        }
    }
}

/// A stream of pseudo-random numbers from a seed (the generator is Steele et al.'s `SplitMix`).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, but not including, 1.
    pub(super) fn fraction(&mut self) -> f64 {
        let thirty_two_bits = u32::try_from(self.next() >> 32).unwrap_or(u32::MAX);
        f64::from(thirty_two_bits) / (f64::from(u32::MAX) + 1.0)
    }

    /// True with this probability: never at 0, always at 1.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_anew() {
        let mut backoff = Backoff::new(7);
        let mut step = WAIT_MIN;
        for _ in 0..10 {
            let wait = backoff.next();
            assert!(wait >= step / 2 && wait <= step, "{wait:?} at {step:?}");
            step = (step * 2).min(WAIT_MAX);
        }
        backoff.link_lived(WAIT_MAX / 2);
        assert!(backoff.next() >= WAIT_MAX / 2);
        backoff.link_lived(WAIT_MAX);
        assert!(backoff.next() <= WAIT_MIN);
    }

    #[test]
    fn chance_is_repeated_by_its_seed_and_fair() {
        let (mut one, mut other) = (Chance::new(1), Chance::new(1));
        let hits = (0..10_000).filter(|_| one.happens(0.25)).count();
        assert_eq!(hits, (0..10_000).filter(|_| other.happens(0.25)).count());
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!one.happens(0.0) && one.happens(1.0));
    }
}
