// What the suites of the Node.js clients share: comparing, counting, and the node that dies.

export const HOST = "127.0.0.1";
export const POOL = 50;
export const PIPELINE = 10_000;
export const INCREMENTS = 20;
export const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
export const LARGE = Buffer.concat(Array(10 * 4096).fill(EVERY_BYTE));
// A check that hangs ends here.
const CHECK_MS_MAX = 120_000;
// How long clients may take to notice that a node is gone, and to go on without it.
const RECOVERY_MS_MAX = 60_000;

/** The command line: `--ports 1,2,3 --victim-port 2 --victim-pid 9`. */
export function options() {
  const named = (name) => process.argv[process.argv.indexOf(name) + 1];
  const ports = named("--ports").split(",").map(Number);
  return { ports, victimPort: Number(named("--victim-port")), victimPid: Number(named("--victim-pid")) };
}

const shorten = (value) => {
  const text = Buffer.isBuffer(value) ? `${value.length} bytes` : (JSON.stringify(value) ?? String(value));
  return text.length <= 200 ? text : `${text.slice(0, 200)}... (${text.length} characters)`;
};

const equal = (one, other) =>
  Buffer.isBuffer(one) ? Buffer.isBuffer(other) && one.equals(other) : JSON.stringify(one) === JSON.stringify(other);

/** Compares, and says all three when they differ. */
export function expect(what, expected, got) {
  if (!equal(expected, got)) throw new Error(`${what}: expected ${shorten(expected)}, got ${shorten(got)}`);
}

export const range = (count) => Array.from({ length: count }, (_, number) => number);

/** All numbers from 1 on, each once, in whatever order. */
export function expectCounted(what, numbers) {
  expect(what, range(numbers.length).map((number) => number + 1), [...numbers].sort((one, other) => one - other));
}

/** The text of the error in which `action` must end. */
export async function refusal(action) {
  try {
    await action();
  } catch (error) {
    return String(error.message ?? error);
  }
  return "no error";
}

/** Repeats `action` until it succeeds, as an application would. */
export async function goOn(what, action) {
  const deadline = Date.now() + RECOVERY_MS_MAX;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (Date.now() > deadline) throw new Error(`${what} does not go on: ${error}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const outOfTime = () =>
  new Promise((_, reject) => setTimeout(() => reject(new Error(`not over after ${CHECK_MS_MAX} ms`)), CHECK_MS_MAX).unref());

/** Plays all checks in order, prints those that fail and the count, and ends the process. */
export async function play(library, checks) {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await Promise.race([check(), outOfTime()]);
    } catch (error) {
      failed += 1;
      console.log(`FAILED: ${name}\n${error.stack ?? error}`);
    }
  }
  console.log(`${library}: ${Object.keys(checks).length - failed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}
