"""Where the time of a slow request went: to the server, to others on its core, or to those who stop a whole core.

The clients of examples/tail_load.rs note, of their longest times, what the scheduler counts of the server's threads. A thread that is
not let onto its core shows as waiting. One whose core the hypervisor or the kernel has taken may show as running; so a sleeper with
real-time priority sits on the same core, which no program's own code can keep from it, and notes for how long it was kept all the
same. Of a pause, the server is held to have run first for the millisecond that the sleeper slept; so what is left to it is too much
rather than too little. What hides here are system calls of the server that nothing can interrupt: `perf trace --duration 1` shows them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from measure.basics import TICKS_PER_SECOND

# What a client printed.
Figures = dict[str, float]

SPENT_HEADINGS = [
    "took", "ran", "stood still", "waited", "behind its own threads", "neither", "its core paused", "clients' core paused",
    "client waited for its core", "left",
]


@dataclass(frozen=True)
class Spent:
    """Where the time of one request went, in milliseconds."""

    took: float
    # The server's main thread counted as running, and as ready for its core while others had it.
    ran: float
    waited: float
    # The server's other threads, which may be who had it.
    others_ran: float
    # For so long of `ran` not even the sleeper was let onto the core, and for so long altogether.
    stood_still: float
    paused: float
    # The same of the clients' core, and for how long the client was ready for it.
    client_paused: float
    client_waited: float

    def behind_itself(self) -> float:
        """The main thread waited for others of the same server."""
        return min(self.waited, self.others_ran)

    def neither(self) -> float:
        """The main thread slept, or the hypervisor is known to have had its core."""
        return max(self.took - self.ran - self.waited, 0)

    def left(self) -> float:
        """What nobody else took of what it ran, waited, and of the rest."""
        behind_strangers = self.waited - self.behind_itself()
        elsewhere = min(self.neither(), self.paused - self.stood_still + max(self.client_paused, self.client_waited))
        return max(self.took - self.stood_still - behind_strangers - elsewhere, 0)

    def cells(self) -> list[str]:
        """Its row, as in SPENT_HEADINGS."""
        times = [
            self.took, self.ran, self.stood_still, self.waited, self.behind_itself(), self.neither(), self.paused, self.client_paused,
            self.client_waited,
        ]
        return [*(f"{time:.1f}" for time in times), f"**{self.left():.1f}**"]


def spent_on_longest(probe: Figures, server_pauses: Figures, client_pauses: Figures) -> list[Spent]:
    """Of the longest requests of a light client, the longest first."""
    pauses, elsewhere = longest(server_pauses), longest(client_pauses)
    return [
        Spent(
            *(request[name] / 1e3 for name in ("took", "ran", "waited", "others_ran")),
            stood_still=min(overlap(request, pauses, "ran"), request["ran"] / 1e3),
            paused=overlap(request, pauses), client_paused=overlap(request, elsewhere), client_waited=request["client_waited"] / 1e3,
        )
        for request in longest(probe)
    ]


def longest(figures: Figures) -> list[Figures]:
    """The longest times that a client has noted, each with its beginning and what else it tells of them."""
    entries: dict[str, Figures] = {}
    for name, value in figures.items():
        if name.startswith("longest"):
            rank, _, what = name.removeprefix("longest").partition("_")
            entries.setdefault(rank, {})[what] = value
    return list(entries.values())


def without_longest(figures: Figures) -> Figures:
    """The others."""
    return {name: value for name, value in figures.items() if not name.startswith("longest")}


def overlap(request: Figures, pauses: list[Figures], what: str = "took") -> float:
    """How many milliseconds of a request fell into these pauses, which do not overlap one another, or into what is noted of them."""
    end = request["began"] + request["took"]
    common = ((each, min(end, each["began"] + each["took"]) - max(request["began"], each["began"])) for each in pauses)
    return sum(max(min(each[what], micros), 0) for each, micros in common) / 1e3


# ---- the machine ----


def stolen_seconds(core: int) -> float:
    """What the hypervisor has taken of a core so far, counted in hundredths of a second."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    return int(line.split()[8]) / TICKS_PER_SECOND


def prepared_mb() -> float:
    """Memory that the kernel is ready to hand out. One that prepares it only when it is wanted does so for 128 MB at a time, with
    interrupts off, in whichever page fault wants the first page: some milliseconds."""
    pages = sum(int(line.split()[1]) for line in Path("/proc/zoneinfo").read_text().splitlines() if line.lstrip().startswith("managed "))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
