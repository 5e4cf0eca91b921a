//! The queues of a connection, tick by tick.

use bytes::Buf;

use super::*;
use crate::peer::PeerRequest;

/// A pipeline with its writer.
struct Bench {
    pipeline: Pipeline,
    writing: Outgoing,
}

impl Bench {
    fn new() -> Self {
        Self { pipeline: Pipeline::new(StartNumber::new(5)), writing: Outgoing::default() }
    }

    /// Queues a batch of `count` requests of `bytes` bytes each.
    fn push(&mut self, count: usize, bytes: usize) -> oneshot::Receiver<Answers> {
        self.push_batch(RequestBatch::new(), count, bytes)
    }

    /// As [`Self::push`], wanting it back.
    fn push_kept(&mut self, count: usize, bytes: usize) -> oneshot::Receiver<Answers> {
        let mut batch = RequestBatch::new();
        batch.keep();
        self.push_batch(batch, count, bytes)
    }

    fn push_batch(&mut self, mut batch: RequestBatch, count: usize, bytes: usize) -> oneshot::Receiver<Answers> {
        for _ in 0..count {
            batch.push_encoded(&vec![b'x'; bytes]);
        }
        let (sender, receiver) = oneshot::channel();
        self.pipeline.push(batch, (sender, Vec::new()));
        receiver
    }

    fn take(&mut self) {
        self.pipeline.take(None, &mut self.writing);
    }

    fn write(&mut self, count: usize) {
        self.writing.advance(count);
        self.pipeline.wrote(count);
    }

    fn write_out(&mut self) {
        self.take();
        self.write(self.writing.remaining());
    }

    fn answer(&mut self) -> Result<(), Unasked> {
        let mut finished = Vec::new();
        let result = self.pipeline.answer(PeerReply::Ok, &mut finished);
        finished.into_iter().map(Finished::send).for_each(drop);
        result
    }

    /// Ticks until the link is dead, at most `ticks` times; how often it ticked without that.
    fn tick(&mut self, ticks: u64) -> u64 {
        self.tick_with(ticks, |_| ())
    }

    fn tick_with(&mut self, ticks: u64, mut before: impl FnMut(&mut Self)) -> u64 {
        for alive in 0..ticks {
            before(self);
            let tick = self.pipeline.tick();
            tick.finished.into_iter().map(Finished::send).for_each(drop);
            if tick.health == Health::Down {
                return alive;
            }
        }
        ticks
    }
}

fn fault(receiver: &mut oneshot::Receiver<Answers>) -> Option<LinkFault> {
    receiver.try_recv().ok().and_then(|answers| answers.fault)
}

#[test]
fn answers_go_to_batches_in_order() {
    let mut bench = Bench::new();
    let (mut one, mut two) = (bench.push(2, 5), bench.push(1, 5));
    bench.write_out();

    bench.answer().unwrap();
    assert!(one.try_recv().is_err());
    bench.answer().unwrap();
    assert_eq!(one.try_recv().unwrap().replies.len(), 2);
    assert!(two.try_recv().is_err());
    bench.answer().unwrap();
    let answers = two.try_recv().unwrap();

    assert_eq!((answers.replies.len(), answers.fault, answers.process.get()), (1, None, 5));
    assert_eq!(bench.pipeline.pulse().requests, 0);
    assert_eq!(bench.answer(), Err(Unasked));
}

#[test]
fn the_writer_is_woken_once_until_it_takes_what_waits() {
    let mut bench = Bench::new();
    let push = |bench: &mut Bench| {
        let mut batch = RequestBatch::new();
        batch.push(&PeerRequest::Clock);
        bench.pipeline.push(batch, (oneshot::channel().0, Vec::new()))
    };
    assert!(push(&mut bench));
    assert!(!push(&mut bench));
    bench.take();
    bench.write(bench.writing.remaining());
    assert!(push(&mut bench));
}

#[test]
fn an_answer_to_the_mark_goes_to_nobody() {
    let mut bench = Bench::new();
    let mut one = bench.push(1, 5);
    bench.pipeline.take(Some(b"mark"), &mut bench.writing);
    assert_eq!(bench.writing.chunk(), b"mark");
    bench.answer().unwrap();
    assert!(one.try_recv().is_err());
    bench.answer().unwrap();
    assert!(one.try_recv().is_ok());
}

#[test]
fn a_silent_peer_is_dead_within_the_timeout() {
    let mut bench = Bench::new();
    let mut sent = bench.push(2, 5);
    bench.write_out();
    bench.answer().unwrap();
    let mut unsent = bench.push(1, 5);

    assert_eq!(bench.tick(100), PATIENCE_TICKS - 1);

    let finished = bench.pipeline.close(&LinkFault::TimedOut);
    finished.into_iter().map(Finished::send).for_each(drop);
    let answers = sent.try_recv().unwrap();
    assert_eq!((answers.replies.len(), answers.fault), (1, Some(LinkFault::TimedOut)));
    assert_eq!(fault(&mut unsent), Some(LinkFault::Down));
}

#[test]
fn writes_into_a_buffer_are_no_sign_of_life() {
    let mut bench = Bench::new();
    let _first = bench.push(1, 5);
    bench.write_out();
    let alive = bench.tick_with(100, |bench| {
        let _next = bench.push(1, 2 * FLOW_BYTES_MIN);
        bench.write_out();
    });
    assert_eq!(alive, PATIENCE_TICKS - 1);
}

#[test]
fn a_large_request_may_take_longer_and_those_behind_it_may_not() {
    let mut bench = Bench::new();
    let mut large = bench.push(1, 20 * FLOW_BYTES_MIN);
    let mut behind = bench.push(1, 5);
    bench.take();

    assert_eq!(bench.tick_with(19, |bench| bench.write(FLOW_BYTES_MIN)), 19);
    assert_eq!(fault(&mut behind), Some(LinkFault::TimedOut));
    bench.write(bench.writing.remaining());
    bench.answer().unwrap();
    bench.answer().unwrap();

    assert_eq!(large.try_recv().unwrap().fault, None);
    assert_eq!(bench.pipeline.pulse().requests, 0);
}

#[test]
fn a_large_answer_may_take_longer_but_not_for_ever() {
    let mut bench = Bench::new();
    let mut large = bench.push(1, 5);
    bench.write_out();
    let alive = bench.tick_with(1000, |bench| bench.pipeline.flowed(FLOW_BYTES_MIN));
    assert_eq!(alive, TRANSFER_TICKS_MAX - 1);
    assert!(large.try_recv().is_err());
}

#[test]
fn a_trickle_is_no_flow() {
    let mut bench = Bench::new();
    let _one = bench.push(1, 5);
    bench.write_out();
    assert_eq!(bench.tick_with(100, |bench| bench.pipeline.flowed(FLOW_BYTES_MIN - 6)), PATIENCE_TICKS - 1);
}

#[test]
fn flow_of_a_finished_exchange_buys_the_next_none() {
    let mut bench = Bench::new();
    let _large = bench.push(1, 5);
    bench.write_out();
    bench.tick_with(5, |bench| bench.pipeline.flowed(FLOW_BYTES_MIN));
    let mut small = bench.push(1, 5);
    bench.write_out();
    bench.pipeline.flowed(FLOW_BYTES_MIN);
    bench.answer().unwrap();

    assert_eq!(bench.tick(PATIENCE_TICKS - 1), PATIENCE_TICKS - 1);
    assert!(small.try_recv().is_err());
    bench.tick(1);

    assert_eq!(fault(&mut small), Some(LinkFault::TimedOut));
}

#[test]
fn an_idle_link_is_tried_with_a_mark() {
    let mut bench = Bench::new();
    let wakes: Vec<bool> = (0..=IDLE_TICKS).map(|_| bench.pipeline.tick().wake_writer).collect();
    assert_eq!(wakes, [false, false, false, true, false]);
    assert!(bench.pipeline.mark_due());
    bench.pipeline.take(Some(b"mark"), &mut bench.writing);
    assert!(!bench.pipeline.mark_due());
    assert_eq!(bench.tick(100), PATIENCE_TICKS - 1);
}

#[test]
fn a_busy_link_repeats_its_mark() {
    let mut bench = Bench::new();
    for tick in 1..=IDLE_TICKS {
        let _exchange = bench.push(1, 5);
        bench.write_out();
        bench.answer().unwrap();
        assert!(!bench.pipeline.tick().wake_writer, "it is not idle");
        assert_eq!(bench.pipeline.mark_due(), tick == IDLE_TICKS);
    }
    bench.pipeline.take(Some(b"mark"), &mut bench.writing);
    assert!(!bench.pipeline.mark_due());
}

#[test]
fn the_queue_is_bounded_until_it_is_written() {
    let mut bench = Bench::new();
    let _one = bench.push(1, 99);
    assert!(bench.pipeline.has_room(100));
    let _two = bench.push(1, 1000);
    assert!(!bench.pipeline.has_room(100));
    bench.take();
    bench.write(999);
    assert!(!bench.pipeline.has_room(100));
    bench.write(1);
    assert!(bench.pipeline.has_room(100));
}

/// How many bytes come back with the answers.
fn missed(receiver: &mut oneshot::Receiver<Answers>) -> Option<usize> {
    receiver.try_recv().ok()?.missed.map(|missed| missed.len())
}

#[test]
fn a_batch_to_be_kept_comes_back_with_a_fault_and_only_then() {
    let mut bench = Bench::new();
    let mut answered = bench.push_kept(1, 10);
    let mut torn = bench.push_kept(2, 10);
    let mut large = bench.push_kept(1, 200_000);
    let mut unwanted = bench.push(1, 10);
    bench.write_out();
    assert_eq!(bench.answer(), Ok(()));
    assert_eq!(bench.answer(), Ok(()));
    let mut unsent = bench.push_kept(1, 10);
    let finished = bench.pipeline.close(&LinkFault::Lost(String::new()));
    for finished in finished {
        assert_eq!(finished.send(), None, "somebody waits");
    }

    assert_eq!(missed(&mut answered), None);
    assert_eq!(missed(&mut torn), Some(20), "the answered request too");
    assert_eq!(missed(&mut large), Some(200_000));
    assert_eq!(missed(&mut unwanted), None);
    assert_eq!(missed(&mut unsent), Some(10));
}

#[test]
fn what_is_missed_is_reported_when_nobody_waits_for_it() {
    let mut bench = Bench::new();
    let _in_transfer = bench.push(1, 10);
    drop(bench.push_kept(2, 10));
    drop(bench.push(2, 10));
    bench.write_out();
    let mut reported = Vec::new();
    for _ in 0..=PATIENCE_TICKS {
        bench.pipeline.flowed(FLOW_BYTES_MIN);
        reported.extend(bench.pipeline.tick().finished.into_iter().filter_map(Finished::send));
    }
    let [answers] = reported.as_slice() else { panic!("once: {reported:?}") };
    assert_eq!((answers.missed.as_ref().map(|missed| missed.len()), answers.replies.len()), (Some(20), 0));
    assert_eq!(answers.fault, Some(LinkFault::TimedOut));
}

#[test]
fn a_message_gathers_until_the_writer_takes_it_or_it_is_long() {
    let mut bench = Bench::new();
    assert!(!bench.pipeline.is_gathering(), "nothing leaves");
    let _first = bench.push(1, 100);
    assert!(bench.pipeline.is_gathering());
    let _second = bench.push(1, GATHERED_BYTES_MAX);
    assert!(!bench.pipeline.is_gathering(), "it is long");

    bench.take();
    let _third = bench.push(1, 100);
    assert!(!bench.pipeline.is_gathering(), "the socket takes nothing");
    bench.write(bench.writing.remaining());
    assert!(bench.pipeline.is_gathering(), "the third leaves next");
    bench.write_out();
    assert!(!bench.pipeline.is_gathering(), "it has left");
}

#[test]
fn what_is_complete_is_only_what_was_queued_before_it_was_called_so() {
    let mut bench = Bench::new();
    bench.pipeline.complete();
    let _one = bench.push(1, 10);
    assert!(!bench.pipeline.is_complete(), "nothing had been queued");
    bench.pipeline.complete();
    assert!(bench.pipeline.is_complete());
    bench.take();
    let _other = bench.push(1, 10);
    assert!(!bench.pipeline.is_complete(), "the writer has taken what was");
}
