//! A redis-server beside ringkv, whose replies are the expected ones.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::frame::Wire;
use crate::harness::{PATIENCE, Ports, poll};

/// A redis-server as it is without a configuration, but for its address and that it leaves no files. Killed when dropped.
pub(crate) struct Twin {
    pub(crate) port: u16,
    child: Child,
    directory: TempDir,
    _reserved: Ports,
}

impl Twin {
    /// Starts one on a free port and waits until it answers.
    pub(crate) fn start() -> Self {
        let mut twin = Self::spawn();
        poll("redis-server answers", PATIENCE, || twin.serves().then_some(()));
        twin.assert_is_7();
        twin
    }

    fn spawn() -> Self {
        let directory = tempfile::tempdir().expect("a directory for temporary files");
        let reserved = Ports::reserve(1);
        let port = reserved.numbers[0];
        let log = File::create(directory.path().join("log")).expect("the directory is ours");
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.to_string(), "--dir"])
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Self { port, child, directory, _reserved: reserved },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!(
                    "redis-server is not on the PATH, and ringkv is held against one: install it (on Debian: apt-get install redis-server)"
                )
            }
            Err(error) => panic!("cannot start redis-server: {error}"),
        }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn serves(&mut self) -> bool {
        if let Some(status) = self.child.try_wait().expect("it is our child") {
            panic!("redis-server ended with {status}:\n{}", fs::read_to_string(self.log()).unwrap_or_default());
        }
        let ping = Wire::connect(self.port, 2).and_then(|mut wire| wire.ask(&["PING"]));
        ping.is_ok_and(|answer| answer.bytes == b"+PONG\r\n")
    }

    fn assert_is_7(&self) {
        let info = Wire::connect(self.port, 2).and_then(|mut wire| wire.ask(&["INFO", "server"])).expect("it answers");
        let info = String::from_utf8_lossy(&info.bytes).into_owned();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown").to_owned();
        assert!(version.starts_with("7.0."), "ringkv answers as Redis 7.0, but this redis-server is {version}");
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }
}
