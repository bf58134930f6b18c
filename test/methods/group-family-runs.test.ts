/** The group family in runs of a small team: they learn, and their samplers do with the trainer what they are for. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ar3po } from "../../src/methods/ar3po.ts";
import { emaGrpo } from "../../src/methods/ema-grpo.ts";
import { fGrpo } from "../../src/methods/f-grpo.ts";
import { gigpo } from "../../src/methods/gigpo.ts";
import type { Method, RewardedGroup } from "../../src/methods/method.ts";
import { mssr } from "../../src/methods/mssr.ts";
import { r3 } from "../../src/methods/r3.ts";
import { dynamicSampling } from "../../src/methods/sampler/dynamic.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { stepLines } from "../trainer/run-files.ts";
import { toyTasks, toyTeam, words } from "../trainer/toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-group-family-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

/** Mean rewards of the steps of a run, and the groups that the method was told of. */
async function run(method: Method, steps: number, tasksPerStep = 3) {
  const told: (readonly RewardedGroup[])[] = [];
  const name = `${method.name}-${steps}`;
  await train(
    {
      workflow: toyTeam,
      tasks: toyTasks,
      policies: { small: tabularPolicy({ words }) },
      method: {
        ...method,
        creditAll: (groups) => {
          told.push(groups);
          return method.creditAll!(groups);
        },
      },
      steps,
      tasksPerStep,
      learningRate: 0.3,
      evaluateEvery: 0,
      seed: 3,
      run: name,
      runsFolder,
      recordEpisodesEvery: 0,
    },
    { reporter: silentReporter },
  );
  const metrics = await stepLines(join(runsFolder, name));
  return { metrics, told, rewards: metrics.map(({ reward }) => (reward as { readonly mean: number }).mean) };
}
const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

test.each([emaGrpo(), gigpo()])("$name learns", async (method) => {
  const { rewards } = await run(method, 16);
  expect(meanOf(rewards.slice(-4))).toBeGreaterThan(meanOf(rewards.slice(0, 4)) + 0.3);
});

test("MSSR learns from one episode of each of many tasks", async () => {
  const { rewards, told } = await run(mssr(), 20, 24);
  expect(told.at(-1)!.map(({ episodes }) => episodes.length)).toEqual(Array(24).fill(1));
  expect(meanOf(rewards.slice(-4))).toBeGreaterThan(meanOf(rewards.slice(0, 4)) + 0.3);
});

test("AR3PO: eight episodes of unsolved tasks, four of others, and the unsolved recall what was right", async () => {
  const { rewards, told } = await run(ar3po(), 25);
  const groups = told.flat();
  for (const { episodes } of groups) {
    const recalled = episodes.filter((episode) => episode.recalled === true);
    const solved = episodes.some((episode) => episode.recalled !== true && episode.reward === 1);
    expect(recalled.every(({ reward }) => reward === 1)).toBe(true);
    if (recalled.length > 0) expect([solved, recalled.length, episodes.length]).toEqual([false, 1, 8]);
    else if (!solved) expect(episodes).toHaveLength(8);
    else expect([4, 8]).toContain(episodes.length);
  }
  expect(groups.some(({ episodes }) => episodes.some(({ recalled }) => recalled === true))).toBe(true);
  // Once tasks are solved at once, they cost half.
  expect(told.at(-1)!.every(({ episodes }) => episodes.length === 4)).toBe(true);
  expect(meanOf(rewards.slice(-4))).toBeGreaterThan(0.7);
});

test("R³: groups that are all wrong or all right recall the other kind", async () => {
  const { rewards, told } = await run(r3(), 25);
  const mixed = told.flat().filter(({ episodes }) => episodes.some(({ recalled }) => recalled === true));
  for (const { episodes } of mixed) {
    const [old, ...more] = episodes.filter(({ recalled }) => recalled === true);
    expect(more).toEqual([]);
    const now = new Set(episodes.filter(({ recalled }) => recalled !== true).map(({ reward }) => reward));
    expect([...now]).toEqual([1 - old!.reward]);
  }
  const kinds = new Set(
    mixed.map(({ episodes }) => episodes.find(({ recalled }) => recalled === true)!.reward),
  );
  expect(kinds).toEqual(new Set([0, 1]));
  expect(meanOf(rewards.slice(-4))).toBeGreaterThan(0.7);
});

test("dynamic sampling: no group without spread is trained on while there are others", async () => {
  const method = fGrpo();
  const { metrics } = await run(
    { ...method, name: "dynamic", sampler: dynamicSampling({ maxWaves: 5 }) },
    12,
  );
  const dropping = metrics.filter(({ droppedGroups = 0 }) => droppedGroups > 0);
  expect(dropping.length).toBeGreaterThan(0);
  for (const { groups, groupsWithoutSignal } of metrics) {
    expect(groups).toBeGreaterThan(0);
    expect(groups).toBeLessThanOrEqual(3);
    expect([0, groups]).toContain(groupsWithoutSignal);
  }
});
