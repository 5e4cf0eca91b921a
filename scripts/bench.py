"""Measures running servers for scripts/bench.sh, which starts and pins them. Standard library only.

A row is one kind of load. Its runs alternate between redis-server and ringkv, since a machine's speed drifts by far more
than the difference that is looked for; each pair gives a ratio of processor time per operation, and the median of the
ratios counts. Processor time is user plus system time of all processes of the server, from /proc, divided by operations.
"""

import argparse
import csv
import datetime
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
CLIENTS = 50
VALUE_BYTES = 64
KEYS = 100_000
FILL_BATCH = 1000
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Longest time for one run of redis-benchmark.
RUN_SECONDS_MAX = 300


@dataclass(frozen=True)
class Row:
    """One kind of load, and the ratio that ringkv must not exceed, if one is promised."""

    cluster: str
    title: str
    test: str
    pipeline: int
    # How many different keys are asked for: few stay in the processor's cache, many do not.
    keys: int
    floor: float | None


FEW_KEYS = 10_000
ROWS = [
    Row("one", "one node", "GET", 1, KEYS, 1.0),
    Row("one", "one node", "SET", 1, KEYS, 1.0),
    Row("one", "one node", "GET", 16, FEW_KEYS, 0.75),
    Row("one", "one node", "GET", 16, KEYS, 0.75),
    Row("one", "one node", "SET", 16, FEW_KEYS, 0.75),
    Row("one", "one node", "SET", 16, KEYS, 0.75),
    Row("three", "three nodes, N=3 W=2", "SET", 1, KEYS, None),
    Row("three", "three nodes, N=3 W=2", "SET", 16, FEW_KEYS, 2.5),
    Row("three", "three nodes, N=3 W=2", "SET", 16, KEYS, 2.5),
    Row("three", "three nodes, N=3 R=1", "GET", 16, KEYS, None),
]


@dataclass(frozen=True)
class Server:
    """What is measured as one: a port to ask, and all the processes that work for the answer."""

    name: str
    port: int
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """User plus system time of all its processes so far."""
        return sum(ticks(pid) for pid in self.pids) / TICKS_PER_SECOND


@dataclass(frozen=True)
class Run:
    """What one run of redis-benchmark showed."""

    rps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def ticks(pid: int) -> int:
    """utime + stime of a process with all its threads, also those that ended."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(after_name[11]) + int(after_name[12])


class Bench:
    """The settings of one invocation."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.client_core = arguments.client_core
        self.pairs = arguments.pairs or (3 if arguments.quick else 5)
        self.quick = arguments.quick

    def operations(self, row: Row) -> int:
        """Enough for a second or more of processor time, of which a tick is one hundredth."""
        if row.pipeline == 1:
            return 60_000 if self.quick else 200_000
        return 500_000 if self.quick else 2_000_000

    def run(self, server: Server, row: Row) -> Run:
        """One run of redis-benchmark, pinned to the client's core."""
        operations = self.operations(row)
        command = ["taskset", "-c", str(self.client_core), "redis-benchmark", "-h", HOST, "-p", str(server.port)]
        command += ["-t", row.test.lower(), "-n", str(operations), "-c", str(CLIENTS), "-P", str(row.pipeline)]
        command += ["-d", str(VALUE_BYTES), "-r", str(row.keys), "--csv", "--precision", "3"]
        before = server.cpu_seconds()
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS_MAX
        )
        used = server.cpu_seconds() - before
        if used <= 0:
            sys.exit(f"bench.py: {server.name} used no processor time for {operations} operations: are its pids right?")
        rps, p50_ms, p99_ms = parse_benchmark(done, f"{server.name}, {row.title} {row.test} P={row.pipeline}")
        return Run(rps, p50_ms, p99_ms, used * 1e6 / operations)

    def row(self, redis: Server, ringkv: Server, row: Row) -> list[tuple[Run, Run]]:
        """All pairs of a row."""
        return [(self.run(redis, row), self.run(ringkv, row)) for _ in range(self.pairs)]


def parse_benchmark(done: subprocess.CompletedProcess[str], what: str) -> tuple[float, float, float]:
    """Requests per second, p50 and p99 in milliseconds; anything but clean figures ends the program."""
    said = f"{done.stdout}\n{done.stderr}".replace("\r", "\n")
    table = [line for line in done.stdout.splitlines() if line.startswith('"')]
    if done.returncode != 0 or len(table) != 2 or re.search("error", said, re.IGNORECASE):
        sys.exit(f"bench.py: redis-benchmark failed for {what} (exit code {done.returncode}):\n{said.strip()}")
    figures = next(csv.DictReader(table))
    return float(figures["rps"]), float(figures["p50_latency_ms"]), float(figures["p99_latency_ms"])


# ---- the data ----


def fill(server: Server) -> None:
    """Writes every key that redis-benchmark draws from, so that each GET finds a value."""
    with socket.create_connection((HOST, server.port), timeout=30) as connection:
        for start in range(0, KEYS, FILL_BATCH):
            connection.sendall(b"".join(set_request(i) for i in range(start, start + FILL_BATCH)))
            read_acknowledgements(server, connection, FILL_BATCH)


def set_request(number: int) -> bytes:
    """SET of one key, named as redis-benchmark names it."""
    arguments = [b"SET", b"key:%012d" % number, b"x" * VALUE_BYTES]
    return b"*3\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(argument), argument) for argument in arguments)


def read_acknowledgements(server: Server, connection: socket.socket, count: int) -> None:
    """Reads that many +OK; any other answer ends the program."""
    expected = b"+OK\r\n" * count
    got = b""
    while len(got) < len(expected):
        part = connection.recv(65536)
        got += part
        if not part or not expected.startswith(got):
            sys.exit(f"bench.py: {server.name} did not answer SET with OK while being filled: ...{got[-200:]!r}")


# ---- the table ----


def median_of(runs: list[Run], name: str) -> float:
    """The median of one figure."""
    return statistics.median(getattr(run, name) for run in runs)


@dataclass(frozen=True)
class Result:
    """A row with its pairs."""

    row: Row
    pairs: list[tuple[Run, Run]]

    def ratios(self) -> list[float]:
        """Processor time of ringkv over that of redis-server, per pair."""
        return [ringkv.cpu_us / redis.cpu_us for redis, ringkv in self.pairs]

    def missed(self) -> bool:
        """Whether a promised floor is missed."""
        return self.row.floor is not None and statistics.median(self.ratios()) > self.row.floor

    def cells(self) -> list[str]:
        """The row as text."""
        redis, ringkv = ([pair[side] for pair in self.pairs] for side in (0, 1))
        ratios = self.ratios()
        cells = [f"{self.row.title}, {self.row.test}", str(self.row.pipeline), f"{self.row.keys // 1000}"]
        for runs in (redis, ringkv):
            cells.append(f"{median_of(runs, 'rps') / 1000:.0f}")
            cells.append(f"{median_of(runs, 'p50_ms'):.2f} / {median_of(runs, 'p99_ms'):.2f}")
            cells.append(f"{median_of(runs, 'cpu_us'):.2f}")
        cells.append(f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})")
        cells.append(self.verdict())
        return cells

    def verdict(self) -> str:
        """The promise beside the figure."""
        if self.row.floor is None:
            return "-"
        return f"{self.row.floor:g}, {'missed' if self.missed() else 'kept'}"


HEADINGS = [
    "load", "P", "1000 keys",
    "redis-server, 1000/s", "p50 / p99, ms", "CPU, µs",
    "ringkv, 1000/s", "p50 / p99, ms", "CPU, µs",
    "CPU ratio", "at most",
]


def markdown_table(results: list[Result]) -> str:
    """Columns of even width, so that the table also reads well in a terminal."""
    lines = [HEADINGS] + [result.cells() for result in results]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def machine() -> str:
    """Processor model and number of cores; not every kind of processor names its model."""
    match = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{match[1] if match else 'unknown processor'}, {os.cpu_count()} cores"


def redis_version() -> str:
    """Of the redis-server on the PATH."""
    said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, timeout=10).stdout
    match = re.search(r"v=(\S+)", said)
    return match[1] if match else said.strip()


def document(arguments: argparse.Namespace, bench: Bench, results: list[Result]) -> str:
    """The whole results file."""
    return f"""# ringkv beside redis-server

Written by `{arguments.command}`.

* Machine: {machine()}. Servers on one core, redis-benchmark on another.
* redis-server {redis_version()}, no persistence, one copy. ringkv with {arguments.threads} worker thread(s) per node.
* {datetime.date.today().isoformat()}
* {CLIENTS} clients, {VALUE_BYTES}-byte values, {KEYS} keys present, of which as many as said are asked for at random. P: commands per pipeline.
* Medians of {bench.pairs} pairs of runs, redis-server and ringkv in turn. CPU: user and system time of all server processes
  together, per operation. CPU ratio: ringkv to redis-server within a pair, in brackets the smallest and the largest.

{markdown_table(results)}
"""


# ---- the run ----


def server(name: str, numbers: list[int]) -> Server:
    """From port and process ids on the command line."""
    return Server(name, numbers[0], tuple(numbers[1:]))


def parse_arguments() -> argparse.Namespace:
    """The command line, as bench.sh writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("redis", "one", "three"):
        parser.add_argument(f"--{name}", type=int, nargs="+", required=True, metavar=("PORT", "PID"))
    parser.add_argument("--client-core", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--command", required=True)
    return parser.parse_args()


def main() -> int:
    """Fills, measures, writes; 1 when a floor is missed and that was to be an error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse_arguments()
    bench = Bench(arguments)
    redis = server("redis-server", arguments.redis)
    ringkv = {name: server(f"ringkv, {name} node(s)", getattr(arguments, name)) for name in ("one", "three")}
    for each in (redis, *ringkv.values()):
        fill(each)
    results = []
    for row in ROWS:
        result = Result(row, bench.row(redis, ringkv[row.cluster], row))
        results.append(result)
        print(f"{row.title}, {row.test}, P={row.pipeline}, {row.keys} keys: CPU ratio {statistics.median(result.ratios()):.2f}", flush=True)
    text = document(arguments, bench, results)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text)
    print(f"\n{markdown_table(results)}\n\nwritten to {arguments.out}")
    missed = [f"{result.row.title}, {result.row.test} P={result.row.pipeline} {result.row.keys} keys" for result in results if result.missed()]
    if missed:
        print(f"floors missed: {'; '.join(missed)}")
    return 1 if missed and arguments.gate else 0


if __name__ == "__main__":
    sys.exit(main())
