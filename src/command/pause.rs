//! CLIENT PAUSE: for a while the clients of this node wait before they are served.
//!
//! Nothing is taken from a session: before each command it looks whether there is a pause, which is a glance at a byte
//! that hardly ever changes, and if so waits for its end. Nodes are never made to wait: their messages carry other nodes'
//! clients, who were not told to.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::codec::Request;
use crate::time::{UnixMs, WallClock};

use super::spec::{CommandId, Flags};
use super::table;

/// A pause that may last longer is looked at again after so long.
const LOOK: Duration = Duration::from_hours(1);

/// What has to wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PauseScope {
    /// Commands that may change data.
    Write,
    /// Every command.
    All,
}

/// Whether clients have to wait, what for, and until when.
#[derive(Debug, Default)]
pub struct Pause {
    /// 0: nothing waits; 1: writes; 2: everything. Says the same as `until`.
    level: AtomicU8,
    until: Mutex<Option<(PauseScope, UnixMs)>>,
    ended: Notify,
}

impl Pause {
    /// What has to wait now. A pause whose time is over counts until somebody who waited has noticed.
    #[must_use]
    #[inline]
    pub fn scope(&self) -> Option<PauseScope> {
        match self.level.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(PauseScope::Write),
            _ => Some(PauseScope::All),
        }
    }

    /// Begins a pause, or makes the present one longer or wider; never shorter or narrower.
    pub(super) fn begin(&self, scope: PauseScope, until: UnixMs) {
        let mut held = self.until.lock();
        let (scope, until) = held.map_or((scope, until), |(old, end)| (old.max(scope), end.max(until)));
        *held = Some((scope, until));
        self.level.store(scope as u8 + 1, Ordering::Relaxed);
    }

    /// Ends the pause.
    pub(super) fn end(&self) {
        *self.until.lock() = None;
        self.level.store(0, Ordering::Relaxed);
        self.ended.notify_waiters();
    }

    /// Returns when there is no pause.
    pub async fn over(&self, wall: &WallClock) {
        loop {
            let ended = self.ended.notified();
            let Some(rest) = self.rest(wall.now()) else { return };
            // Either way it is looked at again.
            let _ = tokio::time::timeout(rest.min(LOOK), ended).await;
        }
    }

    /// How much longer it lasts; `None` if there is none, or none any more.
    fn rest(&self, now: UnixMs) -> Option<Duration> {
        let (_, until) = (*self.until.lock())?;
        if until <= now {
            self.end();
            return None;
        }
        Some(Duration::from_millis(until.0 - now.0))
    }
}

impl PauseScope {
    /// Whether `request` has to wait. What will be refused anyway need not, nor the command that ends the pause. (Redis
    /// makes that one wait, too, while everything does.)
    #[must_use]
    pub fn holds(self, request: &Request<'_>) -> bool {
        table::resolve(request.args()).is_ok_and(|spec| {
            spec.id != CommandId::ClientUnpause && (self == Self::All || spec.flags.contains(Flags::WRITE))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pause_makes_the_first_neither_shorter_nor_narrower() {
        let pause = Pause::default();
        assert_eq!(pause.scope(), None);
        pause.begin(PauseScope::All, UnixMs(1000));
        pause.begin(PauseScope::Write, UnixMs(500));
        assert_eq!((pause.scope(), pause.rest(UnixMs(400))), (Some(PauseScope::All), Some(Duration::from_millis(600))));
        pause.end();
        assert_eq!((pause.scope(), pause.rest(UnixMs(400))), (None, None));
    }

    #[test]
    fn a_pause_ends_by_itself() {
        let pause = Pause::default();
        pause.begin(PauseScope::Write, UnixMs(1000));
        assert_eq!(pause.rest(UnixMs(1000)), None);
        assert_eq!(pause.scope(), None);
    }
}
