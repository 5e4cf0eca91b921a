//! What the scheduler counts of threads: how long they ran, and how long they were ready and waited for a core.
//!
//! Who waits for an answer cannot tell a server that computes from one that was not let onto its core. The system can. It
//! brings its figures up to date when a thread leaves its core, which the sleeper on that core has it do once a millisecond.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of three numbers.
const LINE_BYTES_MAX: usize = 64;

/// Nanoseconds since the thread began. Time that the hypervisor took is in neither.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) ran: u64,
    pub(crate) waited: u64,
}

impl Counted {
    pub(crate) fn since(self, before: Self) -> Self {
        Self { ran: self.ran.saturating_sub(before.ran), waited: self.waited.saturating_sub(before.waited) }
    }
}

/// A thread whose figures are read over and over.
pub(crate) struct Thread(File);

impl Thread {
    /// The one that calls.
    pub(crate) fn this() -> io::Result<Self> {
        Ok(Self(File::open("/proc/thread-self/schedstat")?))
    }

    fn of(folder: &Path) -> io::Result<Self> {
        Ok(Self(File::open(folder.join("schedstat"))?))
    }

    /// What is counted so far; nothing for a thread that has ended.
    pub(crate) fn counted(&self) -> Counted {
        let mut line = [0; LINE_BYTES_MAX];
        let read = self.0.read_at(&mut line, 0).unwrap_or_default();
        let text = std::str::from_utf8(&line[..read]).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or_default());
        Counted { ran: numbers.next().unwrap_or_default(), waited: numbers.next().unwrap_or_default() }
    }
}

/// The threads that a process has now.
pub(crate) struct Process {
    main: Thread,
    others: Vec<Thread>,
}

impl Process {
    pub(crate) fn of(id: u32) -> io::Result<Self> {
        let (main, tasks) = (id.to_string(), PathBuf::from(format!("/proc/{id}/task")));
        let names = fs::read_dir(&tasks)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        let others = names.into_iter().filter(|name| *name != *main).map(|name| Thread::of(&tasks.join(name)));
        Ok(Self { main: Thread::of(&tasks.join(&main))?, others: others.collect::<io::Result<_>>()? })
    }

    pub(crate) fn main(&self) -> Counted {
        self.main.counted()
    }

    /// For how long the other threads ran, all together.
    pub(crate) fn others_ran(&self) -> u64 {
        self.others.iter().map(|thread| thread.counted().ran).sum()
    }
}
