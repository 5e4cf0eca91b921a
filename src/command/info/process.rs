//! What the operating system knows of this process.
//!
//! Read from Linux' `/proc`, which is memory and no disk. Elsewhere, and for whatever cannot be read, the numbers are 0.

use std::env::consts;
use std::fmt;
use std::fs;

/// Clock ticks per second in `/proc`: the same on every Linux, whatever the kernel's own tick is.
const TICKS_PER_SECOND: u64 = 100;

/// Numbers of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Memory {
    /// The process' pages in memory.
    pub(super) resident: u64,
    /// The most that these ever were.
    pub(super) resident_peak: u64,
    /// What the machine has.
    pub(super) system: u64,
}

/// Processor time since the process began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Cpu {
    /// In ringkv's own code.
    pub(super) user: Ticks,
    /// In the kernel on its behalf.
    pub(super) system: Ticks,
    /// As `user`, of child processes.
    pub(super) children_user: Ticks,
    /// As `system`, of child processes.
    pub(super) children_system: Ticks,
}

/// A time in the kernel's ticks; displays as seconds with six decimals, as Redis has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Ticks(u64);

impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, rest) = (self.0 / TICKS_PER_SECOND, self.0 % TICKS_PER_SECOND);
        write!(f, "{seconds}.{:06}", rest * (1_000_000 / TICKS_PER_SECOND))
    }
}

/// System, release and architecture, such as `Linux 6.1.0 x86_64`.
pub(super) fn operating_system() -> String {
    match fs::read_to_string("/proc/sys/kernel/osrelease") {
        Ok(release) => format!("Linux {} {}", release.trim(), consts::ARCH),
        Err(_) => format!("{} {}", consts::OS, consts::ARCH),
    }
}

/// The memory of this process.
pub(super) fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Memory {
        resident: kilobytes(&status, "VmRSS:") * 1024,
        resident_peak: kilobytes(&status, "VmHWM:") * 1024,
        system: kilobytes(&machine, "MemTotal:") * 1024,
    }
}

/// The processor time of this process.
pub(super) fn cpu() -> Cpu {
    parse_cpu(&fs::read_to_string("/proc/self/stat").unwrap_or_default())
}

/// The number behind `name` at the start of a line.
fn kilobytes(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    value.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

/// Reads the 14th to 17th field. The second is the program's name in parentheses, with whatever it contains.
fn parse_cpu(stat: &str) -> Cpu {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut times = after_name.split_whitespace().skip(11).map(|field| Ticks(field.parse().unwrap_or_default()));
    let mut next = || times.next().unwrap_or_default();
    Cpu { user: next(), system: next(), children_user: next(), children_system: next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_program_name() {
        let stat = "18543 (a) b (c) R 1 2 3 0 -1 4194304 98 0 0 0 1234 56 7 0 20 0 1 0 297156 3133440";
        let cpu = parse_cpu(stat);
        let texts = [cpu.user, cpu.system, cpu.children_user, cpu.children_system].map(|ticks| ticks.to_string());
        assert_eq!(texts, ["12.340000", "0.560000", "0.070000", "0.000000"]);
    }

    #[test]
    fn kilobytes_are_found_by_name() {
        let status = "Name:\tringkv\nVmHWM:\t    1712 kB\nVmRSS:\t    1700 kB\n";
        assert_eq!((kilobytes(status, "VmHWM:"), kilobytes(status, "VmRSS:")), (1712, 1700));
    }

    #[test]
    fn what_cannot_be_read_is_zero() {
        assert_eq!(parse_cpu(""), Cpu::default());
        assert_eq!(parse_cpu("1 (x) R 1 2"), Cpu::default());
        assert_eq!((kilobytes("", "VmRSS:"), kilobytes("VmRSS:\tlots kB\n", "VmRSS:")), (0, 0));
    }
}
