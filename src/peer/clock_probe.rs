//! How far a peer's wall clock is ahead of ours, measured again and again.
//!
//! Who asks for a time learns it late, and cannot know how much of the delay was on the way there. Taking the answer to
//! be from the middle is wrong by half the round trip at most, so the sample with the shortest round trip is the best
//! one, as in NTP's clock filter (RFC 5905, section 10). Clocks drift and are set, so only the last few count: what is
//! shown is at most eight seconds old, and a peer that was busy or stopped for one of them does no harm.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;

use super::standing::Standing;
use super::{Exchange, PeerReply, PeerRequest, RequestBatch};
use crate::time::{UnixMs, WallClock};

/// How often a peer is asked for its clock.
const PERIOD: Duration = Duration::from_secs(1);
/// Samples among which the best is chosen.
const SAMPLES: usize = 8;

/// One measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ClockSample {
    /// The peer's clock less ours, in milliseconds.
    offset_ms: i64,
    round_trip: Duration,
}

/// A question for the peer's clock that is on its way.
pub(super) struct ClockQuestion {
    sent: UnixMs,
    began: Instant,
}

impl ClockQuestion {
    /// Asked now.
    pub(super) fn ask(clock: &WallClock) -> Self {
        Self { sent: clock.now(), began: Instant::now() }
    }

    /// Answered now: the peer's clock showed `theirs`.
    pub(super) fn answered(self, theirs: UnixMs, clock: &WallClock) -> ClockSample {
        let offset_ms = clock_offset_ms(theirs, self.sent, clock.now());
        ClockSample { offset_ms, round_trip: self.began.elapsed() }
    }
}

/// The last few samples.
#[derive(Debug, Default)]
pub(super) struct ClockFilter {
    /// At most [`SAMPLES`], the newest first.
    samples: VecDeque<ClockSample>,
}

impl ClockFilter {
    /// The filter of a new connection, whose introduction was the first measurement.
    pub(super) fn new(first: ClockSample) -> Self {
        Self { samples: VecDeque::from([first]) }
    }

    /// Takes one more sample.
    pub(super) fn add(&mut self, sample: ClockSample) {
        self.samples.truncate(SAMPLES - 1);
        self.samples.push_front(sample);
    }

    /// The offset by the best sample, the newest of equals; 0 if there is none.
    pub(super) fn offset_ms(&self) -> i64 {
        self.samples.iter().min_by_key(|sample| sample.round_trip).map_or(0, |sample| sample.offset_ms)
    }
}

/// Measures the peer's clock at most once a second for as long as its connection lasts.
pub(super) async fn run(
    standing: &Standing,
    clock: &WallClock,
    exchange: impl Fn(RequestBatch) -> Exchange,
) -> Infallible {
    loop {
        tokio::time::sleep(PERIOD).await;
        let mut batch = RequestBatch::new();
        batch.push(&PeerRequest::Beat);
        let question = ClockQuestion::ask(clock);
        // One that fails is no measurement; what it says of the peer's life is the link's business.
        if let [PeerReply::Integer(theirs)] = exchange(batch).await.replies.as_slice() {
            standing.measured(question.answered(UnixMs(*theirs), clock));
        }
    }
}

/// How far the clock that showed `theirs` is ahead of ours, which showed `sent` when the question left and `received`
/// when the answer was there. The answer is taken to be from the middle.
fn clock_offset_ms(theirs: UnixMs, sent: UnixMs, received: UnixMs) -> i64 {
    let ours = sent.0 / 2 + received.0 / 2 + (sent.0 & received.0 & 1);
    theirs.0.wrapping_sub(ours).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(offset_ms: i64, round_trip_ms: u64) -> ClockSample {
        ClockSample { offset_ms, round_trip: Duration::from_millis(round_trip_ms) }
    }

    #[test]
    fn clock_offset_is_signed_and_taken_from_the_middle() {
        assert_eq!(clock_offset_ms(UnixMs(1050), UnixMs(1000), UnixMs(1100)), 0);
        assert_eq!(clock_offset_ms(UnixMs(2050), UnixMs(1000), UnixMs(1100)), 1000);
        assert_eq!(clock_offset_ms(UnixMs(50), UnixMs(1001), UnixMs(1101)), -1001);
    }

    #[test]
    fn the_sample_with_the_shortest_round_trip_is_believed() {
        let mut filter = ClockFilter::new(sample(200, 400));
        filter.add(sample(3, 2));
        filter.add(sample(-90, 180));
        assert_eq!(filter.offset_ms(), 3);
        filter.add(sample(4, 2));
        assert_eq!(filter.offset_ms(), 4, "the newest of equals");
    }

    #[test]
    fn a_clock_that_was_set_is_believed_once_older_samples_are_gone() {
        let mut filter = ClockFilter::new(sample(0, 1));
        for _ in 0..SAMPLES - 1 {
            filter.add(sample(5000, 9));
            assert_eq!(filter.offset_ms(), 0);
        }
        filter.add(sample(5000, 9));
        assert_eq!((filter.offset_ms(), filter.samples.len()), (5000, SAMPLES));
    }

    #[test]
    fn without_a_sample_no_offset_is_claimed() {
        assert_eq!(ClockFilter::default().offset_ms(), 0);
    }
}
