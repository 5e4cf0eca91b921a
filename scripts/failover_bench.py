"""Makes the table of scripts/failover_bench.sh from the figures that examples/failover_load.rs printed in each round."""

import argparse
import datetime
import statistics
import sys
from pathlib import Path

from measure.basics import machine, redis_version
from measure.results import publish

SYSTEMS = {
    "ringkv": "ringkv, 3 nodes, N=3 W=2",
    "redis-15000": "Redis Cluster, 3 + 3, node timeout 15000 ms (default)",
    "redis-5000": "Redis Cluster, 3 + 3, node timeout 5000 ms",
}
HEADINGS = [
    "system", "writes/s before", "a key not written for, s: before the kill", "after it", "after it, keys elsewhere", "failed: in flight",
    "failed: refused or unreachable", "acknowledged writes lost", "rounds with a loss",
]


class Round:
    """What one round showed."""

    def __init__(self, path: Path) -> None:
        self.refusals: set[str] = set()
        self.figures: dict[str, float] = {}
        for line in path.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "refusal":
                self.refusals.add(value)
            else:
                self.figures[name] = float(value)

    def __getitem__(self, name: str) -> float:
        return self.figures[name]


def spread(values: list[float], digits: int) -> str:
    """The median, and the range where there is one."""
    texts = [f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))]
    return f"**{texts[0]}**" if texts[1] == texts[2] else f"**{texts[0]}** ({texts[1]} to {texts[2]})"


def cells(title: str, rounds: list[Round]) -> list[str]:
    """A row of the table."""
    def of(name: str) -> list[float]:
        return [each[name] for each in rounds]

    later = [each["failed_refused"] + each["failed_unreachable"] for each in rounds]
    lossy = sum(lost > 0 for lost in of("lost"))
    return [
        title, f"{statistics.median(of('writes_per_second')):.0f}", spread(of("gap_before"), 2), spread(of("gap_hit"), 2),
        spread(of("gap_others"), 2), spread(of("failed_in_flight"), 0), spread(later, 0), spread(of("lost"), 0), f"{lossy} of {len(rounds)}",
    ]


def remarks(title: str, rounds: list[Round]) -> list[str]:
    """What a reader of the row should know besides."""
    lines = [
        f"* {title}: before the kill {sum(each['failed_before'] for each in rounds):.0f} requests failed, and the client used"
        f" {statistics.median(each['client_cpu_percent'] for each in rounds):.0f} % of a core."
    ]
    refusals = sorted(set().union(*(each.refusals for each in rounds)))
    if refusals:
        lines.append("  Refusals: " + "; ".join(f"`{text}`" for text in refusals) + ".")
    unavailable = sum(each["unavailable_keys"] for each in rounds)
    if unavailable:
        lines.append(f"  {unavailable:.0f} keys could not be written until the end.")
    return lines


def document(command: str, by_system: dict[str, list[Round]]) -> str:
    """The whole file."""
    table = [HEADINGS, ["---"] * len(HEADINGS)] + [cells(SYSTEMS[name], rounds) for name, rounds in by_system.items()]
    rows = "\n".join("| " + " | ".join(row) + " |" for row in table)
    notes = "\n".join(line for name, rounds in by_system.items() for line in remarks(SYSTEMS[name], rounds))
    return f"""# A node is killed at full load

Written by `{command}`.

* Machine: {machine()}; servers and client share them. redis-server {redis_version()}, no persistence.
* {datetime.date.today().isoformat()}, {max(map(len, by_system.values()))} round(s) of each with a fresh cluster. Median, in brackets smallest and largest.
* 12 connections, half with one write in flight and half with 16, each with 64 keys of its own, to which it writes increasing
  numbers as fast as they are acknowledged. A third of them begin on the node that is killed with kill -9, and their keys
  are those of that primary in Redis Cluster.
* "Not written for": the longest time between two acknowledged writes of one key, so even a healthy cluster shows how busy
  the machine is. "Elsewhere": keys whose writers did not begin on the killed node.
* A request fails when it is answered with an error, its connection breaks before the answer, or nobody can be
  connected to; it is tried again, after 50 ms unless its connection broke. MOVED is followed and no failure. So the number
  of failures during an outage depends on that pause; how long it lasts does not.
* Lost: the number read back, after the killed node has come back and caught up, is below the last one acknowledged.
  ringkv is read at each node (R=2) and the lowest answer counts, Redis Cluster at the primary.
* The killed process's machine lives on and resets its connections. A machine that vanishes is noticed by ringkv's nodes
  after `request_timeout_ms`.

{rows}

{notes}
"""


def main() -> int:
    """Reads the figures, writes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    by_system = {name: [Round(path) for path in sorted(arguments.figures.glob(f"{name}.*"))] for name in SYSTEMS}
    publish(document(arguments.command, {name: rounds for name, rounds in by_system.items() if rounds}), arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
