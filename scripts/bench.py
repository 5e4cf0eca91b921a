"""Measures for scripts/bench.sh: starts the servers of each table, loads them in turn, and writes what was seen.

A row is one kind of load. Its runs alternate between the peer and ringkv, since a machine's speed drifts by far more than
the difference that is looked for; each pair gives a ratio, and the median of the ratios counts. Processor time is user
plus system time of all processes of a server, from /proc, divided by operations.
"""

import argparse
import datetime
import re
import signal
import statistics
import sys
from pathlib import Path

from measure.basics import CLIENTS, VALUE_BYTES, machine, redis_version
from measure.load import Generator, Load, chosen_slots
from measure.picture import Bar, draw
from measure.results import HEADINGS, MEMORY_GOAL, MEMORY_KEYS, Memory, Result, markdown_table
from measure.rows import ALONE, GROUPS, ONE, Group, Row
from measure.servers import Redis, Server, Servers

MEMORY_ROW = f"memory per key, {MEMORY_KEYS // 1_000_000} million keys"


class Bench:
    """The settings of one invocation, and what the servers hold."""

    def __init__(self, arguments: argparse.Namespace, servers: Servers) -> None:
        self.servers = servers
        self.pairs = arguments.pairs or (3 if arguments.quick else 9)
        self.generator = Generator(arguments.load, arguments.client_core, 0.5 if arguments.quick else 1.1)
        # What each server was filled with last: keys, bytes of each, and the slots.
        self.filled: dict[Server, tuple[int, int, bool, list[str]]] = {}

    def group(self, group: Group) -> list[Result]:
        """All rows of a table."""
        print(f"\n{group.title}", flush=True)
        results = []
        for row in group.rows:
            # Whoever is not asked should not run besides; the next row often asks the same.
            self.servers.keep_only(row.ringkv, row.peer)
            result = self.row(row)
            results.append(result)
            print(f"  {result.line()}", flush=True)
        return results

    def row(self, row: Row) -> Result:
        """All pairs of a row."""
        ringkv = self.servers.get(row.ringkv)
        peer = self.servers.get(row.peer) if isinstance(row.peer, Redis) else None
        slots = chosen_slots(ringkv, row.load)
        other = (peer, row.peer_load or row.load) if peer else None
        for server, load in filter(None, (other, (ringkv, row.load))):
            self.fill(server, load, slots)
        return Result(row, self.generator.pairs(other, (ringkv, row.load), slots, self.pairs))

    def fill(self, server: Server, load: Load, slots: list[str]) -> None:
        """Every key that is asked for is there, with a value of the right length."""
        keys, value_bytes, by_slot, among = self.filled.get(server, (0, 0, False, []))
        wanted = (load.value_bytes, load.benchmark == "cluster", slots)
        if keys < load.keys or (value_bytes, by_slot, among) != wanted:
            self.generator.fill(server, load, slots)
            self.filled[server] = (load.keys, *wanted)

    def memory(self) -> Memory:
        """Both sides from empty to full."""
        print(f"\n{MEMORY_ROW}", flush=True)
        load = Load("set", 1, MEMORY_KEYS)
        bytes_per_key = []
        for kind in (ALONE, ONE):
            self.servers.keep_only()
            server = self.servers.get(kind)
            empty = server.resident_bytes()
            self.generator.fill(server, load, [])
            bytes_per_key.append((server.resident_bytes() - empty) / MEMORY_KEYS)
        memory = Memory(*bytes_per_key)
        print(f"  redis-server {memory.peer:.0f} bytes, ringkv {memory.ringkv:.0f} bytes, ratio {memory.ratio():.2f}", flush=True)
        return memory


# ---- the files ----


def document(arguments: argparse.Namespace, bench: Bench, tables: list[tuple[Group, list[Result]]], memory: Memory | None) -> str:
    """The whole results file."""
    picture_line = ""
    if arguments.out:
        picture_line = f"\n![CPU per operation of ringkv, as a ratio to its peer]({arguments.out.with_suffix('.svg').name})\n"
    parts = [f"""# ringkv beside redis-server

Written by `{arguments.command}`.
{picture_line}
* Machine: {machine()}. All servers share one core, the load has another.
* redis-server {redis_version()}, no persistence. ringkv with {arguments.threads} worker thread(s) per node.
* {datetime.date.today().isoformat()}
* {CLIENTS} clients; {VALUE_BYTES}-byte values where no other length is said; all keys present, and drawn at random. P: requests per
  pipeline. A request's latency is the time from its pipeline's write to that pipeline's last reply (redis-benchmark: first reply).
* Medians of {bench.pairs} pairs of runs of {bench.generator.seconds:g} s, the peer and ringkv in turn. CPU: user and system time of all server processes
  together, per operation. Ratios: ringkv to its peer within a pair, in brackets the smallest and the largest.
* Goal: what is to be reached. Floor: what `--gate` insists on."""]
    for group, results in tables:
        parts.append(f"## {group.title}\n\n{group.text}\n\n{markdown_table(HEADINGS, [result.cells() for result in results])}")
    if memory:
        text = f"Growth of the process from empty to full: 16-byte keys, {VALUE_BYTES}-byte values, one node, nothing expires."
        parts.append(f"## Memory\n\n{text}\n\n{memory.table()}")
    return "\n\n".join(parts) + "\n"


def picture(tables: list[tuple[Group, list[Result]]], memory: Memory | None) -> str:
    """CPU ratios as bars."""
    groups = [(group.title, [bar(result) for result in results if result.cpu_ratios()]) for group, results in tables]
    if memory:
        groups.append(("Memory", [Bar(f"resident {MEMORY_ROW}", memory.ratio(), MEMORY_GOAL, memory.is_kept())]))
    subtitle = "Server CPU per operation of ringkv over that of its peer, each row's in the same run. 1: alike; shorter is better."
    return draw("ringkv beside redis-server", subtitle, groups)


def bar(result: Result) -> Bar:
    """One row."""
    return Bar(result.row.name(), statistics.median(result.cpu_ratios()), result.row.cpu_goal, result.cpu_kept())


def summary(tables: list[tuple[Group, list[Result]]], memory: Memory | None) -> list[str]:
    """The floors that are missed, after the goals are printed."""
    results = [(f"{group.title}: {result.row.name()}", result) for group, results in tables for result in results]
    goals = [(f"{name}, CPU", result.cpu_kept()) for name, result in results]
    goals += [(f"{name}, throughput", result.rps_kept()) for name, result in results]
    floors = [(name, result.floor_kept()) for name, result in results]
    if memory:
        goals.append((MEMORY_ROW, memory.is_kept()))
        floors.append((MEMORY_ROW, memory.floor_kept()))
    set_goals = [name for name, kept in goals if kept is not None]
    missed_goals = [name for name, kept in goals if kept is False]
    print(f"\n{len(set_goals) - len(missed_goals)} of {len(set_goals)} goals reached")
    for name in missed_goals:
        print(f"  missed: {name}")
    return [name for name, kept in floors if kept is False]


# ---- the run ----


def chosen(pattern: str | None) -> list[Group]:
    """The tables with those rows only whose table's title and name match."""
    if pattern is None:
        return GROUPS
    wanted = re.compile(pattern, re.IGNORECASE)
    groups = []
    for group in GROUPS:
        rows = [row for row in group.rows if wanted.search(f"{group.title}: {row.name()}")]
        groups += [Group(group.title, group.text, rows)] if rows else []
    return groups


def with_memory(pattern: str | None) -> bool:
    """Whether memory is to be measured."""
    return pattern is None or bool(re.search(pattern, MEMORY_ROW, re.IGNORECASE))


def parse_arguments() -> argparse.Namespace:
    """The command line, as bench.sh writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--rows")
    parser.add_argument("--load", type=Path)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--server-core", type=int)
    parser.add_argument("--client-core", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--command")
    return parser.parse_args()


def main() -> int:
    """Measures, writes; 1 when a floor is missed and that was to be an error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = parse_arguments()
    groups = chosen(arguments.rows)
    if not groups and not with_memory(arguments.rows):
        sys.exit(f"no row matches '{arguments.rows}'; --list shows all")
    if arguments.list:
        names = [f"{group.title}: {row.name()}" for group in groups for row in group.rows]
        print("\n".join(names + ([MEMORY_ROW] if with_memory(arguments.rows) else [])))
        return 0
    with Servers(arguments.directory, arguments.server_core, arguments.threads) as servers:
        bench = Bench(arguments, servers)
        tables = [(group, bench.group(group)) for group in groups]
        memory = bench.memory() if with_memory(arguments.rows) else None
    text = document(arguments, bench, tables, memory)
    print(f"\n{text}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
        arguments.out.with_suffix(".svg").write_text(picture(tables, memory))
        print(f"written to {arguments.out} and {arguments.out.with_suffix('.svg').name}")
    missed = summary(tables, memory)
    if missed:
        print("floors missed:" + "".join(f"\n  {name}" for name in missed))
    return 1 if missed and arguments.gate else 0


if __name__ == "__main__":
    sys.exit(main())
