"""Measures running servers for scripts/tail.sh, which starts and pins them. Standard library only.

The clients are those of examples/tail_load.rs, each a process of its own that prints its figures as lines `name value`, times
in microseconds. Neighbours run with less priority than the clients that are measured: a wait for the clients' core would
otherwise be taken for one for the server.
"""

import argparse
import datetime
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

from measure.basics import Refused, ask, info, machine, redis_version, resident_bytes
from measure.results import publish
from measure.spent import SPENT_HEADINGS, Figures, Spent, prepared_mb, spent_on_longest, stolen_seconds, without_longest

# No request may take longer because of the server, while keys are loaded.
PAUSE_MS = 10
# The p99 of the ordinary clients may grow by so much.
GROWTH_MAX = 3.0
# "Does not move": by so much the p50 of writes may grow.
P50_GROWTH_MAX = 1.2
NEIGHBOURS = {
    "alone": [],
    "one with 10 MB values": ["large"],
    "one with pipelines of 10,000": ["deep"],
    "one who never reads": ["deaf"],
    "all three": ["large", "deep", "deaf"],
}
NEIGHBOUR_NICE = "10"
# Neighbours begin before the clients that are measured, and end after them.
LEAD_SECONDS = 1
SAMPLE_SECONDS = 0.1
# Memory is looked at for so long after the trouble is over.
RECOVERY_SECONDS = 3
# Millions of keys may go at once.
FLUSH_SECONDS_MAX = 120
# More than any run takes.
RUN_SECONDS_MAX = 1800
QUANTILES = ["p50", "p99", "p999", "p9999", "max"]
# Of so many requests it is told where the time went, and of the others above PAUSE_MS that were kept.
SLOWEST_TOLD = 3


@dataclass(frozen=True)
class Server:
    """A port to ask, and all the processes that work for the answer."""

    name: str
    port: int
    pids: tuple[int, ...]


def resident_mb(pids: tuple[int, ...]) -> float:
    """Resident memory of these processes, in megabytes."""
    return sum(map(resident_bytes, pids)) / 1e6


class Watch(threading.Thread):
    """Looks at the memory of a server, and at what its first node owes to others, until it is stopped."""

    def __init__(self, server: Server, owes: bool = False) -> None:
        super().__init__(daemon=True)
        self.server, self.owes = server, owes
        self.over = threading.Event()
        self.memory: list[float] = []
        self.hints: list[float] = [0.0]
        self.start()

    def run(self) -> None:
        while not self.over.wait(SAMPLE_SECONDS):
            self.memory.append(resident_mb(self.server.pids))
            if self.owes:
                self.hints.append(hint_bytes(self.server.port) / 1e6)

    def stop(self) -> "Watch":
        self.over.set()
        self.join()
        return self


def hint_bytes(port: int) -> int:
    """What a node keeps for replicas that missed it."""
    pairs = [pair for line in info(port, "convergence").values() for pair in line.split(",") if pair.startswith("hint_bytes=")]
    return sum(int(pair.partition("=")[2]) for pair in pairs)


# ---- the clients ----


class Clients:
    """Starts the programs that put load on servers, pinned."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.load, self.client_core, self.server_core = arguments.load, arguments.client_core, arguments.server_core
        self.seconds = arguments.seconds
        self.running: list[subprocess.Popen[str]] = []
        real_time = ["chrt", "-f", "1"]
        try:
            allowed = subprocess.run([*real_time, "true"], capture_output=True, timeout=10).returncode == 0
        except FileNotFoundError:
            allowed = False
        self.real_time = real_time if allowed else []

    def start(self, task: str, *options: object, core: int | None = None, before: list[str] | None = None) -> subprocess.Popen[str]:
        """Starts one; `before` is what it is to be run by."""
        command = [*(before or []), "taskset", "-c", str(self.client_core if core is None else core), self.load, task]
        process = subprocess.Popen(
            [*command, *map(str, options)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.running.append(process)
        return process

    def finish(self, process: subprocess.Popen[str]) -> Figures:
        """What one printed, once it has ended."""
        out, errors = process.communicate(timeout=RUN_SECONDS_MAX)
        self.running.remove(process)
        if process.returncode:
            sys.exit(f"tail.py: {' '.join(map(str, process.args))} failed: {errors.strip()}")
        return {name: float(value) for name, value in (line.split() for line in out.splitlines())}

    def run(self, task: str, *options: object) -> Figures:
        """Starts one and waits for it."""
        return self.finish(self.start(task, *options))

    def end(self) -> None:
        """Ends what still runs."""
        for process in self.running:
            process.kill()
            process.wait()


# ---- while keys are loaded ----


@dataclass
class Loading:
    """How a light client fared while keys were loaded."""

    name: str
    seconds: float
    probe: Figures
    server_pauses: Figures
    client_pauses: Figures
    memory_mb: float
    # What the hypervisor took of the servers' core and of the clients', in seconds.
    stolen: list[float]
    # Memory that the kernel handed out for the first time since its start, in megabytes.
    first_used_mb: float
    # Of the server's own slow log, in milliseconds: the turns that took longer than a request may.
    slow_ms: list[float]

    def slowest(self) -> list[Spent]:
        """The longest requests, the longest first."""
        return spent_on_longest(self.probe, self.server_pauses, self.client_pauses)

    def missed(self) -> bool:
        # The slow log knows all requests, though not who had their time; of the light client's that is known, too.
        return bool(self.slow_ms) or any(spent.left() > PAUSE_MS for spent in self.slowest())


def loading(clients: Clients, server: Server, keys: int) -> Loading:
    """Loads keys beside a light client, and measures the machine's own pauses on both cores."""
    ask(server.port, "CONFIG", "SET", "slowlog-log-slower-than", PAUSE_MS * 1000)
    ask(server.port, "CONFIG", "SET", "slowlog-max-len", 1000)
    ask(server.port, "SLOWLOG", "RESET")
    fill = clients.start("fill", "--port", server.port, "--keys", keys, before=["nice", "-n", NEIGHBOUR_NICE])
    until = ("--until", fill.pid)
    whose = ("--process", server.pids[0])
    probe = clients.start("probe", "--port", server.port, "--among", keys, *whose, *until)
    cores = [clients.server_core, clients.client_core]
    stolen, ready_mb = [stolen_seconds(core) for core in cores], prepared_mb()
    pauses = [clients.start("hiccups", *whose, *until, core=core, before=clients.real_time) for core in cores]
    seconds = clients.finish(fill)["seconds"]
    figures = [clients.finish(process) for process in (probe, *pauses)]
    if not clients.real_time:
        # They waited for the cores like everybody, so their pauses tell nothing of who had them.
        figures[1:] = [without_longest(each) for each in figures[1:]]
    stolen = [stolen_seconds(core) - before for before, core in zip(stolen, cores)]
    first_used_mb = prepared_mb() - ready_mb
    memory_mb = resident_mb(server.pids)
    slow = ask(server.port, "SLOWLOG", "GET", 1000)
    ask(server.port, "FLUSHALL", "ASYNC", seconds=FLUSH_SECONDS_MAX)
    assert isinstance(slow, list)
    slow_ms = sorted((entry[2] / 1e3 for entry in slow if entry[3][0].upper() not in ("FLUSHALL", "INFO")), reverse=True)
    return Loading(server.name, seconds, *figures, memory_mb, stolen, first_used_mb, slow_ms)


# ---- beside bad neighbours ----


@dataclass
class Beside:
    """How ordinary clients fared beside some neighbours, a list entry per round."""

    server: str
    neighbours: str
    rounds: list[Figures] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    growth: list[float] = field(default_factory=list)
    large_ms: list[float] = field(default_factory=list)

    def missed(self) -> bool:
        return statistics.median(self.growth) > GROWTH_MAX


def neighbours(clients: Clients, servers: list[Server], rounds: int) -> list[Beside]:
    """Runs the ordinary clients alone and beside each neighbour, on one server after the other."""
    results = {(server.name, name): Beside(server.name, name) for server in servers for name in NEIGHBOURS}
    for server in servers:
        clients.run("fill", "--port", server.port, "--keys", 100_000)
    for _ in range(rounds):
        for server in servers:
            alone = 0.0
            for name, tasks in NEIGHBOURS.items():
                result = results[server.name, name]
                figures = beside(clients, server, tasks, result)
                alone = alone or figures["p99"]
                result.growth.append(figures["p99"] / alone)
                print(f"{server.name}, {name}: p99 {figures['p99'] / 1e3:.2f} ms", flush=True)
    return list(results.values())


def beside(clients: Clients, server: Server, tasks: list[str], result: Beside) -> Figures:
    """One run of the ordinary clients, whose figures are added to the result."""
    span = ("--port", server.port, "--seconds", clients.seconds + 2 * LEAD_SECONDS)
    watch = Watch(server)
    others = {task: clients.start(task, *span, before=["nice", "-n", NEIGHBOUR_NICE]) for task in tasks}
    time.sleep(LEAD_SECONDS)
    figures = clients.run("clients", "--port", server.port, "--seconds", clients.seconds)
    ended = {task: clients.finish(process) for task, process in others.items()}
    result.rounds.append(figures)
    result.memory_mb.append(max(watch.stop().memory))
    if "large" in ended:
        result.large_ms.append(ended["large"]["p50"] / 1e3)
    return figures


# ---- while a replica is slow ----


@dataclass
class Slow:
    """How writes fared with a replica in some state, a list entry per round."""

    state: str
    has_goal: bool = True
    rounds: list[Figures] = field(default_factory=list)
    growth: list[float] = field(default_factory=list)
    before_mb: list[float] = field(default_factory=list)
    most_mb: list[float] = field(default_factory=list)
    after_mb: list[float] = field(default_factory=list)
    hints_mb: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)

    def missed(self) -> bool:
        return self.has_goal and statistics.median(self.growth) > P50_GROWTH_MAX


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stops a process for a while, whatever happens meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def replica(clients: Clients, three: Server, near: Server, far: Server, arguments: argparse.Namespace) -> list[Slow]:
    """Writes with all replicas well, with one stopped, and with one behind a link: without its delay, and with it."""
    well, still = Slow("all well"), Slow("node-3 stopped (SIGSTOP)")
    linked = Slow("node-3 behind a link without delay", has_goal=False)
    distant = Slow(f"node-3 behind the same link, {arguments.delay_ms} ms longer each way")
    for server in (three, near, far):
        clients.run("fill", "--port", server.port, "--keys", 100_000)
        until_equal(server)
    for _ in range(arguments.rounds):
        p50 = writes(clients, three, well, None)
        writes(clients, three, still, p50, victim=three.pids[2])
        writes(clients, far, distant, writes(clients, near, linked, p50))
    return [well, still, linked, distant]


def writes(clients: Clients, server: Server, result: Slow, healthy_p50: float | None, victim: int | None = None) -> float:
    """One run of clients that only write; returns their p50."""
    result.before_mb.append(resident_mb(server.pids))
    watch = Watch(server, owes=True)
    run = lambda: clients.run("clients", "--writes", "--port", server.port, "--seconds", clients.seconds)  # noqa: E731
    if victim is None:
        figures = run()
    else:
        with stopped(victim):
            figures = run()
    time.sleep(RECOVERY_SECONDS)
    until_equal(server)
    watch.stop()
    result.rounds.append(figures)
    result.growth.append(figures["p50"] / (healthy_p50 or figures["p50"]))
    result.most_mb.append(max(watch.memory))
    result.after_mb.append(resident_mb(server.pids))
    result.hints_mb.append(max(watch.hints))
    print(f"{result.state}: p50 of writes {figures['p50'] / 1e3:.2f} ms", flush=True)
    return figures["p50"]


def until_equal(server: Server) -> None:
    """Waits until all replicas have the same."""
    deadline = time.monotonic() + RUN_SECONDS_MAX
    while time.monotonic() < deadline:
        peers = [line for line in info(server.port, "convergence").values() if "slots_equal=" in line]
        if peers and all("slots_differing=0," in line and "slots_equal=16384" in line for line in peers) and hint_bytes(server.port) == 0:
            return
        time.sleep(SAMPLE_SECONDS)
    sys.exit("tail.py: the replicas do not become equal")


# ---- the tables ----


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, ["---"] * len(headings), *rows])


def times(figures: Figures) -> list[str]:
    """The quantiles in milliseconds."""
    return [f"{figures[name] / 1e3:.2f}" for name in QUANTILES]


def median_times(rounds: list[Figures]) -> list[str]:
    """The medians of the rounds' quantiles."""
    return times({name: statistics.median(each[name] for each in rounds) for name in QUANTILES})


TIME_HEADINGS = ["p50", "p99", "p99.9", "p99.99", "max"]


def loading_section(results: list[Loading], keys: int, real_time: bool) -> str:
    """What is told of the loading."""
    rows = []
    for each in results:
        rows.append([f"{each.name}: a request", *times(each.probe), f"{each.probe['above_10ms']:.0f} of {each.probe['count']:.0f}"])
        rows.append(["the machine, servers' core", *times(each.server_pauses), f"{each.server_pauses['above_10ms']:.0f} of {each.server_pauses['count']:.0f}"])
        rows.append(["the machine, clients' core", *times(each.client_pauses), f"{each.client_pauses['above_10ms']:.0f} of {each.client_pauses['count']:.0f}"])
    notes = "\n".join(
        f"* {each.name}: loaded in {each.seconds:.0f} s, {each.memory_mb:.0f} MB resident afterwards. Its own slow log holds"
        f" {len(each.slow_ms)} entries above {PAUSE_MS} ms" + (f", the slowest {each.slow_ms[0]:.1f} ms." if each.slow_ms else ".")
        + f" Meanwhile the hypervisor took {each.stolen[0]:.2f} s of the servers' core and {each.stolen[1]:.2f} s of the clients', and the"
        f" kernel prepared {each.first_used_mb:.0f} MB of memory that nobody had used since its start."
        for each in results
    )
    spent = [[each.name, *one.cells()] for each in results for rank, one in enumerate(each.slowest()) if rank < SLOWEST_TOLD or one.took > PAUSE_MS]
    how = "with real-time priority" if real_time else "with ordinary priority, so that they wait for the core as well"
    return f"""## A light client while {keys} keys are loaded

Four connections load with 16 SETs in flight each, as fast as they are served. One more client sends a GET or a SET each
millisecond. "The machine" is a process on that core that sleeps for a millisecond at a time, {how}:
by how much its sleeps are too long tells the pauses that no server is to blame for. Milliseconds.

{table(["", *TIME_HEADINGS, f"above {PAUSE_MS} ms"], rows)}

{notes}

Where the time of the slowest requests went. "Ran" and "waited": the server's main thread, on its core and ready while somebody else
had it, as the system counts (to a millisecond). "Stood still": of "ran", when not even "the machine" was let onto that core, which
no program's own code can keep it from: the hypervisor or the kernel had it. "Neither": the thread slept, or the hypervisor is known
to have had the core. "Left": what nobody else took, the server's own. This has to stay below {PAUSE_MS} ms. Waits behind the server's
own threads are not taken off.

{table(["", *SPENT_HEADINGS], spent)}
"""


def neighbours_section(results: list[Beside], rounds: int, seconds: int) -> str:
    """What is told of bad neighbours."""
    rows = [
        [
            each.server, each.neighbours, f"{statistics.median(run['count'] / run['seconds'] for run in each.rounds):.0f}",
            *median_times(each.rounds), f"**{statistics.median(each.growth):.1f}**" + (f" ({min(each.growth):.1f} to {max(each.growth):.1f})" if rounds > 1 else ""),
            f"{max(each.memory_mb):.0f}", f"{statistics.median(each.large_ms):.0f}" if each.large_ms else "",
        ]
        for each in results
    ]
    headings = ["server", "neighbours", "requests/s", *TIME_HEADINGS, "p99 grows by", "MB at most", "10 MB SET + GET"]
    return f"""## Fifty ordinary clients beside bad neighbours

The clients send one request of 64 bytes at a time, half of them SETs, as fast as they are answered, among 100,000 keys.
Neighbours: one SETs and GETs a value of 10 MB over and over; one sends 10,000 requests at once, reads all replies, and begins
anew; one asks for 500 MB of answers and reads none. They have less priority on the clients' core, none on the server's.
Medians of {rounds} round(s) of {seconds} s, in milliseconds.

{table(headings, rows)}
"""


def replica_section(results: list[Slow], arguments: argparse.Namespace) -> str:
    """What is told of a slow replica."""
    rows = [
        [
            each.state, f"{statistics.median(run['count'] / run['seconds'] for run in each.rounds):.0f}", *median_times(each.rounds),
            f"**{statistics.median(each.growth):.2f}**", f"{statistics.median(each.before_mb):.0f}", f"{max(each.most_mb):.0f}",
            f"{statistics.median(each.after_mb):.0f}", f"{max(each.hints_mb):.1f}",
        ]
        for each in results
    ]
    headings = ["node-3", "writes/s", *TIME_HEADINGS, "p50 is times", "MB before", "MB at most", "MB when equal again", "hints, MB at most"]
    return f"""## Writes while one of three replicas is slow

N=3 W=2, 50 clients of node-1 with one SET of 64 bytes in flight each, among 100,000 keys, from the moment that the trouble
begins. Memory is that of all three nodes together; what node-3 misses is kept for it in {arguments.hint_bytes_max / 1e6:.0f} MB at most. All nodes share one core,
so a stopped one leaves its share to the others. The link is a process beside the clients on their core; what the delay
changes is seen beside the same link without it, so that is what its p50 is compared with, and all else with the first row.
redis-server has no row: none of its replicas is waited for.
Medians of {arguments.rounds} round(s) of {arguments.seconds} s, in milliseconds.

{table(headings, rows)}
"""


# ---- the run ----


def parse_arguments() -> argparse.Namespace:
    """The command line, as tail.sh writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("redis", "one", "three", "near", "far"):
        parser.add_argument(f"--{name}", type=int, nargs="+", metavar=("PORT", "PID"))
    for name in ("server-core", "client-core", "keys", "seconds", "rounds", "delay-ms", "hint-bytes-max"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--load", required=True)
    parser.add_argument("--part", choices=["loading", "neighbours", "replica"])
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--command", required=True)
    return parser.parse_args()


def server(name: str, numbers: list[int] | None) -> Server | None:
    """From port and process ids on the command line."""
    return Server(name, numbers[0], tuple(numbers[1:])) if numbers else None


def measure(clients: Clients, arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The sections, and which goals were missed."""
    singles = [each for each in (server("redis-server", arguments.redis), server("ringkv", arguments.one)) if each]
    three, near, far = server("three", arguments.three), server("near", arguments.near), server("far", arguments.far)
    sections, missed = [], []
    if arguments.part in (None, "loading"):
        loaded = [loading(clients, each, arguments.keys) for each in singles]
        sections.append(loading_section(loaded, arguments.keys, bool(clients.real_time)))
        missed += [f"{each.name} took more than {PAUSE_MS} ms for a turn, or of its own for a request, while keys were loaded" for each in loaded if each.missed()]
    if arguments.part in (None, "neighbours"):
        results = neighbours(clients, singles, arguments.rounds)
        sections.append(neighbours_section(results, arguments.rounds, arguments.seconds))
        missed += [f"{each.server}, {each.neighbours}: p99" for each in results if each.missed()]
    if three and near and far:
        slow = replica(clients, three, near, far, arguments)
        sections.append(replica_section(slow, arguments))
        missed += [f"p50 of writes, {each.state}" for each in slow if each.missed()]
    return sections, [goal for goal in missed if not goal.startswith("redis-server")]


def main() -> int:
    """Measures and writes; 1 when a goal is missed and that was to be an error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse_arguments()
    clients = Clients(arguments)
    try:
        sections, missed = measure(clients, arguments)
    except (OSError, Refused) as error:
        sys.exit(f"tail.py: a server failed: {error!r}")
    finally:
        clients.end()
    text = f"""# Who waits how long

Written by `{arguments.command}`.

* Machine: {machine()}. Servers on core {arguments.server_core}, clients on core {arguments.client_core}.
* redis-server {redis_version()}, no persistence, one copy. ringkv with one worker thread per node.
* {datetime.date.today().isoformat()}

""" + "\n".join(sections)
    publish(text, arguments.out)
    if missed:
        print(f"goals missed: {'; '.join(missed)}")
    return 1 if missed and arguments.gate else 0


if __name__ == "__main__":
    sys.exit(main())
