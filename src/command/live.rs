//! Settings that CONFIG SET changes while the node runs.
//!
//! They begin as the configuration has them. Each is read where it matters, when somebody connects, waits or asks: none
//! on the way of a GET or SET. Two that belong together are not changed as one; none here do.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::{OutputLimit, OutputLimits, Secret, ServerConfig};

/// What can change at run time.
#[derive(Debug)]
pub struct LiveSettings {
    max_clients: AtomicUsize,
    max_value_bytes: AtomicUsize,
    timeout_seconds: AtomicU64,
    tcp_keepalive_seconds: AtomicU64,
    protected_mode: AtomicBool,
    output_limits: Mutex<OutputLimits>,
    /// What clients must say.
    password: Mutex<Option<Secret>>,
    /// Whether there is one, so that a client that need not say it takes no lock.
    has_password: AtomicBool,
}

/// One change, already found to be legal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// To the value that it has.
    None,
    MaxClients(usize),
    MaxValueBytes(usize),
    TimeoutSeconds(u64),
    TcpKeepaliveSeconds(u64),
    ProtectedMode(bool),
    OutputLimits(OutputLimits),
    Password(Option<Secret>),
}

impl LiveSettings {
    /// As configured.
    #[must_use]
    pub fn new(config: &ServerConfig) -> Self {
        Self {
            max_clients: config.max_clients.into(),
            max_value_bytes: config.max_value_bytes.into(),
            timeout_seconds: config.timeout.into(),
            tcp_keepalive_seconds: config.tcp_keepalive.into(),
            protected_mode: config.protected_mode.into(),
            output_limits: Mutex::new(config.client_output_buffer_limit),
            has_password: config.requirepass.is_some().into(),
            password: Mutex::new(config.requirepass.clone()),
        }
    }

    /// How many clients may be connected.
    #[must_use]
    pub fn max_clients(&self) -> usize {
        self.max_clients.load(Ordering::Relaxed)
    }

    /// The longest value that a client who connects now may send.
    #[must_use]
    pub fn max_value_bytes(&self) -> usize {
        self.max_value_bytes.load(Ordering::Relaxed)
    }

    /// How long a client may be silent; `None` is for ever.
    #[must_use]
    pub fn idle_timeout(&self) -> Option<Duration> {
        Some(self.timeout_seconds.load(Ordering::Relaxed)).filter(|&seconds| seconds > 0).map(Duration::from_secs)
    }

    /// After how long a silence the system asks a client who connects now for a sign of life; `None` is never.
    #[must_use]
    pub fn tcp_keepalive(&self) -> Option<Duration> {
        Some(self.tcp_keepalive_seconds.load(Ordering::Relaxed)).filter(|&seconds| seconds > 0).map(Duration::from_secs)
    }

    /// When a client that does not take its replies is closed.
    #[must_use]
    pub fn output_limit(&self) -> OutputLimit {
        self.output_limits.lock().normal()
    }

    /// All that was set of that.
    pub(super) fn output_limits(&self) -> OutputLimits {
        *self.output_limits.lock()
    }

    /// Whether the node is in protected mode, should it have no password.
    pub(super) fn protected_mode(&self) -> bool {
        self.protected_mode.load(Ordering::Relaxed)
    }

    /// Whether clients of other machines are to be refused.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.protected_mode() && !self.has_password()
    }

    /// Whether clients have to authenticate.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.has_password.load(Ordering::Acquire)
    }

    /// Whether `candidate` is the password; any is, if there is none.
    pub(super) fn admits(&self, candidate: &[u8]) -> bool {
        self.password.lock().as_ref().is_none_or(|password| password.matches(candidate))
    }

    /// Makes a change.
    pub(super) fn apply(&self, change: Change) {
        match change {
            Change::None => {}
            Change::MaxClients(count) => self.max_clients.store(count, Ordering::Relaxed),
            Change::MaxValueBytes(bytes) => self.max_value_bytes.store(bytes, Ordering::Relaxed),
            Change::TimeoutSeconds(seconds) => self.timeout_seconds.store(seconds, Ordering::Relaxed),
            Change::TcpKeepaliveSeconds(seconds) => self.tcp_keepalive_seconds.store(seconds, Ordering::Relaxed),
            Change::ProtectedMode(on) => self.protected_mode.store(on, Ordering::Relaxed),
            Change::OutputLimits(limits) => *self.output_limits.lock() = limits,
            Change::Password(password) => {
                let mut held = self.password.lock();
                self.has_password.store(password.is_some(), Ordering::Release);
                *held = password;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_protected_unless_it_has_a_password_or_is_told_not_to_be() {
        let live = LiveSettings::new(&ServerConfig::default());
        assert!(live.is_protected() && live.admits(b"anything"));
        live.apply(Change::Password(Some(Secret::new("sesame".to_owned()))));
        assert!(!live.is_protected() && live.has_password());
        assert!(live.admits(b"sesame") && !live.admits(b"sesam") && !live.admits(b""));
        live.apply(Change::Password(None));
        assert!(live.is_protected());
        live.apply(Change::ProtectedMode(false));
        assert!(!live.is_protected());
    }

    #[test]
    fn zero_seconds_are_never() {
        let live = LiveSettings::new(&ServerConfig::default());
        assert_eq!((live.idle_timeout(), live.tcp_keepalive()), (None, Some(Duration::from_mins(5))));
        live.apply(Change::TimeoutSeconds(5));
        live.apply(Change::TcpKeepaliveSeconds(0));
        assert_eq!((live.idle_timeout(), live.tcp_keepalive()), (Some(Duration::from_secs(5)), None));
    }

    #[test]
    fn debug_output_hides_the_password() {
        let config = ServerConfig { requirepass: Some(Secret::new("sesame".to_owned())), ..ServerConfig::default() };
        assert!(!format!("{config:?} {:?}", LiveSettings::new(&config)).contains("sesame"));
    }
}
