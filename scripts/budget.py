"""Counts a node's instructions per operation under callgrind, for scripts/budget.sh. Standard library only.

What is counted: all instructions in user space that one process executes between two moments, divided by the operations
that it answered in between. They repeat where processor time does not: they depend on neither the machine's speed nor on
what else runs on it. What the kernel executes for the process, and cache misses, are not in them.

  local-set, local-get  A node alone with one worker thread and 100,000 keys. 50 clients send 16 commands each (a 16-byte
                        key, a 64-byte value) and wait for the 16 replies, round by round, over TCP; the keys come in a
                        fixed pseudo-random order. Everything from epoll to the write of the replies is counted.
  decode-set, decode-get  Of these, what `RequestDecoder::decode_up_to` and all that it calls took: from bytes that have
                        arrived to a request with its arguments.
  coordinator-set       The same SETs sent to one of three nodes with N=3 W=2, which holds a copy of every key itself. Only
                        this node is counted: what it does for its client, for its own copy, and for both others. They run
                        outside of valgrind.

The node starts and is filled before the counting begins, and a few rounds warm it up. Work that falls due by the clock
(comparing replicas, cleaning up) is left out, as a slower machine would do more of it per operation, and so is the slow log,
as under valgrind every request is slow.
"""

import argparse
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

HOST = "127.0.0.1"
KEYS = 100_000
VALUE = b"v" * 64
CLIENTS = 50
PIPELINE = 16
BATCH_OPERATIONS = CLIENTS * PIPELINE
# Rounds in which every client sends one pipeline.
WARM_ROUNDS = 10
ROUNDS = 25
# So often are they counted; the median counts, in case the other nodes' answers come otherwise bundled once.
WINDOWS = 3
OPERATIONS = ROUNDS * BATCH_OPERATIONS
FILL_BATCH = 1000
# A measure may differ by so much from its budget: another processor has another memcpy, another compiler other code.
TOLERANCE = 0.05
# A node under valgrind is some 50 times slower than alone.
SECONDS_MAX = 60
# It hears every half of this time how far the others are.
REQUEST_TIMEOUT_MS = 20_000
ANTI_ENTROPY_MS = 3_600_000
START_TRIES = 5

# Work that falls due by the clock, so that a slower machine does more of it per operation.
BACKGROUND = tuple(
    f"ringkv::{task}"
    for task in (
        "replica::janitor::run",
        "replica::anti_entropy::run",
        "replica::hints::run",
        "replica::sync::run",
        "server::accept::close_idle",
        "server::memory::give_back",
        "server::rates::sample",
    )
)
DECODER = "ringkv::codec::request::RequestDecoder::decode_up_to"
MEASURES = ("decode-set", "decode-get", "local-set", "local-get", "coordinator-set")
# Which profile a measure is read from, and of which function.
SOURCES = {
    "decode-set": ("local-set", DECODER),
    "decode-get": ("local-get", DECODER),
    "local-set": ("local-set", None),
    "local-get": ("local-get", None),
    "coordinator-set": ("coordinator-set", None),
}


# ---- the load ----


def key(number: int) -> bytes:
    """16 bytes."""
    return b"key:%012d" % number


def set_request(number: int) -> bytes:
    """SET of one key."""
    return b"*3\r\n$3\r\nSET\r\n$16\r\n%s\r\n$%d\r\n%s\r\n" % (key(number), len(VALUE), VALUE)


def get_request(number: int) -> bytes:
    """GET of one key."""
    return b"*2\r\n$3\r\nGET\r\n$16\r\n%s\r\n" % key(number)


REQUESTS = {"set": (set_request, b"+OK\r\n"), "get": (get_request, b"$%d\r\n%s\r\n" % (len(VALUE), VALUE))}


class Clients:
    """All connections to one node. In each round every client sends one pipeline and waits for its replies."""

    def __init__(self, port: int) -> None:
        self.sockets = [socket.create_connection((HOST, port), timeout=SECONDS_MAX) for _ in range(CLIENTS)]
        for connection in self.sockets:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fill(self) -> None:
        """Writes every key."""
        connection = self.sockets[0]
        for start in range(0, KEYS, FILL_BATCH):
            connection.sendall(b"".join(set_request(number) for number in range(start, start + FILL_BATCH)))
            expect(connection, REQUESTS["set"][1] * FILL_BATCH)

    def run(self, command: str, rounds: int, order: random.Random) -> None:
        """So many rounds of one command."""
        request, reply = REQUESTS[command]
        for _ in range(rounds):
            batches = [b"".join(request(order.randrange(KEYS)) for _ in range(PIPELINE)) for _ in self.sockets]
            for connection, batch in zip(self.sockets, batches):
                connection.sendall(batch)
            for connection in self.sockets:
                expect(connection, reply * PIPELINE)

    def close(self) -> None:
        """Ends them all."""
        for connection in self.sockets:
            connection.close()


def expect(connection: socket.socket, replies: bytes) -> None:
    """Reads what must come; any other answer ends the program."""
    got = b""
    while len(got) < len(replies):
        part = connection.recv(len(replies) - len(got))
        got += part
        if not part or not replies.startswith(got):
            sys.exit(f"budget.py: an unexpected reply: ...{got[-200:]!r}")


# ---- nodes ----


class Node:
    """One process, with valgrind around it or without."""

    def __init__(self, arguments: list[str], port: int, log: Path, profile: Path | None) -> None:
        self.port, self.log, self.profile = port, log, profile
        self.dumps = 0
        # The instructions of a copy in the C library depend on the processor's string instructions unless told otherwise:
        # each step of one such instruction counts as one.
        environment = {"PATH": os.environ["PATH"], "GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=1073741824"}
        command = self.valgrind() + arguments
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
            )

    def valgrind(self) -> list[str]:
        """What stands before the node's own command line."""
        if self.profile is None:
            return []
        return [
            "valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.profile}",
            f"--vgdb-prefix={self.profile.parent / 'vgdb'}",
        ]  # fmt: skip

    def wait_until_ready(self) -> bool:
        """Whether it serves; if not, it has ended, perhaps since somebody took its port."""
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            if self.ask(b"*1\r\n$4\r\nPING\r\n") == b"+PONG\r\n":
                return True
            time.sleep(0.05)
        sys.exit(f"budget.py: a node does not answer:\n{self.log.read_text()}")

    def ask(self, request: bytes) -> bytes:
        """The first bytes of its answer, none if there is none."""
        try:
            with socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(request)
                return connection.recv(65536)
        except OSError:
            return b""

    def counted_replicas(self, wanted: int) -> int:
        """How many other nodes it counts on, so many at best: what WAIT says to who has written nothing."""
        reply = self.ask(b"*3\r\n$4\r\nWAIT\r\n$1\r\n%d\r\n$4\r\n1000\r\n" % wanted)
        return int(reply[1:]) if reply.startswith(b":") else -1

    def tell(self, *words: str) -> None:
        """Has valgrind do something. Where it may not be traced it notices once the node does something itself."""
        command = ["vgdb", f"--vgdb-prefix={self.profile.parent / 'vgdb'}", f"--pid={self.process.pid}", *words]
        teller = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            try:
                _, said = teller.communicate(timeout=1)
            except subprocess.TimeoutExpired:
                self.ask(b"*1\r\n$4\r\nPING\r\n")
                continue
            if teller.returncode == 0:
                return
            sys.exit(f"budget.py: {command} failed: {said.decode()}")
        teller.kill()
        sys.exit(f"budget.py: valgrind does not answer {words}")

    def dump(self) -> Path:
        """Writes down what was counted since the last time."""
        self.tell("dump")
        self.dumps += 1
        return self.profile.with_name(f"{self.profile.name}.{self.dumps}")

    def end(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def config(ports: list[int]) -> str:
    """All keys on all nodes, and nothing given up early."""
    head = f"""[cluster]
replication_factor = {len(ports)}
write_quorum = {len(ports) // 2 + 1}
request_timeout_ms = {REQUEST_TIMEOUT_MS}
[server]
worker_threads = 1
anti_entropy_interval_ms = {ANTI_ENTROPY_MS}
"""
    nodes = [f'[[nodes]]\nid = "node-{i + 1}"\naddr = "{HOST}:{port}"\n' for i, port in enumerate(ports)]
    return head + "".join(nodes)


class Cluster:
    """Nodes of which the first is counted."""

    def __init__(self, binary: Path, count: int, directory: Path) -> None:
        self.nodes: list[Node] = []
        self.binary, self.count, self.directory = binary, count, directory

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.end()

    def start(self) -> None:
        """Starts all nodes, and waits until writes find all their replicas."""
        for _ in range(START_TRIES):
            ports = free_ports(self.count)
            file = self.directory / f"{self.count}.toml"
            file.write_text(config(ports))
            for number, port in enumerate(ports, start=1):
                arguments = [str(self.binary), "--config", str(file), "--node", f"node-{number}", "--log", "warn"]
                profile = self.directory / f"callgrind.{self.count}" if number == 1 else None
                self.nodes.append(Node(arguments, port, self.directory / f"{self.count}-{number}.log", profile))
            if all(node.wait_until_ready() for node in self.nodes):
                return self.wait_until_linked()
            while self.nodes:
                self.nodes.pop().end()
        sys.exit("budget.py: the nodes do not start: is another process taking their ports?")

    def wait_until_linked(self) -> None:
        """Until the first node counts on all others."""
        others = self.count - 1
        deadline = time.monotonic() + SECONDS_MAX
        while self.nodes[0].counted_replicas(others) != others:
            if time.monotonic() > deadline:
                sys.exit(f"budget.py: the nodes do not find each other:\n{self.logs()}")

    def logs(self) -> str:
        """What all nodes have said."""
        return "".join(node.log.read_text() for node in self.nodes)

    def profiles(self, commands: list[str]) -> list[list[Path]]:
        """Profiles of each command's load, one per window."""
        counted, order = self.nodes[0], random.Random(5)
        if counted.ask(b"CONFIG SET slowlog-log-slower-than -1\r\n") != b"+OK\r\n":
            sys.exit("budget.py: the slow log cannot be switched off")
        clients = Clients(counted.port)
        clients.fill()
        counted.tell("instrumentation", "on")
        found = []
        for command in commands:
            clients.run(command, WARM_ROUNDS, order)
            counted.tell("zero")
            windows = []
            for _ in range(WINDOWS):
                clients.run(command, ROUNDS, order)
                windows.append(counted.dump())
            found.append(windows)
        clients.close()
        if counted.counted_replicas(self.count - 1) != self.count - 1:
            sys.exit(f"budget.py: a node was lost meanwhile:\n{self.logs()}")
        return found


# ---- reading profiles ----


class Profile:
    """What callgrind has written: instructions by function, under the function's symbol, whatever was inlined into it."""

    COST = re.compile(r"[+\-*\d]\S* (\d+)")
    NAME = re.compile(r"\((\d+)\)(?: (.*))?")

    def __init__(self, path: Path) -> None:
        self.alone: Counter[str] = Counter()
        self.with_callees: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        function = callee = ""
        is_call = False
        for line in path.read_text().splitlines():
            if line.startswith("fn="):
                function = self.name(line[3:])
            elif line.startswith("cfn="):
                callee = self.name(line[4:])
            elif line.startswith("calls="):
                is_call = True
            elif cost := self.COST.match(line):
                self.count(function, callee if is_call else None, int(cost[1]))
                is_call = False

    def name(self, text: str) -> str:
        """A function's name: in full the first time, then by its number."""
        number, name = self.NAME.match(text).groups()
        return self.names.setdefault(number, name or "?")

    def count(self, function: str, callee: str | None, instructions: int) -> None:
        """What a line of `function` took, or a call by it."""
        if callee is None:
            self.alone[function] += instructions
        if callee != function:
            self.with_callees[function] += instructions

    def total(self) -> int:
        """All instructions but those of the background."""
        background = sum(self.with_callees[name] for name in self.with_callees if name.startswith(BACKGROUND))
        return sum(self.alone.values()) - background

    def of(self, function: str) -> int:
        """Instructions of a function and all that it calls."""
        if function not in self.with_callees:
            sys.exit(f"budget.py: {function} is no function of its own any more (inlined or renamed): nothing to count")
        return self.with_callees[function]

    def print(self, rows: int) -> None:
        """The dearest functions, per operation."""
        for title, counts in (("with all that they call", self.with_callees), ("alone", self.alone)):
            print(f"Instructions per operation, functions {title}:")
            for name, count in counts.most_common(rows):
                print(f"{count / OPERATIONS:9.1f}  {name}")
            print()


def per_operation(measure: str, profiles: dict[str, list[Profile]]) -> float:
    """Instructions per operation of one measure, the median of the windows."""
    name, function = SOURCES[measure]
    return statistics.median(one.of(function) if function else one.total() for one in profiles[name]) / OPERATIONS


# ---- the budget ----


class Budget:
    """bench/budget.txt: a line per measure with its goal, its budget and the reason for it."""

    LINE = re.compile(r"^(?P<measure>[a-z-]+) +(?P<goal>\d+) +(?P<budget>\d+)  (?P<reason>\S.*)$")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = path.read_text().splitlines()
        rows = [self.LINE.match(line) for line in self.lines if line and not line.startswith("#")]
        if None in rows or {row["measure"] for row in rows} != set(MEASURES):
            sys.exit(f"budget.py: {path} must have a line `measure goal budget  reason` for each of {', '.join(MEASURES)}")
        self.rows = {row["measure"]: (int(row["goal"]), int(row["budget"])) for row in rows}

    def judge(self, figures: dict[str, float]) -> bool:
        """Prints all measures; whether all are within their budgets."""
        print(f"{'measure':<18}{'measured':>9}{'budget':>8}{'goal':>7}")
        kept = True
        for measure, figure in figures.items():
            goal, budget = self.rows[measure]
            verdict = "goal reached" if figure <= goal else "goal missed"
            if figure > budget * (1 + TOLERANCE):
                verdict += f"; FAILED, {percent(figure, budget)} above the budget"
                kept = False
            elif figure < budget * (1 - TOLERANCE):
                verdict += f"; {percent(budget, figure)} room: lower the budget with --update"
            print(f"{measure:<18}{figure:>9.0f}{budget:>8}{goal:>7}  {verdict}")
        if not kept:
            print("What got dearer? scripts/budget.sh --profile MEASURE. If it is worth it, raise the budget, with the reason.")
        return kept

    def update(self, figures: dict[str, float]) -> None:
        """Makes the figures the budgets. The reasons stay as they are."""
        for at, line in enumerate(self.lines):
            row = self.LINE.match(line)
            if row and row["measure"] in figures:
                goal, figure = row["goal"], round(figures[row["measure"]])
                self.lines[at] = f"{row['measure']:<18}{goal:>7}{figure:>8}  {row['reason']}"
        self.path.write_text("\n".join(self.lines) + "\n")


def percent(more: float, less: float) -> str:
    """How much one is above the other."""
    return f"{100 * (more / less - 1):.1f} %" if less else "all of it"


def take_profiles(arguments: argparse.Namespace, names: set[str]) -> dict[str, list[Profile]]:
    """The profiles of these names."""
    profiles = {}
    for count, kind in ((1, "local"), (3, "coordinator")):
        wanted = [command for command in ("set", "get") if f"{kind}-{command}" in names]
        if not wanted:
            continue
        with Cluster(arguments.binary, count, arguments.directory) as cluster:
            cluster.start()
            for command, paths in zip(wanted, cluster.profiles(wanted)):
                name = f"{kind}-{command}"
                profiles[name] = [Profile(path) for path in paths]
                if arguments.keep:
                    shutil.copy(paths[0], arguments.keep / f"{name}.callgrind")
    return profiles


def parse_arguments() -> argparse.Namespace:
    """The command line, as budget.sh writes it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--budget", type=Path, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--profile", choices=MEASURES)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--keep", type=Path)
    return parser.parse_args()


def main() -> int:
    """Measures and judges."""
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    budget = Budget(arguments.budget)
    measures = [arguments.profile] if arguments.profile else MEASURES
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    profiles = take_profiles(arguments, {SOURCES[measure][0] for measure in measures})
    if arguments.profile:
        profiles[SOURCES[arguments.profile][0]][0].print(arguments.rows)
    figures = {measure: per_operation(measure, profiles) for measure in measures}
    kept = budget.judge(figures)
    if arguments.update:
        budget.update(figures)
    return 0 if kept or arguments.update or arguments.profile else 1


if __name__ == "__main__":
    sys.exit(main())
