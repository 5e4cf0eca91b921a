"""From runs to ratios, verdicts and tables, and to the file that keeps them."""

import statistics
from dataclasses import dataclass
from pathlib import Path

from measure.load import Run
from measure.rows import Quoted, Row


@dataclass(frozen=True)
class Result:
    """A row with its pairs of runs: the peer's, if there is one to run, and ringkv's."""

    row: Row
    pairs: list[tuple[Run | None, Run]]

    def cpu_ratios(self) -> list[float]:
        """Processor time of ringkv over that of its peer, per pair."""
        if isinstance(self.row.peer, Quoted):
            return [ringkv.cpu_us / self.row.peer.cpu_us for _, ringkv in self.pairs]
        return [ringkv.cpu_us / peer.cpu_us for peer, ringkv in self.pairs if peer]

    def rps_ratios(self) -> list[float]:
        """Throughput of ringkv over that of its peer, per pair."""
        return [ringkv.rps / peer.rps for peer, ringkv in self.pairs if peer]

    def cpu_kept(self) -> bool | None:
        """Whether the goal for processor time is reached; None: there is none."""
        goal = self.row.cpu_goal
        return None if goal is None else statistics.median(self.cpu_ratios()) <= goal

    def rps_kept(self) -> bool | None:
        """Whether the goal for throughput is reached; None: there is none."""
        goal = self.row.rps_goal
        return None if goal is None else statistics.median(self.rps_ratios()) >= goal

    def floor_kept(self) -> bool | None:
        """Whether the gate lets it pass; None: it does not look."""
        floor = self.row.cpu_floor
        return None if floor is None else statistics.median(self.cpu_ratios()) <= floor

    def line(self) -> str:
        """In a few words."""
        ratios = [
            f"{name} ratio {statistics.median(values):.2f}"
            for name, values in (("CPU", self.cpu_ratios()), ("throughput", self.rps_ratios()))
            if values
        ]
        cpu = f"CPU {statistics.median(ringkv.cpu_us for _, ringkv in self.pairs):.2f} µs"
        return f"{self.row.name()}: {', '.join([cpu, *ratios])}"

    def cells(self) -> list[str]:
        """The row as text, in the order of HEADINGS."""
        peers = [peer for peer, _ in self.pairs if peer]
        cells = [self.row.title, str(self.row.load.pipeline), self.row.keys_text()]
        if peers:
            cells += run_cells(peers)
        elif isinstance(self.row.peer, Quoted):
            cells += [self.row.peer.name, "-", f"{self.row.peer.cpu_us:g} (quoted)"]
        else:
            cells += ["no peer", "-", "-"]
        cells += run_cells([ringkv for _, ringkv in self.pairs])
        cells += [spread(self.cpu_ratios()), verdict("≤", self.row.cpu_goal, self.cpu_kept())]
        cells += [spread(self.rps_ratios()), verdict("≥", self.row.rps_goal, self.rps_kept())]
        return cells + [verdict("≤", self.row.cpu_floor, self.floor_kept())]


HEADINGS = [
    "load", "P", "keys", "peer: 1000/s", "p50 / p99 / p99.9, ms", "CPU, µs", "ringkv: 1000/s", "p50 / p99 / p99.9, ms", "CPU, µs",
    "CPU ratio", "goal", "throughput ratio", "goal", "CPU floor",
]


def run_cells(runs: list[Run]) -> list[str]:
    """Medians of one side."""
    def of(name: str) -> float:
        return statistics.median(getattr(run, name) for run in runs)

    return [short(of("rps") / 1000), " / ".join(short(of(name)) for name in ("p50_ms", "p99_ms", "p999_ms")), f"{of('cpu_us'):.2f}"]


def short(value: float) -> str:
    """Three digits or so."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(ratios: list[float]) -> str:
    """The median, and the range."""
    if not ratios:
        return "-"
    return f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"


def verdict(sign: str, limit: float | None, is_kept: bool | None) -> str:
    """A limit, and whether it is kept."""
    return "-" if limit is None else f"{sign} {limit:.2f} {'kept' if is_kept else '**missed**'}"


def markdown_table(headings: list[str], rows: list[list[str]]) -> str:
    """Columns of even width, so that the table also reads well in a terminal."""
    lines = [headings] + rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    texts = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines]
    texts.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(texts)


def publish(text: str, out: Path | None) -> None:
    """Prints what was found, and keeps it if there is a place for that."""
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)
        text += f"\nwritten to {out}"
    print(f"\n{text}")


# ---- memory ----

MEMORY_KEYS = 5_000_000
MEMORY_GOAL = 0.72
MEMORY_FLOOR = 0.85


@dataclass(frozen=True)
class Memory:
    """Resident bytes per key."""

    peer: float
    ringkv: float

    def ratio(self) -> float:
        """ringkv's over its peer's."""
        return self.ringkv / self.peer

    def is_kept(self) -> bool:
        """Whether the goal is reached."""
        return self.ratio() <= MEMORY_GOAL

    def floor_kept(self) -> bool:
        """Whether the gate lets it pass."""
        return self.ratio() <= MEMORY_FLOOR

    def table(self) -> str:
        """As Markdown."""
        headings = ["keys", "redis-server: bytes per key", "ringkv: bytes per key", "ratio", "goal", "floor"]
        cells = [f"{MEMORY_KEYS // 1_000_000} million", f"{self.peer:.0f}", f"{self.ringkv:.0f}", f"**{self.ratio():.2f}**"]
        cells += [verdict("≤", MEMORY_GOAL, self.is_kept()), verdict("≤", MEMORY_FLOOR, self.floor_kept())]
        return markdown_table(headings, [cells])
