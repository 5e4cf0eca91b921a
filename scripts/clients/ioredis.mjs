// What scripts/clients.sh tries with ioredis: the plain client and Cluster. Arguments: see checks.mjs. The last check kills
// the victim, a node of the running cluster of three, while clients are connected to it.

import { createRequire } from "node:module";
import Redis from "ioredis";
import { EVERY_BYTE, HOST, INCREMENTS, LARGE, PIPELINE, POOL, expect, expectCounted, goOn, options, play, range, refusal } from "./checks.mjs";

const { ports, victimPort, victimPid } = options();
const { version } = createRequire(import.meta.url)("ioredis/package.json");

// Without somebody who listens, ioredis prints each lost connection.
const quiet = (client) => client.on("error", () => {});
const plain = (port, more = {}) => quiet(new Redis({ host: HOST, port, ...more }));
const cluster = (known = ports, more = {}) => quiet(new Redis.Cluster(known.map((port) => ({ host: HOST, port })), more));
const clients = ports.map((port) => plain(port));
const [first, , last] = clients;

async function checkValues() {
  const key = Buffer.concat([Buffer.from("io:"), EVERY_BYTE]);
  expect("SET", "OK", await first.set(key, EVERY_BYTE, "EX", 1000));
  expect("a binary value", EVERY_BYTE, await last.getBuffer(key));
  const ttl = await last.ttl(key);
  expect("TTL", true, ttl > 990 && ttl <= 1000);
  await first.set("io:large", LARGE);
  expect("10 MB", LARGE, await last.getBuffer("io:large"));
  expect("DEL", 1, await last.del("io:large"));
  expect("SET NX of a key that is there", null, await last.set(key, "x", "NX"));
  expect("GETEX", EVERY_BYTE, await first.getexBuffer(key, "PERSIST"));
  expect("TTL after PERSIST", -1, await last.ttl(key));
}

async function checkPool() {
  const pool = range(POOL).map((number) => plain(ports[number % ports.length]));
  await Promise.all(pool.map((client, number) => client.set(`io:pool:${number}`, number)));
  const got = await Promise.all(pool.map((client, number) => client.get(`io:pool:${number}`)));
  expect("50 connections", range(POOL).map(String), got);
  await first.del("io:counter");
  const numbers = await Promise.all(pool.flatMap((client) => range(INCREMENTS).map(() => client.incr("io:counter"))));
  expectCounted("each number once", numbers);
  pool.forEach((client) => client.disconnect());
}

async function checkPipeline() {
  const pipeline = first.pipeline();
  for (const number of range(PIPELINE / 2)) pipeline.set(`io:pipe:${number % 100}`, number).get(`io:pipe:${number % 100}`);
  const replies = await pipeline.exec();
  expect("errors in a pipeline", [], replies.filter(([error]) => error).map(([error]) => error.message));
  expect("GETs of a pipeline", range(PIPELINE / 2).map(String), replies.filter((_, at) => at % 2).map(([, value]) => value));
}

async function checkScan() {
  await first.mset(Object.fromEntries(range(500).map((number) => [`io:scan:${number}`, number])));
  const keys = [];
  for await (const page of first.scanStream({ match: "io:scan:*", count: 50 })) keys.push(...page);
  expect("keys of a SCAN", range(500).map((number) => `io:scan:${number}`).sort(), keys.sort());
}

// ioredis speaks RESP2; a reply to HELLO 3 would be a map that it does not read.
async function checkRefusals() {
  expect("MULTI", true, (await refusal(() => first.multi({ pipeline: false }))).includes("unknown command 'multi'"));
  expect("EXEC", true, (await refusal(() => first.call("EXEC"))).includes("unknown command 'EXEC'"));
  expect("PUBLISH", true, (await refusal(() => first.publish("channel", "x"))).includes("unknown command 'publish'"));
  expect("LPUSH", true, (await refusal(() => first.lpush("list", "x"))).includes("unknown command 'lpush'"));
  const subscriber = plain(ports[0]);
  expect("SUBSCRIBE", true, (await refusal(() => subscriber.subscribe("channel"))).includes("unknown command 'subscribe'"));
  subscriber.disconnect();
  expect("the connection afterwards", "PONG", await first.ping());
}

async function checkCluster() {
  const client = cluster(ports.slice(0, 1));
  await Promise.all(range(1000).map((number) => client.set(`ioc:${number}`, number)));
  expect("1000 keys", range(1000).map(String), await Promise.all(range(1000).map((number) => client.get(`ioc:${number}`))));
  expect("nodes that are learnt", [...ports].sort(), client.nodes("all").map((node) => node.options.port).sort());
  await client.set("ioc:large", LARGE, "PX", 1_000_000);
  expect("10 MB", LARGE, await client.getBuffer("ioc:large"));
  await client.del("ioc:large");
  await client.mset("ioc:{tag}:a", 1, "ioc:{tag}:b", 2);
  expect("MGET of one slot", ["1", "2"], await client.mget("ioc:{tag}:a", "ioc:{tag}:b"));
  await client.del("ioc:counter");
  expectCounted("each number once", await Promise.all(range(500).map(() => client.incr("ioc:counter"))));
  const pipeline = client.pipeline();
  for (const number of range(PIPELINE)) pipeline.set(`ioc:{pipe}:${number}`, number);
  expect("a pipeline of one slot", 0, (await pipeline.exec()).filter(([error, reply]) => error || reply !== "OK").length);
  client.disconnect();
}

async function checkDeath() {
  const bound = plain(victimPort, { maxRetriesPerRequest: 1, retryStrategy: () => 10 });
  const elsewhere = clients[ports.findIndex((port) => port !== victimPort)];
  const clustered = cluster(ports);
  await Promise.all(range(300).map((number) => clustered.set(`io:death:${number}`, number)));
  await bound.set("io:death:bound", "before");

  process.kill(victimPid, "SIGKILL");

  expect("a dead node answers", true, (await refusal(() => bound.get("io:death:bound"))) !== "no error");
  expect("the plain client at another node", "before", await elsewhere.get("io:death:bound"));
  expect("a write there", "OK", await elsewhere.set("io:death:bound", "after"));
  for (const number of range(300)) await goOn("Cluster", () => clustered.set(`io:death:${number}`, "after"));
  const got = await Promise.all(range(300).map((number) => goOn("Cluster", () => clustered.get(`io:death:${number}`))));
  expect("what Cluster wrote after the death", Array(300).fill("after"), got);
  bound.disconnect();
  clustered.disconnect();
}

await play(`ioredis ${version}`, {
  connect: async () => expect("PING", ports.map(() => "PONG"), await Promise.all(clients.map((client) => client.ping()))),
  values: checkValues,
  "pool and counting": checkPool,
  pipeline: checkPipeline,
  scan: checkScan,
  refusals: checkRefusals,
  cluster: checkCluster,
  "a node dies": checkDeath,
});
