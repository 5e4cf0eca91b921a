"""Measures for scripts/growth.sh: the same loads on more nodes and on more keys, each run beside one of redis-server, so that
a drift of the machine's speed shows in neither ratio."""

import argparse
import datetime
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure.basics import CLIENTS, VALUE_BYTES, machine, redis_version
from measure.load import Generator, Load, Run, chosen_slots
from measure.results import markdown_table, publish, spread
from measure.rows import ALONE, ONE
from measure.servers import Ringkv, Server, Servers

PIPELINE = 16
NODES = (3, 5, 9)
SIMULATED = "3..1000"
SIMULATION_SECONDS_MAX = 120

NODES_TEXT = """N=3 W=2 R=1. "At any node": the clients are spread over all nodes, and each asks its node for keys of all slots, as clients do
that know no slots. "At its first node": one node is asked, for keys that it is asked first for, as clients do that know the slots.
Idle: processor time of a node that nobody asks anything.

What grows, and why: 3 of n nodes keep a key, so the node that a client happens to ask has it with probability 3/n (100 %, 60 %,
33 %). Otherwise the request is passed on, and both nodes spend a message on it. Messages also become shorter: the requests of a
pipeline part over n - 1 links, and fewer clients share each. This second part is the larger one: where one node is asked for
all (see "Through a node without a copy" in [results.md](results.md)), passing every request on costs less than passing on some of
them does here. A SET sends two messages where the asked node has a copy and three where it has none, so it grows by less
than GET, which sends none or one. At a key's first node nothing is passed on. What is left to grow there is that the
copies of a pipeline go to more nodes in shorter messages, and that the time of all nodes is counted, idle ones included. Memory per
key does not depend on the number of nodes."""

KEYS_TEXT = """One node, all keys drawn at random. The ratios are to redis-server with as many keys. 10^4 keys are so few that their memory
per key says more about what else a process maps.

What grows, and why: next to nothing. No operation takes more steps with more keys, but some 10^5 keys no longer fit in the processor's
caches. redis-server then waits for memory several times per operation, one after the other; ringkv asks for the memory of all
requests of a pipeline before it executes the first, so that these waits overlap. That is why its ratio falls as keys become many.
Memory per key stays the same, as the table of a slot grows by a few places at a time; redis-server's one table doubles, so what
each key takes of it depends on how full it is."""

RING_TEXT = """`ringkv ring --simulate`, N=3, 256 positions of each node; each figure is the worse of two ways to name the nodes.

What grows, and why: the ring in memory by some 4 KiB and the file by some 60 bytes per node. The reply to CLUSTER SLOTS grows until each
of the 16384 slots is a range of its own, as with many nodes neighbouring slots rarely have the same three. To find the nodes
of a slot is one look into a table, whatever its size. With hundreds of nodes each has room for few slots more than the mean, so
that one who comes or goes pushes slots on between others: movement exceeds the ideal, of ever fewer slots."""


class Growth:
    """The settings of one invocation."""

    def __init__(self, arguments: argparse.Namespace, servers: Servers) -> None:
        self.servers = servers
        self.quick = arguments.quick
        self.pairs = arguments.pairs or (3 if arguments.quick else 5)
        self.generator = Generator(arguments.load, arguments.client_core, 0.5 if arguments.quick else 2.0)

    def pair(self, peer: Server, ringkv: Server, load: Load) -> list[str]:
        """Processor time of ringkv, and its ratio to redis-server's."""
        pairs = self.generator.pairs((peer, load), (ringkv, load), chosen_slots(ringkv, load), self.pairs)
        ratios = [ours.cpu_us / theirs.cpu_us for theirs, ours in pairs]
        return [median_cpu([ours for _, ours in pairs]), spread(ratios)]

    def nodes(self) -> str:
        """The table by number of nodes."""
        keys = 200_000 if self.quick else 1_000_000
        peer = self.servers.get(ALONE)
        self.generator.fill(peer, Load("set", 1, keys), [])
        rows = []
        for nodes in NODES:
            kind = Ringkv(nodes, 3, 2, 1)
            self.servers.keep_only(kind, ALONE)
            ringkv = self.servers.get(kind)
            idle = self.idle_percent(ringkv)
            empty = ringkv.resident_bytes()
            self.generator.fill(ringkv, Load("set", 1, keys, everywhere=True), [])
            memory = (ringkv.resident_bytes() - empty) / keys / kind.copies
            cells = [str(nodes)]
            for command in ("set", "get"):
                cells += self.pair(peer, ringkv, Load(command, PIPELINE, keys, everywhere=True))
            # Of a node's own slots there are fewer keys; half of what may be expected are there for sure.
            for command in ("set", "get"):
                cells += self.pair(peer, ringkv, Load(command, PIPELINE, keys // max(NODES) // 2, slots="first"))
            rows.append(cells + [f"{memory:.0f}", f"{empty / nodes / 1e6:.1f}", f"{idle:.2f}"])
            print(f"{nodes} nodes: " + ", ".join(rows[-1][1:]), flush=True)
        headings = [
            "nodes", "SET at any node: CPU, µs", "to redis-server", "GET at any node: CPU, µs", "to redis-server",
            "SET at its first node: CPU, µs", "to redis-server", "GET at its first node: CPU, µs", "to redis-server", "memory per key and copy, bytes",
            "empty node, MB", "idle node, % of a core",
        ]
        return markdown_table(headings, rows)

    def idle_percent(self, ringkv: Server) -> float:
        """Percent of a core that a node uses while nobody asks anything."""
        seconds = 3 if self.quick else 10
        before, began = ringkv.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        return 100 * (ringkv.cpu_seconds() - before) / (time.monotonic() - began) / len(ringkv.pids)

    def keys(self) -> str:
        """The table by number of keys."""
        self.servers.keep_only()
        peer, ringkv = self.servers.get(ALONE), self.servers.get(ONE)
        empty = [server.resident_bytes() for server in (peer, ringkv)]
        rows = []
        for exponent in range(4, 7 if self.quick else 8):
            keys = 10**exponent
            memory = []
            for server, before in zip((peer, ringkv), empty):
                self.generator.fill(server, Load("set", 1, keys), [])
                memory.append((server.resident_bytes() - before) / keys)
            cells = [f"10^{exponent}"]
            for command in ("set", "get"):
                cells += self.pair(peer, ringkv, Load(command, PIPELINE, keys))
            rows.append(cells + [f"{each:.0f}" for each in memory[::-1]] + [f"{memory[1] / memory[0]:.2f}"])
            print(f"{keys} keys: " + ", ".join(rows[-1][1:]), flush=True)
        headings = [
            "keys", "SET: CPU, µs", "to redis-server", "GET: CPU, µs", "to redis-server",
            "memory per key, bytes", "redis-server's", "ratio",
        ]
        return markdown_table(headings, rows)


def median_cpu(runs: list[Run]) -> str:
    """Microseconds per operation."""
    return f"{statistics.median(run.cpu_us for run in runs):.2f}"


def ring(ringkv: Path) -> str:
    """The table of simulated rings."""
    command = [ringkv, "ring", "--simulate", "--nodes", SIMULATED, "--json"]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SIMULATION_SECONDS_MAX, check=True)
    headings = [
        "nodes", "busiest node / mean: asked first", "all copies", "copies moved when one joins", "over the ideal", "when one leaves",
        "over the ideal", "CLUSTER SLOTS: ranges", "KiB", "cluster.toml: KiB", "to read, ms", "ring: KiB", "to compute, ms", "lookup, ns",
    ]
    return markdown_table(headings, [ring_cells(json.loads(line)) for line in said.stdout.splitlines()])


def ring_cells(seen: dict[str, float]) -> list[str]:
    """One size."""
    cells = [f"{seen['nodes']}", f"{seen['primary_max_to_mean']:.3f}", f"{seen['all_max_to_mean']:.3f}"]
    for what in ("join", "leave"):
        moved, ideal = seen[f"{what}_copies_moved"], seen[f"{what}_ideal"]
        cells += [f"{100 * moved:.2f} %", f"{moved / ideal:.2f}"]
    cells += [f"{seen['ranges']}"] + [f"{seen[name] / 1024:.0f}" for name in ("cluster_slots_bytes", "config_bytes")]
    cells += [f"{seen['config_read_ms']:.1f}", f"{seen['memory_bytes'] / 1024:.0f}", f"{seen['build_ms']:.1f}", f"{seen['lookup_ns']:.1f}"]
    return cells


def document(arguments: argparse.Namespace, growth: Growth, tables: dict[str, tuple[str, str]]) -> str:
    """The whole file."""
    head = f"""# How cost grows

Written by `{arguments.command}`.

* Machine: {machine()}. All servers share one core, the load has another. One worker thread per node.
* redis-server {redis_version()}, no persistence, one copy.
* {datetime.date.today().isoformat()}
* {CLIENTS} clients, {PIPELINE} requests per pipeline, 16-byte keys, {VALUE_BYTES}-byte values. Medians of {growth.pairs} pairs of runs of
  {growth.generator.seconds:g} s, redis-server and ringkv in turn; in brackets the smallest and the largest ratio. CPU: user and
  system time of all nodes together, per operation. Memory: how much more is resident than before the first key."""
    return "\n\n".join([head] + [f"## {title}\n\n{text}\n\n{table}" for title, (text, table) in tables.items()]) + "\n"


def parse_arguments() -> argparse.Namespace:
    """The command line, as growth.sh writes it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--ringkv", "--load", "--directory", "--out"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--server-core", "--client-core"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--command", required=True)
    return parser.parse_args()


def main() -> int:
    """Measures and writes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse_arguments()
    with Servers(arguments.directory, arguments.server_core, threads=1) as servers:
        growth = Growth(arguments, servers)
        tables = {"By nodes": (NODES_TEXT, growth.nodes()), "By keys": (KEYS_TEXT, growth.keys())}
        servers.keep_only()
        tables["Rings of other sizes"] = (RING_TEXT, ring(arguments.ringkv))
    publish(document(arguments, growth, tables), arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
