"""Loads a server and tells what was seen: by examples/load.rs, or by redis-benchmark where a row is to be its."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from measure.basics import CLIENTS, HOST, VALUE_BYTES, slots_by
from measure.servers import Server, settle

# Longest time for one run.
RUN_SECONDS_MAX = 300
# Less processor time than this is too few ticks to tell anything.
CPU_SECONDS_MIN = 0.04
LONGER = (1, 2, 4)
FILL_PIPELINE = 64
# Values that are sent one at a time.
LARGE_BYTES = 10_000
# The part of requests that may fail, as they do when others have the machine for longer than a request may take.
ERRORS_MAX = 0.001
# redis-benchmark --cluster puts the hash tag of a random slot into each key besides, so this times 16384 keys.
KEYS_PER_SLOT = 10
# It also ends its runs, and counts their time, in quarters of a second only.
CLUSTER_SECONDS_MIN = 1.5


@dataclass(frozen=True)
class Load:
    """What clients ask for."""

    command: str
    pipeline: int
    keys: int
    value_bytes: int = VALUE_BYTES
    zipf: float | None = None
    # WAIT for so many replicas at the end of each pipeline.
    wait: int | None = None
    # Who is asked: one node, or all in turn.
    everywhere: bool = False
    # Which keys: all, those that the asked node is first for ("first"), or those of which it has no copy ("none").
    slots: str | None = None
    # redis-benchmark instead of the load generator, with --cluster or without.
    benchmark: str | None = None


@dataclass(frozen=True)
class Run:
    """What one run showed."""

    rps: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    cpu_us: float


@dataclass(frozen=True)
class Generator:
    """How to make load: the program, its core if it is to have one, and how long a run is."""

    program: Path
    core: int | None
    seconds: float

    def fill(self, server: Server, load: Load, slots: list[str]) -> None:
        """Writes every key that the load draws from, so that each GET finds a value."""
        if load.benchmark == "cluster":
            self.benchmark(server, Load("set", 16, load.keys, benchmark="cluster"), self.seconds)
        else:
            pipeline = FILL_PIPELINE if load.value_bytes < LARGE_BYTES else 1
            self.call(server, load, slots, ["--fill", "--pipeline", str(pipeline), load.command])
        if server.is_ringkv:
            settle(server)

    def run(self, server: Server, load: Load, slots: list[str]) -> Run:
        """One run, and the processor time of the server meanwhile. Where that was too short to tell anything, since others had
        the machine, a longer run takes its place."""
        for longer in LONGER:
            seconds = self.seconds * longer
            before = server.cpu_seconds()
            seen = self.benchmark(server, load, seconds) if load.benchmark else self.generated(server, load, slots, seconds)
            used = server.cpu_seconds() - before
            if used >= CPU_SECONDS_MIN:
                break
        operations, *figures = seen
        if used <= 0:
            raise SystemExit(f"{server.name} used no processor time for {operations} operations: are its processes the right ones?")
        return Run(*figures, used * 1e6 / operations)

    def pairs(
        self, peer: tuple[Server, Load] | None, ringkv: tuple[Server, Load], slots: list[str], count: int
    ) -> list[tuple[Run | None, Run]]:
        """So many runs of either side, in turn. Who comes first alternates, in case the second is better off."""
        pairs = []
        for number in range(count):
            if peer and number % 2 == 0:
                pairs.append((self.run(*peer, slots), self.run(*ringkv, slots)))
            else:
                seen = self.run(*ringkv, slots)
                pairs.append((self.run(*peer, slots) if peer else None, seen))
        return pairs

    def generated(self, server: Server, load: Load, slots: list[str], seconds: float) -> tuple[float, ...]:
        """Requests, requests per second, p50, p99 and p99.9 by the load generator."""
        options = ["--seconds", str(seconds), "--pipeline", str(load.pipeline), load.command]
        if load.zipf is not None:
            options += ["--zipf", str(load.zipf)]
        if load.wait is not None:
            options += ["--wait", str(load.wait)]
        seen = self.call(server, load, slots, options)
        if seen["missing"]:
            raise SystemExit(f"{server.name} found no value {seen['missing']} times, and every key was written")
        return seen["requests"], seen["per_second"], *(seen[name] / 1000 for name in ("p50_us", "p99_us", "p999_us"))

    def call(self, server: Server, load: Load, slots: list[str], options: list[str]) -> dict[str, float]:
        """The load generator's figures."""
        ports = server.ports if load.everywhere else server.ports[:1]
        command = [str(self.program), "--ports", ",".join(map(str, ports)), "--clients", str(CLIENTS), "--keys", str(load.keys)]
        command += ["--value-bytes", str(load.value_bytes)]
        if slots:
            command += ["--slots", ",".join(slots)]
        done = self.finished(command + options)
        if done.returncode != 0:
            raise SystemExit(f"the load failed for {server.name}: {done.stderr.strip()}")
        seen = json.loads(done.stdout)
        if seen["errors"] > seen["requests"] * ERRORS_MAX or seen["errors"] and "--fill" in options:
            raise SystemExit(f"{server.name} answered {seen['errors']} of {seen['requests']} requests with an error: {seen['error']}")
        if seen["errors"]:
            print(f"  note: {server.name} answered {seen['errors']} of {seen['requests']} requests with an error: {seen['error']}", flush=True)
        return seen

    def benchmark(self, server: Server, load: Load, seconds: float) -> tuple[float, ...]:
        """Requests, requests per second, p50, p99 and p99.9 by redis-benchmark."""
        if load.benchmark == "cluster":
            seconds = max(seconds, CLUSTER_SECONDS_MIN)
        operations = int(seconds * (70_000 if load.pipeline == 1 else 600_000))
        command = ["redis-benchmark", "-h", HOST, "-p", str(server.ports[0]), "-t", load.command, "-n", str(operations), "-c", str(CLIENTS)]
        command += ["-P", str(load.pipeline), "-d", str(load.value_bytes), "--precision", "3"]
        command += ["--cluster", "-r", str(KEYS_PER_SLOT)] if load.benchmark == "cluster" else ["-r", str(load.keys)]
        return operations, *parse_benchmark(self.finished(command), server.name)

    def finished(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Runs it on the core of the clients."""
        pinned = [] if self.core is None else ["taskset", "-c", str(self.core)]
        return subprocess.run(pinned + command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_SECONDS_MAX)


def chosen_slots(server: Server, load: Load) -> list[str]:
    """The slots that the load is limited to, by the map of the server that is asked; none: no limit."""
    if load.slots is None:
        return []
    slots = slots_by(server.ports[0], load.slots)
    if not slots:
        raise SystemExit(f"{server.name}: the asked node has no slots of the kind that the row is about")
    return slots


def parse_benchmark(done: subprocess.CompletedProcess[str], what: str) -> tuple[float, float, float, float]:
    """Requests per second, and p50, p99 and p99.9 in milliseconds; anything but clean figures ends the program."""
    said = f"{done.stdout}\n{done.stderr}".replace("\r", "\n")
    rps = re.search(r"throughput summary: ([\d.]+) requests per second", said)
    percentiles = [(float(part), float(ms)) for part, ms in re.findall(r"^([\d.]+)% <= ([\d.]+) milliseconds \(", said, re.MULTILINE)]
    if done.returncode != 0 or not rps or re.search("error", said, re.IGNORECASE):
        raise SystemExit(f"redis-benchmark failed for {what} (exit code {done.returncode}):\n{said.strip()}")
    # The list of percentiles ends at 100; what follows is a list by time.
    return float(rps[1]), *(next(ms for part, ms in percentiles if part >= wanted) for wanted in (50, 99, 99.9))
