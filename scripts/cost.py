"""Measures for scripts/cost.sh, which starts two clusters: one as it is by default, one without the background's work."""

import argparse
import datetime
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from measure.basics import (
    CLIENTS, END_SECONDS_MAX, HOST, TICKS_PER_SECOND, VALUE_BYTES, child, info, machine, resident_bytes, ticks,
)
from measure.load import parse_benchmark
from measure.results import publish

PIPELINE = 16
FILL_BATCH = 1000
# Longest wait for the replicas to agree, or for a node to come back.
WAIT_SECONDS_MAX = 300
RUN_SECONDS_MAX = 300
# Connections of the load during which a node comes back; each waits for an answer before it asks again.
CALLERS = 8


class Node:
    """One process of a cluster."""

    def __init__(self, line: str) -> None:
        self.id, pid, _, port = line.split("\t")
        self.pid, self.port = int(pid), int(port)


class Cluster:
    """Three nodes, by the directory in which start_cluster.sh keeps their state."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.read_nodes()

    def read_nodes(self) -> None:
        """Who runs now."""
        self.nodes = [Node(line) for line in (self.directory / "nodes").read_text().splitlines()]

    def cpu_seconds(self) -> list[float]:
        """User plus system time so far, by node."""
        return [ticks(node.pid) / TICKS_PER_SECOND for node in self.nodes]

    def fill(self, keys: int) -> None:
        """Writes every key."""
        with socket.create_connection((HOST, self.nodes[0].port), timeout=30) as connection:
            for start in range(0, keys, FILL_BATCH):
                count = min(FILL_BATCH, keys - start)
                connection.sendall(b"".join(set_request(i) for i in range(start, start + count)))
                expect_ok(connection, count)

    def wait_until_equal(self, keys: int) -> float:
        """Seconds until each node holds every key and none knows of a difference."""
        began = time.monotonic()
        while not all(holds_all(info(node.port), keys) for node in self.nodes):
            if time.monotonic() - began > WAIT_SECONDS_MAX:
                sys.exit(f"cost.py: the nodes of {self.directory} do not agree: {[info(node.port) for node in self.nodes]}")
            time.sleep(0.1)
        return time.monotonic() - began


def holds_all(said: dict[str, str], keys: int) -> bool:
    """Whether a node has caught up and holds every key."""
    return said.get("slots_syncing") == "0" and said.get("keys_held") == str(keys)


def set_request(number: int) -> bytes:
    """SET of one key, named as redis-benchmark names it."""
    arguments = [b"SET", b"key:%012d" % number, b"x" * VALUE_BYTES]
    return b"*3\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(argument), argument) for argument in arguments)


def expect_ok(connection: socket.socket, count: int) -> None:
    """Reads that many +OK; any other answer ends the program."""
    expected = b"+OK\r\n" * count
    got = b""
    while len(got) < len(expected):
        part = connection.recv(65536)
        got += part
        if not part or not expected.startswith(got):
            sys.exit(f"cost.py: SET was not answered with OK: ...{got[-200:]!r}")


# ---- idle ----


def idle_percent(cluster: Cluster, seconds: int) -> list[float]:
    """Percent of a core that each node uses while nobody asks anything."""
    before = cluster.cpu_seconds()
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [100 * (after - start) / passed for start, after in zip(before, cluster.cpu_seconds())]


# ---- under load ----


@dataclass(frozen=True)
class Run:
    """What one run of redis-benchmark showed."""

    rps: float
    cpu_us: float


def set_run(cluster: Cluster, keys: int, operations: int) -> Run:
    """SET over all keys, at one node."""
    command = ["redis-benchmark", "-h", HOST, "-p", str(cluster.nodes[0].port), "-t", "set", "-n", str(operations)]
    command += ["-c", str(CLIENTS), "-P", str(PIPELINE), "-d", str(VALUE_BYTES), "-r", str(keys), "--precision", "3"]
    before = sum(cluster.cpu_seconds())
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS_MAX)
    used = sum(cluster.cpu_seconds()) - before
    rps, *_ = parse_benchmark(done, f"SET at {cluster.directory.name}")
    return Run(rps, used * 1e6 / operations)


def set_pair(on: Cluster, off: Cluster, number: int, keys: int, operations: int) -> tuple[Run, Run]:
    """A run with the work and one without. Which comes first alternates, in case the second is better off."""
    if number % 2 == 0:
        with_work = set_run(on, keys, operations)
        return with_work, set_run(off, keys, operations)
    without = set_run(off, keys, operations)
    return set_run(on, keys, operations), without


# ---- a node comes back ----


@dataclass(frozen=True)
class Service:
    """What the callers of the living nodes saw in one stretch of time."""

    rps: float
    p50_ms: float
    p99_ms: float
    longest_ms: float


def calling(ports: list[int], keys: int, log: Path) -> list[str | Path]:
    """The command of a process that calls the living nodes until it is ended, and writes down when each answer came."""
    return [sys.executable, __file__, "--call", *map(str, ports), "--keys", str(keys), "--out", log]


def calls_of(callers: subprocess.Popen[bytes], log: Path) -> list[tuple[float, float]]:
    """Ends it: when each request was sent, and the seconds until its answer."""
    callers.terminate()
    if callers.wait(timeout=END_SECONDS_MAX) != 0:
        sys.exit("cost.py: a caller of a living node failed")
    return [tuple(map(float, line.split())) for line in log.read_text().splitlines()]


def service(calls: list[tuple[float, float]], begin: float, end: float) -> Service:
    """The calls of one stretch of time."""
    took = sorted(seconds * 1000 for at, seconds in calls if begin <= at < end)
    if not took:
        sys.exit("cost.py: nobody was served")
    return Service(len(took) / (end - begin), took[len(took) // 2], took[len(took) * 99 // 100], took[-1])


def call(arguments: argparse.Namespace) -> int:
    """SET and GET in turn on each connection, one at a time, until SIGTERM."""
    over = []
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))
    connections = []
    for number in range(CALLERS):
        address = (HOST, arguments.call[number % len(arguments.call)])
        connections.append(socket.create_connection(address, timeout=10))
    calls = []
    number = 0
    while not over:
        # All are asked before the first answer is read, so that as many requests are in flight.
        sent = []
        for connection in connections:
            number += 7919
            key = b"key:%012d" % (number % arguments.keys)
            request = set_request(number % arguments.keys) if number % 2 else b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key)
            sent.append(time.monotonic())
            connection.sendall(request)
        for connection, at in zip(connections, sent):
            answer = connection.recv(4096)
            if not answer or answer.startswith(b"-"):
                sys.exit(f"cost.py: a living node answered {answer!r}")
            calls.append((at, time.monotonic() - at))
    arguments.out.write_text("".join(f"{at:.6f} {took:.6f}\n" for at, took in calls))
    return 0


@dataclass(frozen=True)
class Return:
    """How a node came back."""

    seconds: float
    before: Service
    during: Service


def bring_back(cluster: Cluster, keys: int, restart: str) -> Return:
    """Kills the first node and starts it again while the others are called."""
    victim, *living = cluster.nodes
    calm = 5
    log, command = cluster.directory / "calls", [restart, "--restart", victim.id, "--dir", cluster.directory]
    with child(calling([node.port for node in living], keys, log)) as callers:
        time.sleep(calm)
        os.kill(victim.pid, signal.SIGKILL)
        time.sleep(1)
        started = time.monotonic()
        with child(command, stdout=subprocess.DEVNULL) as starter:
            while not holds_all(info(victim.port), keys):
                if time.monotonic() - started > WAIT_SECONDS_MAX:
                    sys.exit(f"cost.py: {victim.id} has not caught up: {info(victim.port)}")
                time.sleep(0.02)
            caught_up = time.monotonic()
            if starter.wait(timeout=WAIT_SECONDS_MAX) != 0:
                sys.exit(f"cost.py: {victim.id} could not be started again, see above")
        calls = calls_of(callers, log)
    cluster.read_nodes()
    # The first second warms up.
    before = service(calls, started - calm, started - 1)
    return Return(caught_up - started, before, service(calls, started, caught_up))


# ---- the table ----


def document(arguments: argparse.Namespace, figures: dict[str, str]) -> str:
    """The whole file."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in figures.items())
    return f"""# What keeping replicas equal costs

Written by `{arguments.command}`.

* Machine: {machine()}; nodes and clients share them. One worker thread per node.
* {datetime.date.today().isoformat()}
* Three nodes, N=3 W=2 R=1, {arguments.keys} keys of {VALUE_BYTES} bytes on each. "Off": a second cluster without hints, anti-entropy
  and background read repair. SET: redis-benchmark, {CLIENTS} clients, {PIPELINE} commands per pipeline, {arguments.pairs} pairs of runs in turn;
  medians of the ratios, in brackets the smallest and the largest. CPU: of all three nodes, per operation.
* A node comes back: kill -9, a start with empty memory, and the time until it holds every key and counts for every slot. Until
  then {CALLERS} connections to the other nodes have a SET or GET in flight each, and every one of them is answered without error.

| measured | |
|---|---|
{rows}
"""


def ratio_text(ratios: list[float]) -> str:
    """Median and range."""
    return f"**{statistics.median(ratios):.3f}** ({min(ratios):.3f} to {max(ratios):.3f})"


def served(text: Service) -> str:
    """One stretch of time."""
    return f"{text.rps:.0f} requests/s, p50 {text.p50_ms:.2f} ms, p99 {text.p99_ms:.2f} ms, longest {text.longest_ms:.0f} ms"


def percent(values: list[float]) -> str:
    """By node."""
    return ", ".join(f"{value:.2f}" for value in values)


def measure(arguments: argparse.Namespace) -> dict[str, str]:
    """Everything, in order: nothing else runs while the clusters are idle."""
    on, off = Cluster(arguments.on), Cluster(arguments.off)
    idle_seconds = 10 if arguments.quick else 20
    operations = 200_000 if arguments.quick else 1_000_000
    figures = {}
    empty = statistics.mean(resident_bytes(node.pid) for node in on.nodes)
    for cluster in (on, off):
        cluster.fill(arguments.keys)
        cluster.wait_until_equal(arguments.keys)
    full = statistics.mean(resident_bytes(node.pid) for node in on.nodes)
    figures["memory of a node per key, bytes"] = f"{(full - empty) / arguments.keys:.0f}"
    # What the fill left to be done is done.
    time.sleep(5)
    figures[f"idle: percent of a core by node, over {idle_seconds} s"] = percent(idle_percent(on, idle_seconds))
    figures["the same, off"] = percent(idle_percent(off, idle_seconds))
    pairs = [set_pair(on, off, number, arguments.keys, operations) for number in range(arguments.pairs)]
    figures["SET: requests/s"] = f"{statistics.median(pair[0].rps for pair in pairs):.0f}"
    figures["SET: throughput, on to off"] = ratio_text([with_work.rps / without.rps for with_work, without in pairs])
    figures["SET: CPU, on to off"] = ratio_text([with_work.cpu_us / without.cpu_us for with_work, without in pairs])
    on.wait_until_equal(arguments.keys)
    back = bring_back(on, arguments.keys, arguments.restart)
    figures["a node comes back: seconds"] = f"**{back.seconds:.1f}**"
    figures["clients before"] = served(back.before)
    figures["clients meanwhile"] = served(back.during)
    return figures


def parse_arguments() -> argparse.Namespace:
    """The command line, as cost.sh and Callers write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--call", type=int, nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--on", type=Path)
    parser.add_argument("--off", type=Path)
    parser.add_argument("--keys", type=int, required=True)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--restart")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--command")
    return parser.parse_args()


def main() -> int:
    """Measures and writes, or calls."""
    arguments = parse_arguments()
    if arguments.call:
        return call(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    publish(document(arguments, measure(arguments)), arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
