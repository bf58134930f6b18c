import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runEpisode, tabularPolicy } from "../../../src/index.ts";
import { type Holder, holderOf, PlaceLock } from "../../../src/trainer/apart/place-lock.ts";
import { SampleStore } from "../../../src/trainer/apart/sample-store.ts";
import { waitFor } from "../../../src/trainer/apart/waiting.ts";
import type { CreditedCall } from "../../../src/trainer/credit-groups.ts";
import { toyTasks, toyTeam, words } from "../toy-team.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "troupe-store-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const beat = 0.03;

/** Leaves a lock as a process would that beats no more. */
async function left(place: string, holder: Partial<Holder>): Promise<void> {
  await mkdir(place, { recursive: true });
  const whole = { host: "elsewhere", pid: 1, token: "other", beats: 3, doing: "works", ...holder };
  writeFileSync(join(place, "lock.json"), JSON.stringify(whole));
}

test("a lock beats, says what is done, and is gone when it is released", async () => {
  const place = join(root, "beats");
  const lock = await PlaceLock.take(place, beat);
  lock.doing("sings");
  await expect.poll(async () => (await holderOf(place))?.beats, { interval: 5 }).toBeGreaterThan(1);
  expect(await holderOf(place)).toMatchObject({ pid: process.pid, host: hostname(), doing: "sings" });
  await lock.check();
  await lock.release();
  expect(readdirSync(place)).toEqual([]);
});

test("the lock of a process that is gone is taken at once; that of one elsewhere when it has long been silent", async () => {
  const here = join(root, "gone");
  // No process has this number: Linux's are smaller.
  await left(here, { host: hostname(), pid: 2 ** 30 });
  const began = performance.now();
  await (await PlaceLock.take(here, 10)).release();
  expect(performance.now() - began).toBeLessThan(5000);

  const there = join(root, "silent");
  await left(there, {});
  await (await PlaceLock.take(there, beat)).release();

  const empty = join(root, "empty");
  await mkdir(empty);
  // Killed between making the file and filling it.
  writeFileSync(join(empty, "lock.json"), "");
  await (await PlaceLock.take(empty, beat)).release();
});

test("one that still beats elsewhere is respected", async () => {
  const place = join(root, "alive");
  await left(place, { beats: 3, doing: "updates on step 2" });
  const taking = PlaceLock.take(place, beat);
  await sleep(beat * 2500);
  await left(place, { beats: 4, doing: "updates on step 2" });
  await expect(taking).rejects.toThrow(
    /Process 1 on elsewhere is at work in .*alive \(it updates on step 2\)/,
  );
});

test("who was taken for dead notices, and does not take the place back", async () => {
  const place = join(root, "lost");
  const lock = await PlaceLock.take(place, beat);
  await left(place, { beats: 0 });
  await expect(lock.check()).rejects.toMatchObject({ code: "E_APART_LOST" });
  await sleep(beat * 3000);
  await expect(lock.check()).rejects.toThrow(/process 1 on elsewhere has taken it/);
  await lock.release();
  expect(await holderOf(place)).toMatchObject({ token: "other" });
});

/** Calls of a real episode, with all that a credited call may have. */
async function calls(): Promise<readonly CreditedCall[]> {
  const policy = await tabularPolicy({ words }).open({ name: "first", seed: 0 });
  const trajectory = await runEpisode({
    workflow: toyTeam,
    task: toyTasks[0]!,
    policies: new Map([["first", policy]]),
    assignment: new Map([
      ["planner", "first"],
      ["answerer", "first"],
    ]),
    stage: "train",
    identity: { purpose: "train", step: 1, group: 0, task: 0, sample: 0 },
    seed: 1,
  });
  const [one, two] = trajectory.calls;
  const rewarded = { agent: "planner", reward: 0.1 + 0.2 } as unknown as NonNullable<
    CreditedCall["told"]
  >["rewarded"];
  return [
    { trajectory, call: one!, advantage: 1 / 3, link: "a", told: { task: "t", dataset: "", rewarded } },
    { trajectory, call: two!, advantage: -0, recalled: true, given: "with log-probs", carried: true },
  ];
}

/** Lines round times. */
const untimed = (call: CreditedCall["call"]) => ({ ...call, seconds: 0, startedAt: 0 });

test("calls come back as they were, to the bit, and alone", async () => {
  const store = new SampleStore(join(root, "calls"));
  const own = await calls();
  await store.publish(
    { step: 1, versions: { first: 0, second: 4 }, method: { mean: 0.5 } },
    new Map([
      ["first", own],
      ["second", []],
    ]),
  );
  expect(await store.step(1)).toMatchObject({ step: 1, versions: { second: 4 }, method: { mean: 0.5 } });
  expect(await store.calls(1, "second")).toEqual([]);
  const read = await store.calls(1, "first");
  expect(read).toHaveLength(2);
  for (const [i, { trajectory, call, advantage, ...rest }] of read.entries()) {
    const { trajectory: whole, call: before, advantage: given, ...others } = own[i]!;
    expect(untimed(call)).toEqual(untimed(before));
    expect(call.logprobs).toBeInstanceOf(Float32Array);
    expect(advantage).toBe(given === 0 ? 0 : given);
    expect(rest).toEqual(others);
    expect(trajectory.id).toBe(whole.id);
    expect(trajectory.calls).toEqual([call]);
  }
});

test("a step is published once: the same again changes nothing, and another is refused", async () => {
  const store = new SampleStore(join(root, "again"));
  const own = await calls();
  const facts = { step: 1, versions: { first: 0 } };
  await store.publish(facts, new Map([["first", own]]));
  const file = join(root, "again", "steps", "step-000001", "first.calls");
  const before = readFileSync(file);
  await store.publish(facts, new Map([["first", own]]));
  expect(readFileSync(file)).toEqual(before);
  const other = own.map((call, i) => (i === 0 ? { ...call, advantage: 0.3 } : call));
  await expect(store.publish(facts, new Map([["first", other]]))).rejects.toMatchObject({
    code: "E_APART_DIFFERS",
  });
  await expect(store.publish(facts, new Map([["first", own.slice(1)]]))).rejects.toThrow(/policy "first"/);
});

test("what is torn is not seen, and a failed write leaves nothing", async () => {
  const store = new SampleStore(join(root, "torn"));
  await mkdir(join(root, "torn", "steps", "step-000001.77.partial"), { recursive: true });
  expect(await store.step(1)).toBeUndefined();
  const facts = { step: 2, version: 2, update: null };
  await expect(
    store.publishWeights("first", facts, () => Promise.reject(new Error("disk"))),
  ).rejects.toMatchObject({ code: "E_STORE_WRITE" });
  expect(await store.weightSteps("first")).toEqual([]);
  expect(readdirSync(store.placeOf("first"))).toEqual([]);
});

test("prune keeps what a process may still need", async () => {
  const store = new SampleStore(join(root, "prune"));
  for (let step = 0; step <= 3; step++) {
    if (step > 0) await store.publish({ step, versions: { first: step } }, new Map([["first", []]]));
    await store.publishWeights("first", { step, version: step, update: null }, async (folder) => {
      await mkdir(folder);
      writeFileSync(join(folder, "weights"), String(step));
    });
  }
  await mkdir(join(root, "prune", "steps", "step-000001.5.partial"));
  await store.prune(2, ["first"]);
  // Who begins after step 2 needs the weights of step 2 and the samples of step 3.
  expect(readdirSync(join(root, "prune", "steps"))).toEqual(["step-000003"]);
  expect(await store.weightSteps("first")).toEqual([3, 2]);
  const weights = (await store.weights("first", 2))!;
  expect(readFileSync(join(await store.policyFolder("first", weights), "weights"), "utf8")).toBe("2");
  writeFileSync(join(store.placeOf("first"), "step-000002", "policy", "weights"), "9");
  await expect(store.policyFolder("first", weights)).rejects.toThrow(/policy\/weights has other contents/);
  expect(existsSync(join(root, "prune", "end.json"))).toBe(false);
});

test("a wait ends with what is found, with the signal, or in time; and speaks ever more rarely", async () => {
  const said: string[] = [];
  const stop = new AbortController();
  const patience = {
    timeout: 0.5,
    sayAfter: 0.05,
    signal: stop.signal,
    say: (text: string) => said.push(text),
  };
  let looks = 0;
  const found = await waitFor(
    async () => (++looks === 3 ? "it" : undefined),
    "w",
    async () => "",
    patience,
  );
  expect(found).toBe("it");
  expect(said).toEqual([]);
  await expect(
    waitFor(
      async () => undefined,
      "one waits",
      async () => "the other sleeps",
      patience,
    ),
  ).rejects.toMatchObject({ code: "E_APART_TIMEOUT" });
  expect(said.length).toBeGreaterThanOrEqual(1);
  expect(said.length).toBeLessThanOrEqual(4);
  expect(said[0]).toBe("one waits, for 0 s now: the other sleeps");
  const waiting = waitFor(
    async () => undefined,
    "w",
    async () => "",
    { ...patience, timeout: Infinity },
  );
  stop.abort();
  expect(await waiting).toBeUndefined();
});
