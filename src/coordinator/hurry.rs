//! How long a read waits for one replica alone.
//!
//! Nearly always it is answered long before, so the timer is what this costs. To put off one that was set before costs a tenth of
//! setting a new one and taking it back; so whoever reads again and again keeps his.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A read that waits for one replica asks the next after this part of `request_timeout`: a hung one costs a fraction of
/// it, and one that is merely busy is left alone.
const HURRY_PARTS: u32 = 8;

/// The timer of one who waits for replicas, for one thing at a time.
#[derive(Debug, Default)]
pub struct HurryTimer {
    timer: Option<Pin<Box<Sleep>>>,
    /// When what is waited for next began, if that is known.
    began: Option<Instant>,
}

impl HurryTimer {
    /// What is waited for next began then: there is no need to ask the clock.
    pub fn began(&mut self, at: Instant) {
        self.began = Some(at);
    }

    /// What comes of waiting for one replica, `None` if that takes so long that more should be asked.
    pub(super) async fn soon<T>(&mut self, request_timeout: Duration, answers: impl Future<Output = T>) -> Option<T> {
        let mut answers = pin!(answers);
        let (mut is_set, began) = (false, self.began.take());
        poll_fn(|context| {
            if let Poll::Ready(answers) = answers.as_mut().poll(context) {
                return Poll::Ready(Some(answers));
            }
            if !std::mem::replace(&mut is_set, true) {
                self.set(began.unwrap_or_else(Instant::now) + request_timeout / HURRY_PARTS);
            }
            self.poll_timer(context).map(|()| None)
        })
        .await
    }

    fn set(&mut self, ends_at: Instant) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(ends_at),
            None => self.timer = Some(Box::pin(sleep_until(ends_at))),
        }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(800);

    #[tokio::test(start_paused = true)]
    async fn it_ends_after_its_part_of_the_timeout_each_time_anew() {
        let mut timer = HurryTimer::default();
        for late in [99, 101, 99, 50, 101, 101, 99] {
            let began = Instant::now();
            let answer = timer.soon(TIMEOUT, tokio::time::sleep(Duration::from_millis(late))).await;
            assert_eq!(answer.is_some(), late < 100, "{late}");
            assert_eq!(began.elapsed(), Duration::from_millis(late.min(100)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_went_off_while_nobody_waited_hurries_nobody() {
        let mut timer = HurryTimer::default();
        assert_eq!(timer.soon(TIMEOUT, tokio::time::sleep(Duration::from_millis(1))).await, Some(()));
        tokio::time::sleep(TIMEOUT).await;
        assert_eq!(timer.soon(TIMEOUT, tokio::time::sleep(Duration::from_millis(99))).await, Some(()));
    }
}
