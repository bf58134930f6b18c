/** Runs whose groups are search trees: what methods are told, who is trained on what, failures of nodes, and stopping. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Method } from "../../src/methods/method.ts";
import { episodeTurns } from "../../src/search/episodes.ts";
import { abMcts, treeGrpo } from "../../src/search/index.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { more, type RetryTask, retry, retryTasks, words } from "./retry-team.ts";
import { stepLines } from "./run-files.ts";
import { telling } from "./telling-method.ts";
import { toyTasks, toyTeam } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-trees-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const options = (method: Method, given: Partial<TrainOptions<RetryTask>> = {}): TrainOptions<RetryTask> => ({
  workflow: retry,
  tasks: retryTasks,
  policies: { a: tabularPolicy({ words }), b: tabularPolicy({ words }) },
  teams: { a: { guesser: "a" }, b: { guesser: "b" } },
  search: { plan: () => abMcts({ nodes: 6, participants: ["a", "b"] }), branch: more },
  method,
  steps: 3,
  tasksPerStep: 2,
  learningRate: 0.1,
  evaluateEvery: 0,
  runsFolder,
  ...given,
});
const control = { reporter: silentReporter };
const steps = (run: string) => stepLines(join(runsFolder, run));

describe("a group is a tree", () => {
  test("complete nodes in order, each with its parent, and every call trained once", async () => {
    const { method, told } = telling();
    await train(options(method, { run: "told", steps: 2 }), control);
    expect(told).toHaveLength(2);
    const depths = new Set<number>();
    const policies = new Set<string>();
    for (const { episodes } of told.flat()) {
      expect(episodes).toHaveLength(6);
      for (const [place, { parent, calls }] of episodes.entries()) {
        expect(parent).toBeLessThan(place);
        const above = parent === -1 ? [] : episodes[parent!]!.calls;
        // A node has its parent's calls, and one of its own.
        expect(calls.slice(0, -1)).toEqual(
          above.map((call, i) => ({ ...call, reward: calls[i]!.reward, terms: calls[i]!.terms })),
        );
        expect(calls).toHaveLength(above.length + 1);
        depths.add(calls.length);
        policies.add(calls.at(-1)!.policy!);
      }
    }
    expect(depths.size).toBeGreaterThan(1);
    expect([...policies].sort()).toEqual(["a", "b"]);
    for (const { policies: updates, sampledTokens, episodes } of await steps("told")) {
      expect(updates.a.sequences + updates.b.sequences).toBe(12);
      expect(sampledTokens).toBe(12);
      expect(episodes).toBe(12);
    }
  });

  test("the same seed grows the same trees", async () => {
    const [one, two] = [telling(), telling()];
    await train(options(one.method, { run: "once" }), control);
    await train(options(two.method, { run: "twice" }), control);
    expect(two.told).toEqual(one.told);
    const other = telling();
    await train(options(other.method, { run: "other", seed: 1 }), control);
    expect(other.told).not.toEqual(one.told);
  });

  test("turns branch off where the sampler's action says", async () => {
    const { method, told } = telling();
    await train(
      {
        workflow: toyTeam,
        tasks: toyTasks,
        policies: { a: tabularPolicy({ words }) },
        search: { plan: () => treeGrpo({ trees: 2, expansions: 2, rounds: 1, turns: episodeTurns }) },
        method,
        steps: 2,
        tasksPerStep: 2,
        evaluateEvery: 0,
        runsFolder,
        run: "turns",
      },
      control,
    );
    expect(told.flat().some(({ episodes }) => episodes.some(({ parent }) => parent !== -1))).toBe(true);
    for (const { episodes } of told.flat()) {
      // Tree-GRPO may go on from the root, too.
      expect(episodes.filter(({ parent }) => parent === -1).length).toBeGreaterThanOrEqual(2);
      for (const { parent, calls } of episodes) {
        expect(calls).toHaveLength(2);
        if (parent === -1) continue;
        const shared = calls.filter(({ node }, i) => node === episodes[parent!]!.calls[i]!.node);
        expect(shared.length).toBeLessThan(2);
      }
    }
  });
});

describe("failures", () => {
  const failing = (share: number) => {
    let calls = 0;
    const spec = tabularPolicy({ words });
    return {
      ...spec,
      open: async (context: Parameters<typeof spec.open>[0]) => {
        const policy = await spec.open(context);
        const { sample } = policy;
        policy.sample = async (request) => {
          if (++calls % share === 0) throw new Error("the engine is on fire");
          return sample.call(policy, request);
        };
        return policy;
      },
    };
  };

  test("a node that fails is a counted failure, and its tree is trained on", async () => {
    const { method, told } = telling();
    await train(
      options(method, {
        run: "failing",
        policies: { a: failing(9), b: tabularPolicy({ words }) },
        maxFailureRate: 0.9,
      }),
      control,
    );
    const metrics = await steps("failing");
    const failed = metrics.reduce(
      (sum, { failures }) => sum + Object.values<number>(failures).reduce((a, b) => a + b, 0),
      0,
    );
    expect(failed).toBeGreaterThan(0);
    const complete = told.flat().reduce((sum, { episodes }) => sum + episodes.length, 0);
    expect(complete).toBe(3 * 12 - failed);
    for (const { episodes } of told.flat())
      for (const [place, { parent }] of episodes.entries()) expect(parent).toBeLessThan(place);
  });

  test("a branch function that throws is a failed node with its message", async () => {
    const { method } = telling();
    const branch = () => {
      throw new Error("no way on");
    };
    const run = train(
      options(method, {
        run: "no-way",
        search: { plan: () => abMcts({ nodes: 6, participants: ["a", "b"] }), branch },
      }),
      control,
    );
    await expect(run).rejects.toThrow(/no way on/);
  });

  test("a parent that a reward term could not score is replaced by its own parent", async () => {
    const { method, told } = telling();
    const flaky = {
      name: "flaky",
      score: async (group: readonly { trajectory: { calls: readonly unknown[] } }[]) =>
        group.map(({ trajectory }, i) =>
          trajectory.calls.length === 1 && i % 2 === 0
            ? { failure: { boundary: "reward" as const, code: "E_TEST", message: "cannot" } }
            : { rewards: [] },
        ),
    };
    await train(options(method, { run: "flaky", rewards: flaky, maxFailureRate: 1 }), control);
    const lost = told
      .flat()
      .flatMap(({ episodes }) => episodes.filter(({ parent, calls }) => parent === -1 && calls.length > 1));
    expect(lost.length).toBeGreaterThan(0);
  });
});

test("a search may say itself who runs on what, and all policies are trained", async () => {
  const { method } = telling();
  const search = {
    plan: () => abMcts<Trajectory>({ nodes: 6, participants: ["a", "b"] }),
    assign: (action: unknown) => ({ guesser: (action as { participant: string }).participant }),
    branch: more,
  };
  const { teams: _, ...rest } = options(method, { run: "assigns", search, steps: 1 });
  await train(rest, control);
  const [step] = await steps("assigns");
  expect(Object.keys(step.policies).sort()).toEqual(["a", "b"]);
  expect(step.policies.a.sequences + step.policies.b.sequences).toBe(12);
  expect(step.policies.b.sequences).toBeGreaterThan(0);
});

test("a run of one policy needs no teams, and a method with a sampler is refused", async () => {
  const { method } = telling();
  const sampler = { name: "s", groupSize: 2, next: () => [] };
  await expect(train(options({ ...method, sampler }, { run: "no" }), control)).rejects.toThrow(
    /sampler of its own/,
  );
});
