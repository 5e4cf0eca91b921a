//! How long a client may leave its replies untaken: a plain function of what waits, what is allowed, and the time.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::OutputLimit;

/// Limits may change while a client stalls, so they are looked at again after so long.
const LOOK: Duration = Duration::from_secs(1);

/// A client that has not taken all of its replies at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    /// Since when more than the soft limit has been waiting.
    over_since: Option<Instant>,
    /// When it took something last.
    taken_at: Instant,
}

impl Stall {
    pub(super) fn new(now: Instant) -> Self {
        Self { over_since: None, taken_at: now }
    }

    /// Notes that the client has taken something.
    pub(super) fn taken(&mut self, now: Instant) {
        self.taken_at = now;
    }

    /// How long to wait for the client, which has `waiting` bytes to take; `None` if it has exceeded what is allowed.
    pub(super) fn patience(
        &mut self,
        waiting: usize,
        limit: OutputLimit,
        idle: Option<Duration>,
        now: Instant,
    ) -> Option<Duration> {
        let waiting = waiting as u64;
        if limit.hard_bytes > 0 && waiting >= limit.hard_bytes {
            return None;
        }
        let is_over = limit.soft_bytes > 0 && waiting >= limit.soft_bytes;
        self.over_since = is_over.then(|| self.over_since.unwrap_or(now));
        let soft = self.over_since.map(|since| since + Duration::from_secs(limit.soft_seconds));
        let idle = idle.map(|idle| self.taken_at + idle);
        let end = soft.into_iter().chain(idle).min();
        let rest = end.map_or(LOOK, |end| end.saturating_duration_since(now).min(LOOK));
        (end.is_none_or(|end| end > now)).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: OutputLimit = OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn without_limits_a_client_is_waited_for_for_ever() {
        let began = Instant::now();
        let mut stall = Stall::new(began);
        assert_eq!(stall.patience(usize::MAX, NONE, None, began + seconds(1_000_000)), Some(LOOK));
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_hard_limit_it_is_closed_at_once() {
        let began = Instant::now();
        let mut stall = Stall::new(began);
        let limit = OutputLimit { hard_bytes: 100, ..NONE };
        assert_eq!(stall.patience(99, limit, None, began), Some(LOOK));
        assert_eq!(stall.patience(100, limit, None, began), None);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_soft_limit_it_is_closed_if_that_lasts() {
        let began = Instant::now();
        let mut stall = Stall::new(began);
        let limit = OutputLimit { soft_bytes: 10, soft_seconds: 5, ..NONE };
        assert!(stall.patience(10, limit, None, began).is_some());
        assert!(stall.patience(10, limit, None, began + seconds(4)).is_some());
        assert!(stall.patience(9, limit, None, began + seconds(5)).is_some(), "it has come below");
        assert!(stall.patience(10, limit, None, began + seconds(9)).is_some(), "it starts anew");
        assert_eq!(stall.patience(10, limit, None, began + seconds(14)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_nothing_is_idle_and_one_that_takes_little_is_not() {
        let began = Instant::now();
        let mut stall = Stall::new(began);
        stall.taken(began + seconds(3));
        assert!(stall.patience(1, NONE, Some(seconds(5)), began + seconds(7)).is_some());
        assert_eq!(stall.patience(1, NONE, Some(seconds(5)), began + seconds(8)), None);
    }
}
