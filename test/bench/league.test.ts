/** @file The league's runs: tasks, starters, keys, and one tiny run of every entry. */

import { appendFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { corridor, corridors, wanted } from "../../bench/league/corridor.ts";
import { entries, entryNamed } from "../../bench/league/entries.ts";
import { halves, pairs } from "../../bench/league/halves.ts";
import { leagueSeeds, tuningSeeds } from "../../bench/league/league-task.ts";
import { plannedSteps, type RaceResult, race, raceKey } from "../../bench/league/race.ts";
import { addResult, isFailure, readResults } from "../../bench/league/results.ts";
import { starterTable } from "../../bench/league/starter-table.ts";
import { leagueTasks, taskNamed } from "../../bench/league/tasks.ts";
import { grpo } from "../../src/methods/grpo.ts";
import type { TabularPolicy } from "../../src/testing/index.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "league-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const order = (task: string, method: string, budget: number, seed = 101, rate = 0.15) => ({
  task,
  method,
  seed,
  rate,
  budget,
});

async function finished(task: string, method: string, budget: number): Promise<RaceResult> {
  const line = await race(order(task, method, budget), taskNamed(task), entryNamed(method), folder);
  if (isFailure(line)) throw new Error(`${method}: ${line.error}`);
  return line;
}

test("seeds that things were chosen on are not those of the league", () => {
  expect(tuningSeeds.filter((seed) => (leagueSeeds as readonly number[]).includes(seed))).toEqual([]);
  expect(leagueSeeds).toHaveLength(5);
});

test("tasks of the test are not among those of the training", () => {
  for (const [train, held] of [
    [corridors("train"), corridors("test")],
    [pairs("train"), pairs("test")],
  ] as const) {
    const seen = new Set(train.map((task) => JSON.stringify(task)));
    expect(seen.size).toBe(train.length);
    expect(held.length).toBeGreaterThan(0);
    expect(held.filter((task) => seen.has(JSON.stringify(task)))).toEqual([]);
  }
});

test("a corridor has eight different doors, and each of them wants one turn", () => {
  for (const { doors } of corridors("test")) {
    expect(new Set(doors).size).toBe(8);
    expect(doors.every((door) => wanted.has(door))).toBe(true);
  }
});

test("what is held out of the halves can be known from the rest: every x and y, and every answer of every y", () => {
  const held = pairs("test");
  const train = pairs("train");
  expect([held.length, train.length]).toEqual([16, 48]);
  expect(new Set(held.map(({ y, answer }) => `${y} ${answer}`)).size).toBe(16);
  expect(new Set(train.map(({ x }) => x)).size).toBe(16);
  // An x is of one kind: its answer less y is the same for every y.
  const kinds = new Map<string, Set<number>>();
  for (const { x, y, answer } of [...train, ...held]) {
    const kind = (Number(answer.slice(1)) - Number(y.slice(1)) + 4) % 4;
    kinds.set(x, (kinds.get(x) ?? new Set()).add(kind));
  }
  expect([...kinds.values()].every((found) => found.size === 1)).toBe(true);
});

test("a starter leans as it was told, and its values begin at 0", async () => {
  const spec = starterTable({
    words: ["ask", "yes", "no"],
    valueHead: true,
    leanings: (before, last) =>
      before === "ask" && last === "yes" ? { no: 0.75, yes: 0.2, "<end>": 0.05 } : undefined,
  });
  const policy = (await spec.open({ name: "table", seed: 0 })) as TabularPolicy;
  const [ask, yes, no] = policy.tokenizer.encode("ask yes no");
  const sequence = (...tokens: number[]) => ({
    tokens: Int32Array.from(tokens),
    mask: Uint8Array.from(tokens, (_, i) => (i === tokens.length - 1 ? 1 : 0)),
  });
  const batch = [sequence(ask!, yes!, no!), sequence(ask!, yes!, yes!), sequence(ask!, no!, no!)];
  const { logprobs, values } = await policy.forward(batch, { values: true });
  const shares = [...logprobs].map(Math.exp);
  expect(shares[0]).toBeCloseTo(0.75, 3);
  expect(shares[1]).toBeCloseTo(0.2, 3);
  expect(shares[2]).toBeCloseTo(1 / policy.tokenizer.vocabularySize, 5);
  expect([...values!]).toEqual([0, 0, 0]);
  expect(policy.version).toBe(0);
});

test("a run is the same again, ends with its budget, and leaves no folder behind", async () => {
  const first = await finished("corridor", "grpo", 3000);
  const second = await finished("corridor", "grpo", 3000);
  const { seconds: _, ...facts } = first;
  expect(second).toMatchObject(facts);
  // Steps of 64 episodes of 32 tokens, a little more where an output is cut: the second one reaches the budget.
  expect(first.steps).toBe(2);
  expect(first.episodes).toBe(128);
  expect(first.sampledTokens).toBeGreaterThanOrEqual(3000);
  expect(first.before).toBe(0.125);
  expect(first.curve[0]).toEqual([0, first.before]);
  expect(first.curve.at(-1)).toEqual([first.sampledTokens, first.after]);
  expect(await readdir(folder)).toEqual([]);
});

test("the halves are learned", async () => {
  const { after, rewards } = await finished("halves", "reinforce", 15_000);
  expect(after).toBeGreaterThan(0.4);
  expect(rewards[1]).toBeGreaterThan(rewards[0] + 0.1);
});

test("every entry runs", async () => {
  const names = entries.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names).toContain("reinforce");
  const keys = new Set<string>();
  for (const name of names) {
    const line = await finished("halves", name, 200);
    expect(line.sampledTokens).toBeGreaterThanOrEqual(200);
    keys.add(line.key);
  }
  expect(keys.size).toBe(names.length);
}, 20_000);

test("all methods are given the same number of episodes a step, about", () => {
  for (const task of leagueTasks) {
    for (const { method, episodesPerTask } of entries) {
      const perTask = episodesPerTask ?? method().groupSize;
      expect(Math.round(task.episodesPerStep / perTask) * perTask).toBe(task.episodesPerStep);
    }
  }
  expect(plannedSteps(corridor, corridor.budget)).toBe(14);
});

test("a key knows the settings of the method and of the task, and the order, and nothing else", () => {
  const asked = order("halves", "grpo", 200);
  const key = raceKey(asked, halves, grpo());
  expect(raceKey({ ...asked }, { ...halves, title: "else" }, grpo({ groupSize: 8 }))).toBe(key);
  expect(raceKey(asked, halves, grpo({ clipHigh: 0.28 }))).not.toBe(key);
  expect(raceKey({ ...asked, seed: 2 }, halves, grpo())).not.toBe(key);
  expect(raceKey(asked, { ...halves, minibatches: 1 }, grpo())).not.toBe(key);
  // Infinity is no JSON, and still a setting.
  const infinite = { ...grpo(), settings: { a: Number.POSITIVE_INFINITY } };
  expect(raceKey(asked, halves, infinite)).not.toBe(
    raceKey(asked, halves, { ...infinite, settings: { a: null } }),
  );
});

test("a run that fails says so, and is no result", async () => {
  const broken = {
    name: "broken",
    method: () => ({
      ...grpo(),
      loss: () => {
        throw new RangeError("no loss today");
      },
    }),
  };
  const line = await race(order("halves", "broken", 5000, 101, 0.2), halves, broken, folder);
  expect(isFailure(line)).toBe(true);
  expect(line).toMatchObject({ error: expect.stringContaining("no loss today") });
  expect(line).not.toHaveProperty("after");
});

test("results: a success stays, a failure gives way, and a broken line is named", async () => {
  const file = join(folder, "results.jsonl");
  expect(await readResults(file)).toEqual(new Map());
  const failed = { ...order("halves", "grpo", 200), key: "k", error: "E: no" };
  const done = { ...order("halves", "grpo", 200), key: "k", after: 0.5 } as unknown as RaceResult;
  await addResult(file, failed);
  expect((await readResults(file)).get("k")).toEqual(failed);
  await addResult(file, done);
  await addResult(file, failed);
  expect((await readResults(file)).get("k")).toEqual(done);
  await appendFile(file, '{"key": "l", "af');
  await expect(readResults(file)).rejects.toThrow("line 4");
});

test("names that do not exist are refused with those that do", () => {
  expect(() => taskNamed("maze")).toThrow("atlas, corridor, halves");
  expect(() => entryNamed("magic")).toThrow("reinforce; ");
});
