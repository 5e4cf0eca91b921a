"""What scripts/smoke.sh tries with redis-py: an ordinary client library against a running cluster.

    smoke.py clients --ports PORT...
    smoke.py kill --victim ID --dir DIR --restart SCRIPT

`clients` uses the plain client and the cluster client against every node. `kill` ends one node of a running cluster with
SIGKILL while clients write and read at the others, brings it back, and looks for every acknowledged write on it. Prints
what was expected and what came for each check that fails, then a count; exits 1 if any failed.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

HOST = "127.0.0.1"
# Longest wait for one reply.
REPLY_SECONDS_MAX = 20
# With R = 1 another node may show an overwritten value a moment later; it is asked again until then.
EVENTUALLY_SECONDS_MAX = 60
EVERY_BYTE = bytes(range(256))


class Failure(Exception):
    """A check that did not hold."""


def expect(what: str, expected: object, got: object) -> None:
    """Compares, and says all three when they differ; of two long lists the places that differ."""
    if got == expected:
        return
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        places = [i for i, (one, other) in enumerate(zip(expected, got)) if one != other]
        what = f"{what}: {len(places)} of {len(got)} differ, the first ones at {places[:3]}"
        expected, got = [expected[i] for i in places[:3]], [got[i] for i in places[:3]]
    raise Failure(f"{what}\n  expected: {shorten(expected)}\n  got:      {shorten(got)}")


def shorten(value: object) -> str:
    """A value as one readable line."""
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"


def eventually(what: str, expected: object, ask: Callable[[], object]) -> None:
    """Asks until the answer is the expected one, or time is up."""
    deadline = time.monotonic() + EVENTUALLY_SECONDS_MAX
    while (got := ask()) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(what, expected, got)


# ---- plain and cluster clients ----


def plain(port: int, **options: object) -> redis.Redis:
    """The ordinary client, as its own defaults have it."""
    return redis.Redis(HOST, port, socket_timeout=REPLY_SECONDS_MAX, **options)


def strict(port: int) -> redis.Redis:
    """A client that tries nothing twice, so that every failed request is seen."""
    return plain(port, retry=Retry(NoBackoff(), 0))


def cluster(ports: Iterable[int]) -> RedisCluster:
    """The cluster client, told of these nodes alone."""
    nodes = [ClusterNode(HOST, port) for port in ports]
    return RedisCluster(startup_nodes=nodes, socket_timeout=REPLY_SECONDS_MAX)


def pairs(prefix: str, count: int) -> dict[str, bytes]:
    """Fresh keys with distinct values."""
    return {f"{prefix}:{i}": f"{prefix}-{i}".encode() for i in range(count)}


def check_ping_and_info(ports: list[int]) -> None:
    """Every node is there and knows of the others."""
    for port in ports:
        client = plain(port)
        expect(f"PING at {port}", True, client.ping())
        ring = client.info("ring")
        expect(f"peers_up at {port}", len(ports) - 1, ring.get("peers_up"))
        expect(f"cluster_enabled at {port}", 0, client.info("cluster").get("cluster_enabled"))


def check_binary_and_ttl(ports: list[int]) -> None:
    """Keys and values are bytes, and a time to live travels with the value."""
    first, last = plain(ports[0]), plain(ports[-1])
    key = b"py:binary:" + EVERY_BYTE
    first.set(key, EVERY_BYTE * 1000, ex=100)
    expect("a binary value of 256,000 bytes at another node", EVERY_BYTE * 1000, last.get(key))
    expect("TTL at another node is within its bounds", True, 90 <= last.ttl(key) <= 100)
    expect("an empty value", b"", first.set("py:empty", b"") and last.get("py:empty"))


def check_pipeline(ports: list[int]) -> None:
    """Answers come in the order of the requests, and a key's commands take effect in order."""
    values = pairs("py:pipeline", 500)
    for port in ports:
        pipe = plain(port).pipeline(transaction=False)
        for key, value in values.items():
            pipe.set(key, value + str(port).encode())
            pipe.get(key)
        replies = pipe.execute()
        expect(f"SETs of a pipeline at {port}", [True] * 500, replies[::2])
        expect(f"GETs of a pipeline at {port}", [v + str(port).encode() for v in values.values()], replies[1::2])


def check_error_in_pipeline(ports: list[int]) -> None:
    """A bad command spoils neither the pipeline around it nor the connection."""
    client = plain(ports[0], single_connection_client=True)
    pipe = client.pipeline(transaction=False)
    pipe.set("py:error", 1).execute_command("NOSUCH", "a").get("py:error")
    first, error, last = pipe.execute(raise_on_error=False)
    expect("the commands around a bad one", (True, b"1"), (first, last))
    expect("the bad one", True, isinstance(error, redis.ResponseError) and "unknown command 'NOSUCH'" in str(error))
    expect("the connection afterwards", True, client.ping())


def check_resp3(ports: list[int]) -> None:
    """protocol=3 and protocol=2 read the same data."""
    for port in ports:
        three, two = plain(port, protocol=3), plain(port, protocol=2)
        three.set(f"py:resp3:{port}", "three")
        expect(f"RESP2 at {port} reads what RESP3 wrote", b"three", two.get(f"py:resp3:{port}"))
        expect(f"RESP3 MGET at {port}", [b"three", None], three.mget(f"py:resp3:{port}", "py:none"))
        expect(f"HELLO 3 at {port}", 3, three.execute_command("HELLO", 3).get(b"proto"))


def check_pool(ports: list[int]) -> None:
    """Threads share a pool; every thread sees its own writes at its own node."""

    def work(number: int) -> list[bytes | None]:
        client = clients[number % len(clients)]
        for i in range(100):
            client.set(f"py:pool:{number}:{i}", f"{number}-{i}")
        return [client.get(f"py:pool:{number}:{i}") for i in range(100)]

    clients = [plain(port, max_connections=8) for port in ports]
    with ThreadPoolExecutor(8) as threads:
        for number, got in enumerate(threads.map(work, range(8))):
            expect(f"reads of thread {number}", [f"{number}-{i}".encode() for i in range(100)], got)


def check_multi_key(ports: list[int]) -> None:
    """Multi-key commands take any keys, wherever their slots are."""
    values = pairs("py:multi", 200)
    first, last = plain(ports[0]), plain(ports[-1])
    expect("MSET", True, first.mset(values))
    expect("MGET at another node", list(values.values()), last.mget(list(values)))
    expect("EXISTS", 200, last.exists(*values))
    expect("DEL", 200, last.delete(*values))
    eventually("MGET after DEL", [None] * 200, lambda: first.mget(list(values)))


def check_cluster_client(ports: list[int]) -> None:
    """RedisCluster, whichever node it starts from: a thousand keys, then read by a plain client."""
    for port in ports:
        client = cluster([port])
        expect(f"nodes that RedisCluster learns from {port}", sorted(ports), sorted(n.port for n in client.get_nodes()))
        values = pairs(f"py:cluster:{port}", 1000)
        for key, value in values.items():
            client.set(key, value)
        expect(f"1000 keys through RedisCluster from {port}", list(values.values()), [client.get(key) for key in values])
        expect("the same through a plain client", list(values.values()), plain(ports[0]).mget(list(values)))
        client.close()


def check_cluster_multi_key(ports: list[int]) -> None:
    """RedisCluster's own splitting of multi-key commands, and keys that a hash tag keeps together."""
    client = cluster(ports)
    values = pairs("py:nonatomic", 300)
    client.mset_nonatomic(values)
    expect("mget_nonatomic", list(values.values()), client.mget_nonatomic(list(values)))
    tagged = pairs("py:{tag}", 50)
    client.mset(tagged)
    expect("MGET with a hash tag", list(tagged.values()), client.mget(list(tagged)))
    expect("DEL", 300, client.delete(*values))
    eventually("keys after DEL", 0, lambda: client.exists(*values))


def check_cluster_pipeline(ports: list[int]) -> None:
    """RedisCluster sends one pipeline to each node and puts the answers together."""
    client = cluster(ports[-1:])
    values = pairs("py:clusterpipe", 1000)
    pipe = client.pipeline()
    for key, value in values.items():
        pipe.set(key, value)
        pipe.get(key)
    replies = pipe.execute()
    expect("SETs of a cluster pipeline", [True] * 1000, replies[::2])
    expect("GETs of a cluster pipeline", list(values.values()), replies[1::2])


CLIENT_CHECKS = [
    check_ping_and_info,
    check_binary_and_ttl,
    check_pipeline,
    check_error_in_pipeline,
    check_resp3,
    check_pool,
    check_multi_key,
    check_cluster_client,
    check_cluster_multi_key,
    check_cluster_pipeline,
]


def run_checks(group: str, checks: list[tuple[str, Callable[[], None]]]) -> int:
    """Runs them all, prints those that fail and the count; the number of failures."""
    failed = 0
    for name, check in checks:
        try:
            check()
        except Failure as failure:
            failed += 1
            print(f"FAILED: {name}: {failure}")
        except Exception:  # noqa: BLE001: whatever else a client raises is a failed check too
            failed += 1
            print(f"FAILED: {name} raised an exception\n{traceback.format_exc()}")
    print(f"{group}: {len(checks) - failed} passed, {failed} failed", flush=True)
    return failed


def run_clients(arguments: argparse.Namespace) -> int:
    """The `clients` group."""
    ports = arguments.ports
    return run_checks("clients", [(check.__name__, lambda check=check: check(ports)) for check in CLIENT_CHECKS])


# ---- killing a node under load ----

WORKERS_PER_NODE = 3
# The pace of a worker: the load has to be steady, not high.
PAUSE_SECONDS = 0.002
BEFORE_KILL_SECONDS = 1.0
WHILE_DEAD_SECONDS = 3.0
# No worker goes on for longer, whatever happens to the rest of the check.
WORKER_SECONDS_MAX = 120


@dataclass
class Node:
    """A line of the state directory's `nodes` file."""

    id: str
    pid: int
    port: int


def read_nodes(state: Path) -> list[Node]:
    """The nodes that start_cluster.sh recorded."""
    lines = (line.split("\t") for line in (state / "nodes").read_text().splitlines())
    return [Node(id, int(pid), int(port)) for id, pid, _, port in lines]


@dataclass
class Worker:
    """A client at one living node: writes a fresh key, overwrites another one, reads back something older of its own.

    `acknowledged` is what a later read has to find: a key enters, or changes its value, when its write was answered OK.
    """

    number: int
    port: int
    stop: threading.Event
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    # Start of the request (monotonic seconds), and what went wrong.
    failures: list[tuple[float, str]] = field(default_factory=list)

    def run(self) -> None:
        """Until told to stop."""
        deadline = time.monotonic() + WORKER_SECONDS_MAX
        round_number = 0
        client = strict(self.port)
        while not self.stop.is_set() and time.monotonic() < deadline:
            self.attempt(self.write, client, f"kill:{self.number}:{round_number}", str(round_number).encode())
            self.attempt(self.write, client, f"kill:{self.number}:latest", str(round_number).encode())
            self.attempt(self.read, client, f"kill:{self.number}:{round_number // 2}")
            round_number += 1
            time.sleep(PAUSE_SECONDS)

    def attempt(self, action: Callable[..., None], *arguments: object) -> None:
        """One request; an error is kept, with the moment it began."""
        began = time.monotonic()
        try:
            action(*arguments)
        except (redis.RedisError, OSError, Failure) as error:
            self.failures.append((began, f"{action.__name__} {arguments[1]} at {self.port}: {error!r}"))

    def write(self, client: redis.Redis, key: str, value: bytes) -> None:
        """SET, remembered once it is acknowledged."""
        expect("the answer to SET", True, client.set(key, value))
        self.acknowledged[key] = value

    def read(self, client: redis.Redis, key: str) -> None:
        """GET of a key that was written once; if that write was acknowledged, its value has to come."""
        value = client.get(key)
        if key in self.acknowledged:
            expect(f"the value of {key}", self.acknowledged[key], value)


class Kill:
    """The story: load on the living nodes, a node dies by SIGKILL, comes back, and has everything."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.state = Path(arguments.dir)
        self.restart = [arguments.restart, "--restart", arguments.victim, "--dir", arguments.dir]
        nodes = read_nodes(self.state)
        self.victim = next(node for node in nodes if node.id == arguments.victim)
        self.living = [node for node in nodes if node is not self.victim]
        self.stop = threading.Event()
        self.workers = [
            Worker(number, node.port, self.stop)
            for number, node in enumerate(self.living * WORKERS_PER_NODE)
        ]
        self.killed_at = 0.0
        # Rounds that the workers had done when the node was dead, and when it was about to return.
        self.written_at_kill = 0
        self.written_at_return = 0

    def play(self) -> None:
        """All that happens, before anything is judged."""
        with ThreadPoolExecutor(len(self.workers)) as threads:
            runs = [threads.submit(worker.run) for worker in self.workers]
            try:
                self.kill_and_return()
            finally:
                self.stop.set()
            for run in runs:
                run.result()

    def kill_and_return(self) -> None:
        """The node's part of the story."""
        time.sleep(BEFORE_KILL_SECONDS)
        os.kill(self.victim.pid, signal.SIGKILL)
        self.killed_at = time.monotonic()
        self.written_at_kill = self.written()
        time.sleep(WHILE_DEAD_SECONDS)
        self.written_at_return = self.written()
        # It returns once the node sees its peers and has caught up on every slot.
        done = subprocess.run(self.restart, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100)
        expect(f"exit code of the restart ({done.stdout}{done.stderr})", 0, done.returncode)

    def written(self) -> int:
        """Distinct keys acknowledged so far."""
        return sum(len(worker.acknowledged) for worker in self.workers)

    def check_story(self) -> None:
        """Plays it."""
        self.play()

    def check_failures(self) -> None:
        """On the living nodes nothing failed but, at most, what was under way at the kill."""
        failures = [failure for worker in self.workers for failure in worker.failures]
        after = [text for began, text in failures if began > self.killed_at]
        expect("failed requests that began after the kill", [], after[:5])
        expect("failed requests before it: at most one per client", True, len(failures) <= len(self.workers))

    def check_progress(self) -> None:
        """The living nodes went on taking writes, which the absence of errors alone does not show."""
        expect("many writes while the node was dead", True, self.written_at_return - self.written_at_kill >= 100)

    def check_peers(self) -> None:
        """Every node sees the others again."""
        for node in read_nodes(self.state):
            client = plain(node.port)
            eventually(f"peers_up of {node.id}", len(self.living), lambda client=client: client.info("ring").get("peers_up"))
            eventually(f"slots_syncing of {node.id}", 0, lambda client=client: client.info("ring").get("slots_syncing"))

    def check_nothing_lost(self) -> None:
        """The node that came back has every acknowledged write, each key in its last value."""
        acknowledged = {key: value for worker in self.workers for key, value in worker.acknowledged.items()}
        client = plain(self.victim.port)
        eventually(
            f"acknowledged writes that {self.victim.id} lacks, of {len(acknowledged)}",
            [],
            lambda: lacking(client, acknowledged)[:5],
        )


def lacking(client: redis.Redis, acknowledged: dict[str, bytes]) -> list[tuple[str, bytes, bytes | None]]:
    """Key, expected and found value of each acknowledged write that the node does not show."""
    keys = list(acknowledged)
    missing = []
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        found = client.mget(part)
        missing += [(key, acknowledged[key], value) for key, value in zip(part, found) if value != acknowledged[key]]
    return missing


def run_kill(arguments: argparse.Namespace) -> int:
    """The `kill` group."""
    story = Kill(arguments)
    checks = [
        story.check_story,
        story.check_failures,
        story.check_progress,
        story.check_peers,
        story.check_nothing_lost,
    ]
    return run_checks("kill", [(check.__name__, check) for check in checks])


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    groups = parser.add_subparsers(required=True)
    clients = groups.add_parser("clients")
    clients.add_argument("--ports", type=int, nargs="+", required=True)
    clients.set_defaults(run=run_clients)
    kill = groups.add_parser("kill")
    kill.add_argument("--victim", required=True)
    kill.add_argument("--dir", required=True)
    kill.add_argument("--restart", required=True)
    kill.set_defaults(run=run_kill)
    arguments = parser.parse_args()
    return 1 if arguments.run(arguments) else 0


if __name__ == "__main__":
    sys.exit(main())
