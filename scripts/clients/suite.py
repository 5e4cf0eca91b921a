"""What scripts/clients.sh tries with redis-py: the plain, the asyncio and the cluster clients.

    suite.py --ports PORT... --victim-port PORT --victim-pid PID

The last check kills the victim, a node of the running cluster of three, with SIGKILL while clients are connected to it:
plain clients go on at another node, cluster clients by themselves. Prints each check that fails and a count; exits 1 if any did.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import redis
import redis.asyncio
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

HOST = "127.0.0.1"
REPLY_SECONDS_MAX = 20
# How long clients may take to notice that a node is gone, and to go on without it.
RECOVERY_SECONDS_MAX = 60
POOL = 50
PIPELINE = 10_000
INCREMENTS = 20
EVERY_BYTE = bytes(range(256))
LARGE = EVERY_BYTE * (10 * 1024 * 1024 // 256)
# Cluster clients spread keys over the nodes; a hash tag keeps these two together.
TAGGED = ("py:{tag}:a", "py:{tag}:b")


def expect(what, expected, got):
    """Compares, and says all three when they differ."""
    if got != expected:
        raise AssertionError(f"{what}: expected {shorten(expected)}, got {shorten(got)}")


def shorten(value):
    """A value as one readable line."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"


def plain(port, **options):
    """The ordinary client."""
    return redis.Redis(HOST, port, socket_timeout=REPLY_SECONDS_MAX, **options)


def plain_async(port, **options):
    """The same for asyncio."""
    return redis.asyncio.Redis(host=HOST, port=port, socket_timeout=REPLY_SECONDS_MAX, **options)


def cluster(ports, **options):
    """The cluster client, told of these nodes."""
    nodes = [ClusterNode(HOST, port) for port in ports]
    return RedisCluster(startup_nodes=nodes, socket_timeout=REPLY_SECONDS_MAX, **options)


def cluster_async(ports, **options):
    """The same for asyncio."""
    nodes = [redis.asyncio.cluster.ClusterNode(HOST, port) for port in ports]
    return redis.asyncio.RedisCluster(startup_nodes=nodes, socket_timeout=REPLY_SECONDS_MAX, **options)


def attempt(action):
    """What a command came to: its error's text, or its reply."""
    try:
        return action()
    except redis.ResponseError as error:
        return str(error)


# ---- plain clients ----


def check_values(clients):
    """Bytes, large values and times to live, written at one node and read at the others."""
    first, last = clients[0], clients[-1]
    key = b"py:" + EVERY_BYTE
    first.set(key, EVERY_BYTE, ex=1000)
    expect("a binary value", EVERY_BYTE, last.get(key))
    expect("TTL", True, 990 <= last.ttl(key) <= 1000)
    first.set("py:large", LARGE)
    expect("10 MB", True, last.get("py:large") == LARGE)
    expect("DEL", 1, last.delete("py:large"))
    expect("SET NX of a key that is there", None, last.set(key, "x", nx=True))
    expect("GETEX", EVERY_BYTE, first.getex(key, persist=True))
    expect("TTL after PERSIST", -1, last.ttl(key))


def check_pool(ports):
    """Fifty connections at once, shared by fifty threads."""
    client = plain(ports[0], max_connections=POOL)

    def work(number):
        client.set(f"py:pool:{number}", number)
        return client.get(f"py:pool:{number}")

    with ThreadPoolExecutor(POOL) as threads:
        expect("a pool of 50", [str(number).encode() for number in range(500)], list(threads.map(work, range(500))))
    client.close()


def check_pipeline(client):
    """Ten thousand commands in one go, answered in order."""
    pipe = client.pipeline(transaction=False)
    for number in range(PIPELINE // 2):
        pipe.set(f"py:pipe:{number % 100}", number)
        pipe.get(f"py:pipe:{number % 100}")
    replies = pipe.execute()
    expect("replies of a pipeline", PIPELINE, len(replies))
    expect("GETs of a pipeline", [str(number).encode() for number in range(PIPELINE // 2)], replies[1::2])


def check_counting(ports):
    """Fifty connections at all nodes count together, and nothing is lost."""
    key = "py:counter"
    plain(ports[0]).delete(key)

    def count(number):
        client = plain(ports[number % len(ports)])
        seen = [client.incr(key) for _ in range(INCREMENTS)]
        client.close()
        return seen

    with ThreadPoolExecutor(POOL) as threads:
        seen = [number for numbers in threads.map(count, range(POOL)) for number in numbers]
    expect("each number once", list(range(1, POOL * INCREMENTS + 1)), sorted(seen))


def check_scan(client):
    """The library's own loop over SCAN finds each key once."""
    client.mset({f"py:scan:{number}": number for number in range(500)})
    keys = list(client.scan_iter(match="py:scan:*", count=50))
    expect("keys of a SCAN", sorted(f"py:scan:{number}".encode() for number in range(500)), sorted(keys))


def check_resp3(ports):
    """protocol=3 and protocol=2 read the same."""
    three, two = plain(ports[0], protocol=3), plain(ports[-1], protocol=2)
    three.set("py:resp3", "three")
    expect("RESP2 reads what RESP3 wrote", b"three", two.get("py:resp3"))
    expect("nil and a value in RESP3", [None, b"three"], three.mget("py:none", "py:resp3"))
    expect("a map in RESP3", {"appendonly": "no"}, decoded(three.config_get("appendonly")))


def decoded(mapping):
    """Names and values as text, whatever this version of the library makes of them."""
    text = lambda value: value.decode() if isinstance(value, bytes) else value  # noqa: E731
    return {text(name): text(value) for name, value in mapping.items()}


def check_refusals(client):
    """What is not offered is refused in words, and the connection stays."""
    said = attempt(lambda: client.pipeline(transaction=True).set("py:x", 1).execute())
    # The library has sent all of it when it reads the answers, the last of which it shows.
    expect("MULTI and EXEC", True, "unknown command 'EXEC'" in str(said))
    said = attempt(lambda: client.execute_command("PUBLISH", "channel", "message"))
    expect("PUBLISH", True, "unknown command 'PUBLISH'" in str(said))
    said = attempt(lambda: client.execute_command("SUBSCRIBE", "channel"))
    expect("SUBSCRIBE", True, "unknown command 'SUBSCRIBE'" in str(said))
    said = attempt(lambda: client.lpush("py:list", 1))
    expect("LPUSH", True, "unknown command 'LPUSH'" in str(said))
    expect("the connection afterwards", True, client.ping())


async def check_asyncio(ports):
    """All of that without threads."""
    first, last = plain_async(ports[0], max_connections=POOL), plain_async(ports[-1], protocol=3)
    await asyncio.gather(*(first.set(f"pya:{number}", number) for number in range(POOL)))
    got = await asyncio.gather(*(first.get(f"pya:{number}") for number in range(POOL)))
    expect("a pool of 50 in asyncio", [str(number).encode() for number in range(POOL)], got)
    await first.set(b"pya:" + EVERY_BYTE, LARGE, px=1_000_000)
    expect("10 MB in asyncio", True, await last.get(b"pya:" + EVERY_BYTE) == LARGE)
    expect("PTTL in asyncio", True, 900_000 < await last.pttl(b"pya:" + EVERY_BYTE) <= 1_000_000)
    await last.delete(b"pya:" + EVERY_BYTE)
    pipe = first.pipeline(transaction=False)
    for number in range(PIPELINE):
        pipe.set(f"pya:pipe:{number}", number)
    expect("a pipeline in asyncio", [True] * PIPELINE, await pipe.execute())
    await first.delete("pya:counter")
    clients = [plain_async(ports[number % len(ports)]) for number in range(POOL)]
    rounds = [client.incr("pya:counter") for client in clients for _ in range(INCREMENTS)]
    expect("each number once in asyncio", list(range(1, POOL * INCREMENTS + 1)), sorted(await asyncio.gather(*rounds)))
    for client in (first, last, *clients):
        await client.aclose()


# ---- cluster clients ----


def check_cluster(ports):
    """RedisCluster, in both protocols."""
    for protocol in (2, 3):
        client = cluster(ports[:1], protocol=protocol)
        expect("nodes that are learnt", sorted(ports), sorted(node.port for node in client.get_nodes()))
        check_pipeline_of_cluster(client)
        client.set("py:cluster:" + "x" * 100, LARGE, ex=1000)
        expect("10 MB", True, client.get("py:cluster:" + "x" * 100) == LARGE)
        client.delete("py:cluster:" + "x" * 100)
        client.mset(dict.fromkeys(TAGGED, "v"))
        expect("MGET of one slot", [b"v", b"v"], client.mget(TAGGED))
        client.delete("py:cluster:counter")
        with ThreadPoolExecutor(POOL) as threads:
            numbers = list(threads.map(lambda _: client.incr("py:cluster:counter"), range(500)))
        expect("each number once", list(range(1, 501)), sorted(numbers))
        client.close()


def check_pipeline_of_cluster(client):
    """A pipeline that is split among the nodes."""
    pipe = client.pipeline()
    for number in range(PIPELINE):
        pipe.set(f"py:cluster:{number}", number)
    expect("a pipeline of RedisCluster", [True] * PIPELINE, pipe.execute())
    expect("a key of it", b"9999", client.get("py:cluster:9999"))


async def check_cluster_asyncio(ports):
    """RedisCluster of asyncio."""
    client = cluster_async(ports[-1:])
    await asyncio.gather(*(client.set(f"pyca:{number}", number) for number in range(50)))
    got = await asyncio.gather(*(client.get(f"pyca:{number}") for number in range(50)))
    expect("50 keys at once", [str(number).encode() for number in range(50)], got)
    expect("nodes that are learnt", sorted(ports), sorted(node.port for node in client.get_nodes()))
    await client.aclose()


# ---- a node dies ----


def go_on(what, action, key):
    """Repeats a write until it is taken, and reads it back; how often it failed."""
    deadline, failures = time.monotonic() + RECOVERY_SECONDS_MAX, 0
    while True:
        try:
            action(key)
            return failures
        except (redis.RedisError, OSError) as error:
            failures += 1
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} does not go on: {error!r}") from error
            time.sleep(0.05)


def check_death(ports, victim_port, victim_pid):
    """The victim dies while all of these are connected to it."""
    others = [port for port in ports if port != victim_port]
    bound = plain(victim_port, retry=Retry(ConstantBackoff(0.01), 0))
    elsewhere = plain(others[0])
    clustered = cluster(ports)
    for number in range(300):
        clustered.set(f"py:death:{number}", number)
    bound.set("py:death:bound", "before")

    os.kill(victim_pid, signal.SIGKILL)

    try:
        bound.get("py:death:bound")
        raise AssertionError("a dead node answered")
    except redis.ConnectionError:
        pass
    expect("the plain client at another node", b"before", elsewhere.get("py:death:bound"))
    expect("a write there", True, elsewhere.set("py:death:bound", "after"))
    for number in range(300):
        go_on("RedisCluster", lambda key: clustered.set(key, "after"), f"py:death:{number}")
    got = [clustered.get(f"py:death:{number}") for number in range(300)]
    expect("what RedisCluster wrote after the death", [b"after"] * 300, got)
    asyncio.run(go_on_in_asyncio(ports))
    clustered.close()


async def go_on_in_asyncio(ports):
    """The asyncio cluster client is told of all three, one of which is dead."""
    client = cluster_async(ports)
    for number in range(100):
        await client.set(f"pyca:death:{number}", number)
    expect("asyncio RedisCluster after the death", b"99", await client.get("pyca:death:99"))
    await client.aclose()


def main():
    """Reads the command line, plays everything, counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ports", type=int, nargs="+", required=True)
    parser.add_argument("--victim-port", type=int, required=True)
    parser.add_argument("--victim-pid", type=int, required=True)
    arguments = parser.parse_args()
    ports = arguments.ports
    clients = [plain(port) for port in ports]
    checks = {
        "connect": lambda: [expect("PING", True, client.ping()) for client in clients],
        "values": lambda: check_values(clients),
        "pool": lambda: check_pool(ports),
        "pipeline": lambda: check_pipeline(clients[0]),
        "counting": lambda: check_counting(ports),
        "scan": lambda: check_scan(clients[1]),
        "RESP3": lambda: check_resp3(ports),
        "refusals": lambda: check_refusals(clients[0]),
        "asyncio": lambda: asyncio.run(check_asyncio(ports)),
        "RedisCluster": lambda: check_cluster(ports),
        "asyncio RedisCluster": lambda: asyncio.run(check_cluster_asyncio(ports)),
        "a node dies": lambda: check_death(ports, arguments.victim_port, arguments.victim_pid),
    }
    failed = 0
    for name, check in checks.items():
        try:
            check()
        except Exception:  # noqa: BLE001: whatever a client raises is a failed check
            failed += 1
            print(f"FAILED: {name}\n{traceback.format_exc()}")
    print(f"redis-py {redis.__version__}: {len(checks) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
