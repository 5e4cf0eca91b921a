//! Clients that watch what the others ask: what each of them still has to be sent.
//!
//! Nobody waits for a monitor. Lines gather in its feed until its session takes them; one that does not read is closed
//! when too much has gathered, as Redis closes clients at the limit of their output buffers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::command::KillToken;

/// Bytes that may wait for one monitor: Redis' limit for subscribers.
const PENDING_BYTES_MAX: usize = 32 << 20;

/// All monitors.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    /// How many there are, so that it costs nothing to find that there are none.
    count: AtomicUsize,
    feeds: Mutex<Vec<Arc<Feed>>>,
}

/// What one monitor has not been sent yet.
#[derive(Debug)]
pub(crate) struct Feed {
    pending: Mutex<Vec<u8>>,
    filled: Notify,
    /// Ends the monitor's session.
    killed: KillToken,
}

impl Monitors {
    /// Whether anybody watches.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// From now on a client is told; `killed` ends its session if it does not listen.
    pub(crate) fn join(&self, killed: KillToken) -> Arc<Feed> {
        let feed = Arc::new(Feed { pending: Mutex::default(), filled: Notify::new(), killed });
        self.change(|feeds| feeds.push(Arc::clone(&feed)));
        feed
    }

    /// A client is told no more.
    pub(crate) fn leave(&self, feed: &Arc<Feed>) {
        self.change(|feeds| feeds.retain(|other| !Arc::ptr_eq(other, feed)));
    }

    /// Tells all monitors. Those that have fallen too far behind are closed.
    pub(crate) fn tell(&self, line: &[u8]) {
        self.change(|feeds| feeds.retain(|feed| feed.take_in(line)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Feed>>)) {
        let mut feeds = self.feeds.lock();
        change(&mut feeds);
        self.count.store(feeds.len(), Ordering::Relaxed);
    }
}

impl Feed {
    /// What there is to send; waits until there is something.
    pub(crate) async fn lines(&self) -> Vec<u8> {
        loop {
            let lines = std::mem::take(&mut *self.pending.lock());
            if !lines.is_empty() {
                return lines;
            }
            self.filled.notified().await;
        }
    }

    /// Takes one more line; false if there is no room, which is the end of the monitor.
    fn take_in(&self, line: &[u8]) -> bool {
        let mut pending = self.pending.lock();
        if pending.len() + line.len() > PENDING_BYTES_MAX {
            *pending = Vec::new();
            self.killed.kill();
            return false;
        }
        pending.extend_from_slice(line);
        drop(pending);
        self.filled.notify_one();
        true
    }
}

/// The same feed, not just the same lines.
impl PartialEq for Feed {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Feed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_gather_until_they_are_taken() {
        let monitors = Monitors::default();
        assert!(!monitors.any());
        let feed = monitors.join(KillToken::default());
        assert!(monitors.any());
        monitors.tell(b"+one\r\n");
        monitors.tell(b"+two\r\n");
        assert_eq!(feed.lines().await, b"+one\r\n+two\r\n");
        let (lines, ()) = tokio::join!(feed.lines(), async { monitors.tell(b"+three\r\n") });
        assert_eq!(lines, b"+three\r\n");
        monitors.leave(&feed);
        assert!(!monitors.any());
    }

    #[tokio::test]
    async fn a_monitor_that_does_not_listen_is_closed_and_its_lines_are_dropped() {
        let monitors = Monitors::default();
        let (deaf, killed) = (KillToken::default(), KillToken::default());
        let (feed, other) = (monitors.join(deaf.clone()), monitors.join(killed.clone()));
        let line = vec![b'x'; PENDING_BYTES_MAX / 2];
        for _ in 0..3 {
            monitors.tell(&line);
            assert_eq!(other.lines().await.len(), line.len());
        }
        assert!(deaf.is_killed() && !killed.is_killed());
        assert_eq!(feed.pending.lock().capacity(), 0);
        assert!(monitors.any(), "the other one goes on");
    }
}
