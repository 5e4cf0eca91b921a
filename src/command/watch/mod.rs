//! What people look at in a running node: how often each command is called and how long it takes, what goes wrong, and
//! which commands were slow.
//!
//! A plain command takes a fraction of a microsecond, so it is not timed alone and touches nothing that threads share:
//! a session gathers its turn in a [`Meter`] and settles it once, when all replies are known. What a turn took is
//! shared out evenly among its commands, so the sums are right and single commands of a pipeline are averages. Commands
//! that Redis does not call fast are timed alone on top, SET aside, and so are those that wait for the whole cluster.
//! Unlike in Redis the time includes the wait for other nodes: it is what the client waited for, without the way there
//! and back.

mod errors;
mod histogram;
mod meter;
mod monitors;
mod rates;
mod secrets;
mod slow_log;
mod statistics;

use std::time::Duration;

use super::server::Statistics;
use super::spec::CommandId;

pub(crate) use errors::ErrorCounts;
pub(crate) use errors::error_code;
pub(crate) use histogram::Histogram;
pub(crate) use meter::Meter;
pub(crate) use monitors::{Feed, Monitors};
pub(crate) use rates::Rates;
pub(crate) use secrets::shown;
pub use slow_log::SlowLog;
pub(crate) use statistics::{CommandStatistics, Row};

/// What this node has seen of its commands.
#[derive(Debug, Default)]
pub struct Watch {
    /// Calls and times, by command.
    pub(crate) commands: CommandStatistics,
    /// Error replies, by their first word.
    pub(crate) errors: ErrorCounts,
    /// The last slow commands, and which are slow.
    pub slow_log: SlowLog,
    /// Who is shown all commands.
    pub(crate) monitors: Monitors,
    /// What the node does per second.
    pub(crate) rates: Rates,
}

impl Watch {
    /// A command was refused before it began; `None` if there is no such command.
    pub(crate) fn rejected(&self, command: Option<CommandId>, reply: &[u8]) {
        self.errors.add(error_code(reply));
        if let Some(command) = command {
            self.commands.row(command).reject();
        }
    }

    /// A command was answered with an error.
    pub(crate) fn failed(&self, command: CommandId, code: &str) {
        self.errors.add(code);
        self.commands.row(command).fail();
    }

    /// A command that had the whole cluster asked is answered after `elapsed`.
    pub(crate) fn awaited(&self, command: CommandId, elapsed: Duration, reply: &[u8]) {
        self.commands.row(command).add(1, nanos(elapsed));
        if reply.first() == Some(&b'-') {
            self.failed(command, error_code(reply));
        }
    }

    /// CONFIG RESETSTAT: all counters start again. The slow log stays, as in Redis.
    pub(crate) fn reset(&self, statistics: &Statistics) {
        self.commands.reset();
        self.errors.reset();
        statistics.reset();
        self.rates.reset();
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
