"""The rows of scripts/bench.sh: which load on which ringkv beside which peer, what is to be reached, and what must be kept."""

from dataclasses import dataclass, replace

from measure.load import KEYS_PER_SLOT, Load
from measure.servers import SLOTS, Redis, Ringkv

FEW_KEYS, KEYS, MANY_KEYS, LARGE_VALUES = 10_000, 100_000, 2_000_000, 1_000
# Skew of the rows that have one, as in the Yahoo! Cloud Serving Benchmark.
ZIPF = 0.99


@dataclass(frozen=True)
class Quoted:
    """A figure that was measured elsewhere."""

    name: str
    cpu_us: float


@dataclass(frozen=True)
class Row:
    """One kind of load, and what ringkv is to reach beside its peer."""

    title: str
    ringkv: Ringkv
    load: Load
    peer: Redis | Quoted | None
    # What the peer is asked for, if it is something else.
    peer_load: Load | None = None
    # Goals: the ratio of processor time at most, the ratio of throughput at least.
    cpu_goal: float | None = None
    rps_goal: float | None = None
    # The ratio of processor time that --gate insists on.
    cpu_floor: float | None = None

    def name(self) -> str:
        """By which --rows finds it."""
        return f"{self.title}, P={self.load.pipeline}, {self.keys_text()} keys"

    def keys_text(self) -> str:
        """How many keys it asks for."""
        keys = KEYS_PER_SLOT * SLOTS if self.load.benchmark == "cluster" else self.load.keys
        return f"{keys // 1_000_000}M" if keys >= 1_000_000 else f"{keys / 1000:.0f}k"


@dataclass(frozen=True)
class Group:
    """Rows of one table."""

    title: str
    # A sentence for readers of the table.
    text: str
    rows: list[Row]


ALONE, REPLICATED, SHARDED = Redis(), Redis(replicas=2), Redis(primaries=3)
ONE = Ringkv(1, 1, 1, 1)
THREE, THREE_R2 = Ringkv(3, 3, 2, 1), Ringkv(3, 3, 2, 2)
FIVE, FIVE_R2, FIVE_SINGLE = Ringkv(5, 3, 2, 1), Ringkv(5, 3, 2, 2), Ringkv(5, 1, 1, 1)


def one_node() -> list[Row]:
    """Local work."""
    rows = []
    for pipeline, keys, goals, rps_goal, floor in (
        (1, FEW_KEYS, (0.90, 0.90), 1.0, 1.0),
        (1, KEYS, (0.90, 0.90), 1.0, 1.0),
        (16, FEW_KEYS, (0.58, 0.50), 1.4, 0.75),
        (16, KEYS, (0.58, 0.50), 1.4, 0.75),
    ):
        for command, goal in zip(("get", "set"), goals):
            load = Load(command, pipeline, keys)
            rows.append(Row(command.upper(), ONE, load, ALONE, cpu_goal=goal, rps_goal=rps_goal, cpu_floor=floor))
    control = Load("set", 16, KEYS, benchmark="plain")
    rows += [
        Row("SET, by redis-benchmark", ONE, control, ALONE, cpu_goal=0.50, rps_goal=1.4, cpu_floor=0.75),
        Row("GET and SET 50:50, Zipf keys", ONE, Load("mix", 1, KEYS, zipf=ZIPF), ALONE),
        Row("GET and SET 50:50, Zipf keys", ONE, Load("mix", 16, KEYS, zipf=ZIPF), ALONE),
        Row("MGET of 100 keys", ONE, Load("mget", 1, KEYS), ALONE),
    ]
    for command in ("set", "get"):
        rows.append(Row(f"{command.upper()}, values of 1 KB", ONE, Load(command, 16, FEW_KEYS, 1024), ALONE))
    for command in ("set", "get"):
        rows.append(Row(f"{command.upper()}, values of 64 KB", ONE, Load(command, 1, LARGE_VALUES, 65536), ALONE))
    # The last, as the keys stay.
    for command in ("set", "get"):
        load = Load(command, 64, MANY_KEYS)
        rows.append(Row(command.upper(), ONE, load, ALONE, cpu_goal=0.40, rps_goal=1.8, cpu_floor=0.4))
    return rows


def three_nodes() -> list[Row]:
    """Three copies beside one."""
    rows = []
    for everywhere, where in ((False, "at one node"), (True, "at all three nodes")):
        for pipeline, goal, floor in ((1, 1.6, 2.0), (16, 1.5, 1.8)):
            load = Load("set", pipeline, KEYS, everywhere=everywhere)
            rows.append(Row(f"SET W=2 {where}", THREE, load, ALONE, cpu_goal=goal, cpu_floor=floor))
    for pipeline in (1, 16):
        rows.append(Row("GET R=1 at a replica", THREE, Load("get", pipeline, KEYS), ALONE, cpu_floor=1.1 if pipeline == 1 else 0.6))
    for pipeline in (1, 16):
        load = Load("mix", pipeline, KEYS, zipf=ZIPF, everywhere=True)
        rows.append(Row("GET R=1, SET W=2 50:50, Zipf keys, at all nodes", THREE, load, ALONE))
    rows.append(Row("MGET R=1 of 100 keys across slots", THREE, Load("mget", 1, KEYS), ALONE))
    return rows


def quorum_reads() -> list[Row]:
    """What only quorum systems do."""
    rows = []
    for pipeline, quoted, goal in ((1, 52, 0.35), (16, 48, 0.08)):
        peer = Quoted("Dynomite, 3 copies, DC_QUORUM", quoted)
        rows.append(Row("GET R=2 at a replica", THREE_R2, Load("get", pipeline, KEYS), peer, cpu_goal=goal))
    for pipeline in (1, 16):
        rows.append(Row("GET R=2 at a node without a copy", FIVE_R2, Load("get", pipeline, KEYS, slots="none"), None))
    for pipeline in (1, 16):
        load = Load("mix", pipeline, KEYS, zipf=ZIPF, everywhere=True)
        rows.append(Row("GET R=2, SET W=2 50:50, Zipf keys, at all nodes", THREE_R2, load, None))
    return rows


def through_another() -> list[Row]:
    """Requests that the asked node has to pass on."""
    rows = []
    for title, kind, command, goals in (
        ("GET R=1", FIVE, "get", (1.2, 0.85)),
        ("SET of one copy", FIVE_SINGLE, "set", (1.2, 0.85)),
        ("SET N=3 W=2", FIVE, "set", (None, None)),
    ):
        for pipeline, goal in zip((1, 16), goals):
            rows.append(Row(f"{title} at a node without a copy", kind, Load(command, pipeline, KEYS, slots="none"), ALONE, cpu_goal=goal))
    rows.append(Row("MGET R=1 of 100 keys across slots", FIVE, Load("mget", 1, KEYS), ALONE))
    return rows


def beside_replicas() -> list[Row]:
    """Three copies on both sides."""
    rows = []
    for pipeline, cpu_goal, rps_goal in ((1, 0.85, 1.0), (16, 0.50, 1.5)):
        load = Load("set", pipeline, KEYS)
        rows.append(Row("SET W=2; SET that no replica acknowledges", THREE, load, REPLICATED, cpu_goal=cpu_goal, rps_goal=rps_goal))
    for pipeline, title, cpu_goal, rps_goal in (
        (1, "SET W=2; SET and WAIT 1 in one write", 0.80, 1.0),
        (16, "SET W=2; 16 SETs and one WAIT 1", 0.45, 1.8),
    ):
        load = Load("set", pipeline, KEYS)
        rows.append(Row(title, THREE, load, REPLICATED, replace(load, wait=1), cpu_goal=cpu_goal, rps_goal=rps_goal))
    return rows


def beside_cluster() -> list[Row]:
    """Clients that know where each key is."""
    rows = []
    for command, text in (("set", "SET W=2"), ("get", "GET R=1")):
        for pipeline in (1, 16):
            load = Load(command, pipeline, KEYS, benchmark="cluster")
            rows.append(Row(f"{text}, by redis-benchmark --cluster", THREE, load, SHARDED))
    return rows


GROUPS = [
    Group("One node", "ringkv: one node. Peer: redis-server.", one_node()),
    Group(
        "Three nodes beside one redis-server",
        "ringkv: three nodes, N=3 W=2 R=1. Peer: redis-server with one copy. CPU: of all processes.",
        three_nodes(),
    ),
    Group(
        "Through a node without a copy",
        "ringkv: five nodes, and keys of which the asked node has no copy (MGET: all keys). Peer: redis-server with one copy. "
        "CPU: of all processes.",
        through_another(),
    ),
    Group(
        "Quorum reads",
        "No Redis does this. Quoted: a figure of the same kind of machine that was not measured in this run, so its ratio is a "
        "rough one, and no throughput is compared.",
        quorum_reads(),
    ),
    Group(
        "Three copies on both sides",
        "ringkv: three nodes, N=3 W=2. Peer: redis-server with two replicas, CPU of all three processes. WAIT is not counted as "
        "an operation; ringkv's SET waits for a second copy anyway.",
        beside_replicas(),
    ),
    Group(
        "Clients that know the slots",
        "ringkv: three nodes, N=3 W=2 R=1. Peer: a Redis Cluster of three primaries with one copy of each key. "
        "redis-benchmark --cluster asks the primary of each key on both sides.",
        beside_cluster(),
    ),
]
