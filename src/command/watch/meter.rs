//! What one turn of a session adds up to, in memory of its own.

use std::time::Duration;

use smallvec::SmallVec;

use super::{Watch, nanos};
use crate::command::spec::{CommandId, CommandSpec};
use crate::command::table;

/// The commands of a turn and their times, until [`Meter::settle`].
#[derive(Debug)]
pub(crate) struct Meter {
    /// The command that was begun last, and how many in a row were the same.
    current: &'static CommandSpec,
    run: u64,
    /// The runs before that, by command.
    earlier: SmallVec<[(CommandId, u64); 2]>,
    /// Commands that were timed alone.
    alone: SmallVec<[Timed; 1]>,
    /// A command that goes on in the next turn.
    begun: Option<Timed>,
    /// What that command took in the turns before.
    carried: u64,
    /// Where the longest request so far stands that may be logged if the turn turns out to be slow. What is not longer
    /// than `kept_bytes` is not kept.
    kept: Option<(usize, &'static CommandSpec)>,
    kept_bytes: usize,
    /// Commands whose errors came to light when the replies were put together, with the errors' codes.
    failures: Vec<(CommandId, String)>,
}

/// One command, and the nanoseconds that it is known to have taken itself.
#[derive(Clone, Copy, Debug)]
struct Timed {
    command: CommandId,
    /// In this turn.
    own: u64,
    /// In the turns before.
    earlier: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            current: table::everything().next().expect("there are commands"),
            run: 0,
            earlier: SmallVec::new(),
            alone: SmallVec::new(),
            begun: None,
            carried: 0,
            kept: None,
            kept_bytes: 0,
            failures: Vec::new(),
        }
    }
}

impl Meter {
    /// A command begins; it counts unless it is taken back.
    #[inline]
    pub(crate) fn begin(&mut self, spec: &'static CommandSpec) {
        if !std::ptr::eq(spec, self.current) {
            self.end_run();
            self.current = spec;
        }
        self.run += 1;
    }

    #[inline(never)]
    fn end_run(&mut self) {
        let (command, run) = (self.current.id, std::mem::take(&mut self.run));
        match self.earlier.iter_mut().find(|(other, _)| *other == command) {
            Some((_, count)) => *count += run,
            None if run > 0 => self.earlier.push((command, run)),
            None => {}
        }
    }

    /// The command that was begun last.
    #[inline]
    pub(crate) fn current(&self) -> &'static CommandSpec {
        self.current
    }

    /// The command begun last does not count here: it begins again later, or is accounted for alone.
    pub(crate) fn take_back(&mut self) {
        self.run -= 1;
    }

    /// The command begun last was timed alone and is done, apart from what it has launched. Returns what it took in all
    /// its turns.
    pub(crate) fn timed(&mut self, own: Duration) -> Duration {
        self.take_back();
        let earlier = std::mem::take(&mut self.carried);
        self.alone.push(Timed { command: self.current.id, own: nanos(own), earlier });
        own.saturating_add(Duration::from_nanos(earlier))
    }

    /// The command begun last goes on in the next turn.
    pub(crate) fn interrupted(&mut self, own: Duration) {
        self.take_back();
        self.begun = Some(Timed { command: self.current.id, own: nanos(own), earlier: 0 });
    }

    /// Remembers where the request of `bytes` stands that was just served, if it is the longest of the turn: it has most
    /// likely cost most.
    #[inline]
    pub(crate) fn keep(&mut self, position: usize, bytes: usize) {
        if bytes > self.kept_bytes {
            self.kept_bytes = bytes;
            self.kept = Some((position, self.current));
        }
    }

    /// A request of so many bytes is not to be kept: it was not served, or it is logged already.
    pub(crate) fn keep_longer_than(&mut self, bytes: usize) {
        self.kept_bytes = self.kept_bytes.max(bytes);
    }

    /// Where the longest request stands, and its command.
    #[inline]
    pub(crate) fn kept(&self) -> Option<(usize, &'static CommandSpec)> {
        self.kept
    }

    /// The turn is over: the next one may keep any request.
    #[inline]
    pub(crate) fn drop_kept(&mut self) {
        self.kept_bytes = 0;
        self.kept = None;
    }

    /// A command of this turn turns out to have failed.
    pub(crate) fn failed(&mut self, command: CommandId, code: &str) {
        self.failures.push((command, code.to_owned()));
    }

    /// How many commands this turn has had.
    pub(crate) fn commands(&self) -> u64 {
        let in_runs = self.run + self.earlier.iter().map(|(_, count)| count).sum::<u64>();
        in_runs + self.alone.len() as u64 + u64::from(self.begun.is_some())
    }

    /// Whether the turn had calls of one command only, none of which is to be looked at closer.
    #[inline]
    fn is_uniform(&self) -> bool {
        self.run > 0
            && self.earlier.is_empty()
            && self.alone.is_empty()
            && self.begun.is_none()
            && self.failures.is_empty()
    }

    /// Adds the turn, which took `elapsed`, to the counters of the node and starts again. What no command took alone
    /// is shared out evenly among all. Returns what was shared out.
    pub(crate) fn settle(&mut self, elapsed: Duration, watch: &Watch) -> Duration {
        let elapsed = nanos(elapsed);
        if self.is_uniform() {
            let count = std::mem::take(&mut self.run);
            watch.commands.row(self.current.id).add(count, elapsed.checked_div(count).unwrap_or(0));
            return Duration::from_nanos(elapsed);
        }
        self.end_run();
        let timed = self.alone.iter().chain(&self.begun);
        let rest = elapsed.saturating_sub(timed.map(|timed| timed.own).sum());
        let share = rest.checked_div(self.commands()).unwrap_or(0);
        for (command, count) in self.earlier.drain(..) {
            watch.commands.row(command).add(count, share);
        }
        for timed in self.alone.drain(..) {
            watch.commands.row(timed.command).add(1, timed.own + timed.earlier + share);
        }
        if let Some(timed) = self.begun.take() {
            self.carried += timed.own + share;
        }
        for (command, code) in self.failures.drain(..) {
            watch.failed(command, &code);
        }
        Duration::from_nanos(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    fn begin(meter: &mut Meter, command: CommandId) {
        meter.begin(table::everything().find(|spec| spec.id == command).unwrap());
    }

    fn shown(watch: &Watch, command: CommandId) -> (u64, u64) {
        let row = watch.commands.row(command);
        (row.calls(), row.micros())
    }

    #[test]
    fn a_turns_time_is_shared_out_evenly() {
        let (mut meter, watch) = (Meter::default(), Watch::default());
        for command in [CommandId::Get, CommandId::Set, CommandId::Get, CommandId::Get] {
            begin(&mut meter, command);
        }
        assert_eq!(meter.commands(), 4);
        assert_eq!(meter.settle(8 * MICROSECOND, &watch), 8 * MICROSECOND);
        assert_eq!((shown(&watch, CommandId::Get), shown(&watch, CommandId::Set)), ((3, 6), (1, 2)));
        assert_eq!(shown(&watch, CommandId::Ping), (0, 0));
        assert_eq!(meter.commands(), 0, "it starts again");
        let steps = watch.commands.row(CommandId::Get).histogram().map(super::super::Histogram::steps);
        assert_eq!(steps, Some(vec![(2, 3)]));
    }

    #[test]
    fn what_a_command_took_alone_is_its_own() {
        let (mut meter, watch) = (Meter::default(), Watch::default());
        begin(&mut meter, CommandId::Get);
        begin(&mut meter, CommandId::MSet);
        meter.timed(90 * MICROSECOND);
        begin(&mut meter, CommandId::Get);
        assert_eq!(meter.settle(96 * MICROSECOND, &watch), 6 * MICROSECOND);
        assert_eq!((shown(&watch, CommandId::Get), shown(&watch, CommandId::MSet)), ((2, 4), (1, 92)));
    }

    #[test]
    fn a_command_of_several_turns_is_one_call() {
        let (mut meter, watch) = (Meter::default(), Watch::default());
        begin(&mut meter, CommandId::Get);
        begin(&mut meter, CommandId::MSet);
        meter.interrupted(10 * MICROSECOND);
        meter.settle(14 * MICROSECOND, &watch);
        assert_eq!((shown(&watch, CommandId::Get), shown(&watch, CommandId::MSet)), ((1, 2), (0, 0)));
        begin(&mut meter, CommandId::MSet);
        meter.timed(5 * MICROSECOND);
        begin(&mut meter, CommandId::Get);
        meter.settle(7 * MICROSECOND, &watch);
        assert_eq!((shown(&watch, CommandId::Get), shown(&watch, CommandId::MSet)), ((2, 3), (1, 18)));
        begin(&mut meter, CommandId::MSet);
        meter.timed(MICROSECOND);
        meter.settle(MICROSECOND, &watch);
        assert_eq!(shown(&watch, CommandId::MSet), (2, 19), "the next one begins at nothing");
    }

    #[test]
    fn a_command_that_was_put_off_does_not_count() {
        let (mut meter, watch) = (Meter::default(), Watch::default());
        begin(&mut meter, CommandId::Get);
        meter.take_back();
        assert_eq!(meter.commands(), 0);
        assert_eq!(meter.settle(MICROSECOND, &watch), MICROSECOND);
        assert_eq!(shown(&watch, CommandId::Get), (0, 0));
    }

    #[test]
    fn the_longest_request_is_kept_unless_it_is_not_to_be() {
        let mut meter = Meter::default();
        let kept = |meter: &Meter| meter.kept().map(|(position, spec)| (spec.id, position));
        begin(&mut meter, CommandId::Get);
        for (position, bytes) in [5, 8, 5].into_iter().enumerate() {
            meter.keep(position, bytes);
        }
        assert_eq!(kept(&meter), Some((CommandId::Get, 1)));
        meter.drop_kept();
        meter.keep_longer_than(8);
        meter.keep(0, 8);
        assert_eq!(kept(&meter), None);
        meter.drop_kept();
        meter.keep(2, 5);
        assert_eq!(kept(&meter), Some((CommandId::Get, 2)), "each turn for itself");
    }

    #[test]
    fn failures_are_counted_with_the_turn() {
        let (mut meter, watch) = (Meter::default(), Watch::default());
        begin(&mut meter, CommandId::Set);
        meter.failed(CommandId::Set, "NOQUORUM");
        meter.settle(MICROSECOND, &watch);
        assert_eq!(watch.commands.row(CommandId::Set).failed(), 1);
        assert_eq!(watch.errors.all(), [("NOQUORUM".to_owned(), 1)]);
    }
}
