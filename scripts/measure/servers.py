"""Starts the servers that are measured, each on the servers' core, and stops them again."""

import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measure.basics import HOST, TICKS_PER_SECOND, ask, child, info, resident_bytes, ticks

READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 10
# Somebody else may take a port between the look and the start.
START_TRIES = 5
SLOTS = 16384
SCRIPTS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Ringkv:
    """A cluster of ringkv: how many nodes, copies, and answers to wait for."""

    nodes: int
    copies: int
    write_quorum: int
    read_quorum: int

    def text(self) -> str:
        """As in the tables."""
        if self.nodes == 1:
            return "one node"
        quorums = f" W={self.write_quorum} R={self.read_quorum}" if self.copies > 1 else ""
        return f"{self.nodes} nodes, N={self.copies}{quorums}"

    def config(self, base_port: int) -> str:
        """Its configuration file."""
        lines = [
            "[cluster]", f"replication_factor = {self.copies}", f"write_quorum = {self.write_quorum}", f"read_quorum = {self.read_quorum}",
        ]
        for number in range(self.nodes):
            lines += ["[[nodes]]", f'id = "node-{number + 1}"', f'addr = "{HOST}:{base_port + number}"']
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Redis:
    """redis-server without persistence: one that has this many replicas, or a Redis Cluster of this many primaries."""

    replicas: int = 0
    primaries: int = 0

    def text(self) -> str:
        """As in the tables."""
        if self.primaries:
            return f"redis-server --cluster-enabled, {self.primaries} primaries, one copy"
        return f"redis-server, {self.replicas} replicas" if self.replicas else "redis-server"


@dataclass(frozen=True)
class Server:
    """What is measured as one: ports to ask, and all the processes that work for the answer."""

    name: str
    ports: tuple[int, ...]
    pids: tuple[int, ...]
    is_ringkv: bool

    def cpu_seconds(self) -> float:
        """User plus system time of all its processes so far."""
        return sum(ticks(pid) for pid in self.pids) / TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Memory of all its processes."""
        return sum(resident_bytes(pid) for pid in self.pids)


class Servers:
    """What runs now, by what was asked for."""

    def __init__(self, directory: Path, core: int, threads: int) -> None:
        self.directory, self.core, self.threads = directory, core, threads
        self.running: dict[Ringkv | Redis, Server] = {}
        # Where the state of each ringkv cluster is, and the processes of each redis-server.
        self.clusters: dict[Ringkv | Redis, Path] = {}
        self.processes: dict[Ringkv | Redis, list[subprocess.Popen[bytes]]] = {}
        self.started = 0

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *_: object) -> None:
        self.keep_only()

    def get(self, kind: Ringkv | Redis) -> Server:
        """The one of this kind, started now if it does not run."""
        if kind not in self.running:
            self.started += 1
            self.running[kind] = self.start_ringkv(kind) if isinstance(kind, Ringkv) else self.start_redis(kind)
        return self.running[kind]

    def keep_only(self, *kinds: Ringkv | Redis | None) -> None:
        """Stops all others."""
        for kind in set(self.clusters) - set(kinds):
            stopped = subprocess.run(
                [SCRIPTS / "stop_cluster.sh", "--dir", self.clusters.pop(kind)], stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            if stopped.returncode != 0:
                print(stopped.stdout + stopped.stderr, file=sys.stderr)
            self.running.pop(kind, None)
        for kind in set(self.processes) - set(kinds):
            end(self.processes.pop(kind))
            self.running.pop(kind, None)

    def start_ringkv(self, kind: Ringkv) -> Server:
        """By start_cluster.sh; the nodes inherit its core."""
        directory = self.directory / f"ringkv-{self.started}"
        directory.mkdir()
        self.clusters[kind] = directory
        config = directory / "cluster.toml"
        for _ in range(START_TRIES):
            config.write_text(kind.config(free_base_port(kind.nodes)))
            command = ["taskset", "-c", str(self.core), SCRIPTS / "start_cluster.sh", "--config", config, "--dir", directory]
            command += ["--threads", str(self.threads)]
            with open(directory / "start.log", "wb") as log, child(command, stdout=log, stderr=log) as starter:
                status = starter.wait()
            if status == 0:
                lines = [line.split("\t") for line in (directory / "nodes").read_text().splitlines()]
                pids, ports = (tuple(int(line[field]) for line in lines) for field in (1, 3))
                return Server(f"ringkv, {kind.text()}", ports, pids, is_ringkv=True)
            said = (directory / "start.log").read_text()
            if "in use" not in said:
                break
        raise SystemExit(f"start_cluster.sh failed:\n{said}")

    def start_redis(self, kind: Redis) -> Server:
        """All its processes, until they agree on who they are."""
        count = kind.primaries or 1 + kind.replicas
        for _ in range(START_TRIES):
            base = free_base_port(2 * count)
            ports = range(base, base + count)
            self.processes[kind] = processes = []
            for port in ports:
                self.launch_redis(kind, base, port)
            if serve(processes, ports, kind.text()):
                break
            end(processes)
        else:
            raise SystemExit(f"{kind.text()} does not start; {self.log_of_redis(base).read_text()}")
        if kind.primaries:
            join(ports)
        for port in ports[1:] if kind.replicas else ():
            wait_for(lambda: info(port, "replication").get("master_link_status") == "up", f"{kind.text()}: a replica does not follow")
        return Server(kind.text(), tuple(ports), tuple(process.pid for process in processes), is_ringkv=False)

    def launch_redis(self, kind: Redis, base: int, port: int) -> None:
        """One process of those from the port `base` on, in a directory of its own that tells its id."""
        log = self.log_of_redis(port)
        log.parent.mkdir(exist_ok=True)
        command = ["taskset", "-c", str(self.core), "redis-server", "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no"]
        command += ["--repl-diskless-sync-delay", "0", "--logfile", str(log)]
        if kind.primaries:
            command += ["--cluster-enabled", "yes", "--cluster-port", str(port + kind.primaries)]
        elif port != base:
            command += ["--replicaof", HOST, str(base)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=log.parent)
        self.processes[kind].append(process)
        (log.parent / "pid").write_text(str(process.pid))

    def log_of_redis(self, port: int) -> Path:
        """Where one of them writes."""
        return self.directory / f"redis-{self.started}-{port}" / "log"


def settle(server: Server) -> None:
    """Until no node of a ringkv cluster owes another a write: a read of one copy may miss what has not arrived yet."""
    def owes_none(port: int) -> bool:
        said = [*info(port, "ring").values(), *info(port, "convergence").values()]
        return bool(said) and not any(re.search(r"\b(hints|in_flight)=[1-9]", line) for line in said)

    wait_for(lambda: all(owes_none(port) for port in server.ports), f"{server.name}: writes are still on their way")


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """Nothing of them is to be kept."""
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        process.wait(timeout=STOP_SECONDS_MAX)


def join(ports: range) -> None:
    """Makes a Redis Cluster of empty servers, each with an equal share of the slots."""
    for number, port in enumerate(ports):
        first, after = (SLOTS * at // len(ports) for at in (number, number + 1))
        ask(port, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        ask(port, "CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        if number:
            ask(port, "CLUSTER", "MEET", HOST, ports[0], ports[0] + len(ports))

    def is_joined(port: int) -> bool:
        said = dict(line.split(":", 1) for line in str(ask(port, "CLUSTER", "INFO")).splitlines())
        return said["cluster_state"] == "ok" and said["cluster_known_nodes"] == str(len(ports))

    wait_for(lambda: all(is_joined(port) for port in ports), "the Redis Cluster does not come together")


def serve(processes: list[subprocess.Popen[bytes]], ports: range, name: str) -> bool:
    """Whether each of these redis-servers answers at its port; if not, one has ended, perhaps since somebody took its port."""
    def has_ended() -> bool:
        return any(process.poll() is not None for process in processes)

    def all_answer() -> bool:
        # It may be a stranger who answers.
        return all(info(port, "server").get("process_id") == str(process.pid) for process, port in zip(processes, ports))

    wait_for(lambda: has_ended() or all_answer(), f"{name} does not answer")
    return not has_ended()


def wait_for(condition: Callable[[], bool], complaint: str) -> None:
    """Until it is true; the program ends with the complaint if that takes too long."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(complaint)
        time.sleep(0.05)


def free_base_port(count: int) -> int:
    """The first of so many neighbouring free ports, below the range of outgoing connections."""
    for _ in range(50):
        base = random.randrange(12000, 32000)
        if all(is_free(port) for port in range(base, base + count)):
            return base
    raise SystemExit(f"found no {count} neighbouring free ports")


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
