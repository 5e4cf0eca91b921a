//! Ending a session from outside: one client's by CLIENT KILL and its like, all of them when the server stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// A [`CancellationToken`] for a session to look at before and after every request: that token locks a list at each look, this one
/// loads two flags.
#[derive(Clone, Debug, Default)]
pub struct KillToken {
    token: CancellationToken,
    /// Set before the token is cancelled, so that whoever is woken by it finds the flag set.
    is_killed: Arc<AtomicBool>,
    /// The flag of the token that ends this one, too.
    parent: Option<Arc<AtomicBool>>,
}

impl KillToken {
    /// A token that is killed with this one, which is nobody's child, or alone.
    #[must_use]
    pub fn child(&self) -> Self {
        debug_assert!(self.parent.is_none(), "a child looks at its parent's flag alone");
        Self { token: self.token.child_token(), is_killed: Arc::default(), parent: Some(Arc::clone(&self.is_killed)) }
    }

    /// Ends whatever waits for it, now or later.
    pub fn kill(&self) {
        self.is_killed.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Whether it was killed, or its parent.
    #[must_use]
    #[inline]
    pub fn is_killed(&self) -> bool {
        let is_set = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        is_set(&self.is_killed) || self.parent.as_deref().is_some_and(is_set)
    }

    /// Waits until it is.
    pub async fn killed(&self) {
        self.token.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_is_killed_alone_or_with_its_parent() {
        let parent = KillToken::default();
        let (one, other) = (parent.child(), parent.child());
        one.kill();
        one.killed().await;
        assert_eq!([&one, &other, &parent].map(KillToken::is_killed), [true, false, false]);

        parent.kill();
        other.killed().await;
        assert!(other.is_killed() && parent.is_killed() && parent.child().is_killed());
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_finds_it_killed() {
        let parent = KillToken::default();
        let child = parent.child();
        let waiting = tokio::spawn({
            let child = child.clone();
            async move {
                child.killed().await;
                child.is_killed()
            }
        });
        tokio::task::yield_now().await;
        parent.kill();
        assert!(waiting.await.unwrap());
    }
}
