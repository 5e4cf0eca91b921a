//! Waiting for something that is going to happen, but never longer than a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that ought to take no time: the machine may be slow, and busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// How often to look.
const LOOK: Duration = Duration::from_millis(5);

/// The first `Some` that `look` yields, unless there is none within `patience`.
pub(crate) fn poll_for<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        thread::sleep(LOOK);
    }
}

/// The first `Some` that `look` yields; `what` is named if there is none within `patience`.
pub(crate) fn poll<T>(what: &str, patience: Duration, look: impl FnMut() -> Option<T>) -> T {
    poll_for(patience, look).unwrap_or_else(|| panic!("after {patience:?}, still not: {what}"))
}

/// Waits until `holds` does.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    poll(what, PATIENCE, || holds().then_some(()));
}
