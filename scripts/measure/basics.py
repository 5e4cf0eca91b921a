"""The machine, the processes of a server, and single requests to it."""

import os
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

HOST = "127.0.0.1"
CLIENTS = 50
VALUE_BYTES = 64
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Longest wait for a program to end once it is told to.
END_SECONDS_MAX = 30


def ticks(pid: int) -> int:
    """utime + stime of a process with all its threads, also those that ended."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])


def resident_bytes(pid: int) -> int:
    """Memory that the system counts for a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def machine() -> str:
    """Processor model and number of cores; not every kind of processor names its model."""
    match = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{match[1] if match else 'unknown processor'}, {os.cpu_count()} cores"


def redis_version() -> str:
    """Of the redis-server on the PATH."""
    said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, timeout=10).stdout
    match = re.search(r"v=(\S+)", said)
    return match[1] if match else said.strip()


@contextmanager
def child(command: Sequence[str | Path], **streams: BinaryIO | int) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is told to end, and waited for, should this one leave it early. One that was killed instead could not
    take back what it had started."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **streams)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=END_SECONDS_MAX)


# ---- single requests ----

# What a reply becomes.
Reply = int | str | None | list["Reply"]


class Refused(Exception):
    """An error reply."""


def ask(port: int, *words: object, seconds: float = 5) -> Reply:
    """The reply to one command; raises OSError where nobody answers in time."""
    parts = [str(word).encode() for word in words]
    request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    with socket.create_connection((HOST, port), timeout=seconds) as connection:
        connection.sendall(request)
        return read_reply(connection.makefile("rb"))


def read_reply(stream: BinaryIO) -> Reply:
    """One reply of RESP2."""
    line = stream.readline().decode().rstrip("\r\n")
    kind, rest = line[:1], line[1:]
    if kind == "-":
        raise Refused(rest)
    if kind == "+":
        return rest
    if kind == ":":
        return int(rest)
    if kind == "*":
        return [read_reply(stream) for _ in range(int(rest))]
    if kind != "$":
        raise OSError(f"no reply: {line!r}")
    return None if rest == "-1" else stream.read(int(rest) + 2)[:-2].decode()


def info(port: int, section: str = "default") -> dict[str, str]:
    """INFO as names and values; empty if nobody answers."""
    try:
        text = str(ask(port, "INFO", section))
    except (OSError, Refused):
        return {}
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def slots_by(port: int, wanted: str) -> list[str]:
    """Ranges of slots as CLUSTER SLOTS tells: those that the node at this port is asked first for ("first"), or of which
    it keeps no copy ("none")."""
    ranges = []
    for first, last, *nodes in ask(port, "CLUSTER", "SLOTS"):
        ports = [node[1] for node in nodes]
        if ports[0] == port if wanted == "first" else port not in ports:
            ranges.append(f"{first}-{last}")
    return ranges
