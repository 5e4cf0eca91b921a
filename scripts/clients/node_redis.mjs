// What scripts/clients.sh tries with node-redis: the plain client in RESP2 and RESP3, and the cluster client. Arguments: see
// checks.mjs. The last check kills the victim, a node of the running cluster of three, while clients are connected to it.

import { createRequire } from "node:module";
import { RESP_TYPES, createClient, createCluster } from "redis";
import { EVERY_BYTE, HOST, INCREMENTS, LARGE, PIPELINE, POOL, expect, expectCounted, goOn, options, play, range, refusal } from "./checks.mjs";

const { ports, victimPort, victimPid } = options();
const { version } = createRequire(import.meta.url)("redis/package.json");

const url = (port) => `redis://${HOST}:${port}`;
// Without somebody who listens, an error of the connection ends the process.
const connected = (client) => client.on("error", () => {}).connect();
const plain = (port, more = {}) => connected(createClient({ url: url(port), ...more }));
const cluster = (known = ports, more = {}) => connected(createCluster({ rootNodes: known.map((port) => ({ url: url(port) })), ...more }));
const clients = await Promise.all(ports.map((port) => plain(port)));
const [first, , last] = clients;
const bytes = (client) => client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });

async function checkValues(one, other) {
  const key = Buffer.concat([Buffer.from("nr:"), EVERY_BYTE]);
  expect("SET", "OK", await one.set(key, EVERY_BYTE, { expiration: { type: "EX", value: 1000 } }));
  expect("a binary value", EVERY_BYTE, await bytes(other).get(key));
  const ttl = await other.ttl(key);
  expect("TTL", true, ttl > 990 && ttl <= 1000);
  await one.set("nr:large", LARGE);
  expect("10 MB", LARGE, await bytes(other).get("nr:large"));
  expect("DEL", 1, await other.del("nr:large"));
  expect("SET NX of a key that is there", null, await other.set(key, "x", { condition: "NX" }));
  expect("GETEX", EVERY_BYTE, await bytes(one).getEx(key, { type: "PERSIST" }));
  expect("TTL after PERSIST", -1, await other.ttl(key));
}

async function checkPool() {
  const pool = await Promise.all(range(POOL).map((number) => plain(ports[number % ports.length])));
  await Promise.all(pool.map((client, number) => client.set(`nr:pool:${number}`, String(number))));
  const got = await Promise.all(pool.map((client, number) => client.get(`nr:pool:${number}`)));
  expect("50 connections", range(POOL).map(String), got);
  await first.del("nr:counter");
  const numbers = await Promise.all(pool.flatMap((client) => range(INCREMENTS).map(() => client.incr("nr:counter"))));
  expectCounted("each number once", numbers);
  pool.forEach((client) => client.destroy());
}

// What is asked within one tick leaves as one pipeline.
async function checkPipeline() {
  const replies = await Promise.all(
    range(PIPELINE / 2).flatMap((number) => [
      first.set(`nr:pipe:${number % 100}`, String(number)),
      first.get(`nr:pipe:${number % 100}`),
    ]),
  );
  expect("GETs of a pipeline", range(PIPELINE / 2).map(String), replies.filter((_, at) => at % 2));
}

async function checkScan() {
  await first.mSet(range(500).map((number) => [`nr:scan:${number}`, String(number)]));
  const keys = [];
  for await (const page of first.scanIterator({ MATCH: "nr:scan:*", COUNT: 50 })) keys.push(...page);
  expect("keys of a SCAN", range(500).map((number) => `nr:scan:${number}`).sort(), keys.sort());
}

async function checkResp3() {
  const three = await plain(ports[0], { RESP: 3 });
  await checkValues(three, last);
  expect("nil and a value", [null, "x"], (await three.set("nr:resp3", "x")) && (await three.mGet(["nr:none", "nr:resp3"])));
  expect("a map", "no", (await three.configGet("appendonly")).appendonly);
  three.destroy();
}

async function checkRefusals() {
  const refused = async (command, action) => {
    const said = await refusal(action);
    if (!said.includes(`unknown command '${command}'`)) throw new Error(`${command}: ${said}`);
  };
  await refused("MULTI", () => first.sendCommand(["MULTI"]));
  await refused("PUBLISH", () => first.publish("channel", "x"));
  await refused("LPUSH", () => first.lPush("list", "x"));
  await refused("SUBSCRIBE", () => first.sendCommand(["SUBSCRIBE", "channel"]));
  expect("the connection afterwards", "PONG", await first.ping());
}

async function checkCluster() {
  for (const RESP of [2, 3]) {
    const client = await cluster(ports.slice(0, 1), { RESP });
    await Promise.all(range(1000).map((number) => client.set(`nrc:${number}`, String(number))));
    expect("1000 keys", range(1000).map(String), await Promise.all(range(1000).map((number) => client.get(`nrc:${number}`))));
    expect("masters that are learnt", [...ports].sort(), client.masters.map((node) => node.port).sort());
    await client.set("nrc:large", LARGE, { expiration: { type: "PX", value: 1_000_000 } });
    expect("10 MB", LARGE, await bytes(client).get("nrc:large"));
    await client.del("nrc:large");
    expect("MSET of one slot", "OK", await client.mSet({ "nrc:{tag}:a": "1", "nrc:{tag}:b": "2" }));
    expect("MGET of one slot", ["1", "2"], await client.mGet(["nrc:{tag}:a", "nrc:{tag}:b"]));
    await client.del("nrc:counter");
    expectCounted("each number once", await Promise.all(range(500).map(() => client.incr("nrc:counter"))));
    client.destroy();
  }
}

async function checkDeath() {
  const bound = await plain(victimPort, { disableOfflineQueue: true });
  const elsewhere = clients[ports.findIndex((port) => port !== victimPort)];
  // Its own default is to look for the other nodes after five seconds.
  const soon = { topologyRefreshOnReconnectionAttemptStrategy: 100 };
  const clustered = await cluster(ports, { defaults: { disableOfflineQueue: true }, ...soon });
  await Promise.all(range(300).map((number) => clustered.set(`nr:death:${number}`, String(number))));
  await bound.set("nr:death:bound", "before");

  process.kill(victimPid, "SIGKILL");

  expect("a dead node answers", true, (await refusal(() => bound.get("nr:death:bound"))) !== "no error");
  expect("the plain client at another node", "before", await elsewhere.get("nr:death:bound"));
  expect("a write there", "OK", await elsewhere.set("nr:death:bound", "after"));
  for (const number of range(300)) await goOn("the cluster client", () => clustered.set(`nr:death:${number}`, "after"));
  const got = await Promise.all(range(300).map((number) => goOn("it", () => clustered.get(`nr:death:${number}`))));
  expect("what the cluster client wrote after the death", Array(300).fill("after"), got);
  bound.destroy();
  clustered.destroy();
}

await play(`node-redis ${version}`, {
  connect: async () => expect("PING", ports.map(() => "PONG"), await Promise.all(clients.map((client) => client.ping()))),
  values: () => checkValues(first, last),
  "pool and counting": checkPool,
  pipeline: checkPipeline,
  scan: checkScan,
  RESP3: checkResp3,
  refusals: checkRefusals,
  cluster: checkCluster,
  "a node dies": checkDeath,
});
