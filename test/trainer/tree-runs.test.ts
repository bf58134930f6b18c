/** Trees in runs that are not as they should be: failures, limits, aborts, budgets, and expansions in flight together. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SampleRequest } from "../../src/engine/policy.ts";
import type { Method } from "../../src/methods/method.ts";
import { abMcts } from "../../src/search/index.ts";
import type { SelectContext } from "../../src/search/search.ts";
import { type TabularPolicy, tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { openPoliciesOf } from "../../src/trainer/open-trained.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { more, type RetryTask, retry, retryTasks, words } from "./retry-team.ts";
import { stepLines } from "./run-files.ts";
import { telling } from "./telling-method.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-tree-runs-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const plan = () => abMcts<Trajectory>({ nodes: 6, participants: ["a", "b"] });
const options = (method: Method, given: Partial<TrainOptions<RetryTask>> = {}): TrainOptions<RetryTask> => ({
  workflow: retry,
  tasks: retryTasks,
  policies: { a: tabularPolicy({ words }), b: tabularPolicy({ words }) },
  teams: { a: { guesser: "a" }, b: { guesser: "b" } },
  search: { plan, branch: more },
  method,
  steps: 2,
  tasksPerStep: 2,
  learningRate: 0.1,
  evaluateEvery: 0,
  maxFailureRate: 1,
  runsFolder,
  ...given,
});
const control = { reporter: silentReporter };
const steps = (run: string) => stepLines(join(runsFolder, run));
const total = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((a, b) => a + b, 0);

/** A table whose samples go through `around`. */
function through(
  around: (request: SampleRequest, sample: TabularPolicy["sample"]) => ReturnType<TabularPolicy["sample"]>,
) {
  const spec = tabularPolicy({ words });
  return {
    ...spec,
    open: async (context: Parameters<typeof spec.open>[0]) => {
      const policy = await spec.open(context);
      const sample = policy.sample.bind(policy);
      policy.sample = (request) => around(request, sample);
      return policy;
    },
  };
}
const soon = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

describe("failures", () => {
  test("a tree whose root children all fail is a group without episodes, and the others are trained on", async () => {
    const { method, told } = telling();
    // Samples of the dry group come first.
    let dry = true;
    const burning = () =>
      through(async (request, sample) => {
        // The word of the task is the first token of each prompt.
        if (!dry && request.prompt[0] === firstOfSun) throw new Error("the engine is on fire");
        return sample(request);
      });
    const spec = await tabularPolicy({ words }).open({ name: "x", seed: 0 });
    const firstOfSun = spec.tokenizer.encode("sun first:")[0];
    const reporter = {
      ...silentReporter,
      event: ({ kind }: { kind?: unknown }) => {
        if (kind === "first group") dry = false;
      },
    };
    await train(
      options(method, {
        run: "all-fail",
        policies: { a: burning(), b: burning() },
        tasksPerStep: 3,
        steps: 1,
      }),
      { reporter },
    );
    expect(told[0]!.map(({ episodes }) => episodes.length).sort()).toEqual([0, 6, 6]);
    const [step] = await steps("all-fail");
    expect(step).toMatchObject({ episodes: 12, groups: 3 });
    expect(total(step.failures)).toBe(6);
    expect(step.policies.a.sequences + step.policies.b.sequences).toBe(12);
  });

  test("a step without a single complete node ends the run before anything is updated", async () => {
    const { method, told } = telling();
    const search = { plan, branch: more, value: () => Number.NaN };
    await expect(train(options(method, { run: "nothing", search }), control)).rejects.toThrow(
      /E_NODE_VALUE, 12 times.*Node \d has the value NaN/s,
    );
    expect(told.flat().map(({ episodes }) => episodes.length)).toEqual([0, 0]);
  });

  test("a node without a value is a failed episode, and no parent", async () => {
    const { method, told } = telling();
    const seen: number[] = [];
    const value = ({ calls, rewards }: Trajectory) => {
      seen.push(calls.length);
      if (seen.length % 3 === 0) throw new Error("not worth saying");
      return rewards[0]!.value / 2;
    };
    await train(options(method, { run: "valued", search: { plan, branch: more, value } }), control);
    expect(seen).toHaveLength(24);
    const episodes = told.flat().flatMap((group) => group.episodes);
    expect(episodes).toHaveLength(16);
    expect((await steps("valued")).reduce((sum, { failures }) => sum + total(failures), 0)).toBe(8);
    for (const { calls, parent } of episodes) if (calls.length === 1) expect(parent).toBe(-1);
  });

  test("a complete node of a workflow without a reward fails where no term gives one", async () => {
    const guesser = agent("guesser", { prompt: (v: { word: string }) => `${v.word} first:`, maxTokens: 1 });
    /** Says what it is worth only in its first attempt. */
    const silent = workflow(
      "silent",
      { agents: { guesser }, task: taskOf<RetryTask>() },
      async ({ task, agents, reward }) => {
        for (let attempt = 0; attempt < task.attempts; attempt++) await agents.guesser({ word: task.word });
        if (task.attempts === 1) reward(1, { name: "first" });
      },
    );
    const action = { participant: "a" };
    const select = (_: unknown, { index }: SelectContext) => ({ parent: index === 0 ? -1 : 0, action });
    const search = { plan: () => ({ nodes: 3, select }), branch: more, value: () => 0 };
    const told = async (run: string, given: Partial<TrainOptions<RetryTask>>) => {
      const one = telling();
      await train(options(one.method, { run, workflow: silent, search, steps: 1, ...given }), control);
      return one.told[0]!.map(({ episodes }) => episodes.length);
    };
    expect(await told("no-reward", {})).toEqual([1, 1]);
    const rewards = {
      name: "same",
      score: async (group: readonly unknown[]) =>
        group.map(() => ({ rewards: [{ name: "same", value: 1 }] })),
    };
    expect(await told("with-reward", { rewards })).toEqual([3, 3]);
  });
});

describe("in flight", () => {
  const counting = () => {
    const seen = { now: 0, most: 0, samples: 0 };
    const spec = () =>
      through(async (request, sample) => {
        seen.samples++;
        seen.most = Math.max(seen.most, ++seen.now);
        await soon();
        seen.now--;
        return sample(request);
      });
    return { seen, policies: { a: spec(), b: spec() } };
  };

  test("one node a tree, unless the search says otherwise, and no more than the run's episodes", async () => {
    const most = async (run: string, tasksPerStep: number, given: number | undefined, episodes: number) => {
      const { method, told } = telling();
      const { seen, policies } = counting();
      const search = { plan, branch: more, ...(given === undefined ? {} : { concurrency: given }) };
      const reporter = {
        ...silentReporter,
        event: ({ kind }: { kind?: unknown }) => {
          if (kind === "first group") seen.most = 0;
        },
      };
      await train(
        options(method, { run, policies, search, tasksPerStep, steps: 1, concurrency: { episodes } }),
        { reporter },
      );
      for (const { episodes: told_ } of told.flat()) {
        expect(told_).toHaveLength(6);
        for (const [place, { parent }] of told_.entries()) expect(parent).toBeLessThan(place);
      }
      const [step] = await steps(run);
      expect(step.policies.a.sequences + step.policies.b.sequences).toBe(6 * tasksPerStep);
      return seen.most;
    };
    expect(await most("one-by-one", 1, undefined, 99)).toBe(1);
    expect(await most("three", 1, 3, 99)).toBe(3);
    expect(await most("trees", 3, undefined, 99)).toBe(3);
    expect(await most("gated", 3, 3, 2)).toBe(2);
  });

  test("a run that is stopped in the middle of a tree goes on in it, and ends as if it had not been", async () => {
    const weights = (checkpoint: string) =>
      Promise.all(["a", "b"].map((name) => readFile(join(checkpoint, name, "table.f32"), "base64")));
    const whole = telling();
    const wanted = await train(options(whole.method, { run: "unstopped", steps: 3 }), control);
    const expected = await steps("unstopped");
    // The dry group takes 12 samples (of each team 6), a step another 12.
    for (const at of [15, 29]) {
      const run = `stopped-${at}`;
      const { seen, policies } = counting();
      const stop = new AbortController();
      const stopping = Object.fromEntries(
        Object.entries(policies).map(([name, spec]) => [
          name,
          {
            ...spec,
            open: async (context: Parameters<typeof spec.open>[0]) => {
              const policy = await spec.open(context);
              const sample = policy.sample.bind(policy);
              policy.sample = (request) => {
                if (seen.samples === at) stop.abort();
                return sample(request);
              };
              return policy;
            },
          },
        ]),
      );
      const first = await train(options(telling().method, { run, steps: 3, policies: stopping }), {
        ...control,
        signal: stop.signal,
      });
      expect(first.interrupted).toBe(true);
      expect(first.steps).toBe(at === 15 ? 0 : 1);
      const before = seen.samples;
      const second = telling();
      const { checkpoint } = await train(options(second.method, { run, steps: 3, policies }), control);
      expect(await steps(run)).toEqual(expected);
      expect(await weights(checkpoint)).toEqual(await weights(wanted.checkpoint));
      expect(second.told).toEqual(whole.told.slice(first.steps));
      // What was in flight is sampled again, one node a tree; before the first step the dry group is, too.
      expect(seen.samples - before).toBeLessThanOrEqual(48 - at + 2 + (first.steps === 0 ? 12 : 0));
    }
  });
});

test("a budget of tokens ends the run with the step whose trees reach it", async () => {
  const { method, told } = telling();
  const { steps: done } = await train(options(method, { run: "budget", steps: 9, tokenBudget: 13 }), control);
  expect(done).toBe(2);
  expect(told).toHaveLength(2);
  expect((await steps("budget")).map(({ sampledTokens }) => sampledTokens)).toEqual([12, 12]);
});

test("trees may grow while weights are updated: calls are weighed, and none is older than allowed", async () => {
  const { method, told } = telling();
  await train(options(method, { run: "stale", steps: 5, staleness: 1 }), control);
  expect(told).toHaveLength(5);
  const lags = (await steps("stale")).flatMap(({ policies: { a, b } }) => [
    a.staleness ?? 0,
    b.staleness ?? 0,
  ]);
  expect(Math.max(...lags)).toBe(1);
  for (const { policies } of await steps("stale"))
    expect(policies.a.sequences + policies.b.sequences).toBe(12);
});

describe("each tree", () => {
  const action = { participant: "a" };

  test("has draws of its own, also of one task in one step", async () => {
    const draws: number[] = [];
    const select = (_: unknown, { random }: SelectContext) => {
      draws.push(random.uniform());
      return { parent: -1, action };
    };
    const { method } = telling();
    const search = { plan: () => ({ nodes: 3, select }) };
    await train(options(method, { run: "draws", search, tasks: retryTasks.slice(0, 1) }), control);
    expect(draws).toHaveLength(12);
    expect(new Set(draws).size).toBe(12);
  });

  test("is of its group's task", async () => {
    const { method, told } = telling();
    await train(
      options(method, { run: "tasks", tasks: retryTasks.slice(0, 3), tasksPerStep: 1, steps: 3 }),
      control,
    );
    const asked = told.flat().map(({ episodes }) => new Set(episodes.map(({ calls }) => calls[0]!.state)));
    for (const states of asked) expect(states.size).toBe(1);
    expect(asked.map(([state]) => state).sort()).toEqual(["leaf first:", "sky first:", "sun first:"]);
  });

  test("counts in the progress of its step", async () => {
    const seen: string[] = [];
    const reporter = { ...silentReporter, status: (text: string) => void seen.push(text) };
    const slow = through(async (request, sample) => {
      await new Promise((resolve) => setTimeout(resolve, 60));
      return sample(request);
    });
    const { method } = telling();
    const search = { plan: () => ({ nodes: 5, select: () => ({ parent: -1, action }) }) };
    await train(options(method, { run: "counts", search, policies: { a: slow, b: slow }, steps: 1 }), {
      reporter,
    });
    const counts = seen.filter((text) => text.endsWith("/10 episodes"));
    expect(counts.length).toBeGreaterThan(0);
    for (const text of counts) expect(Number(text.split("/")[0])).toBeLessThanOrEqual(10);
  });
});

test("only policies that a team has are opened, where the search does not assign", async () => {
  const spec = tabularPolicy({ words });
  const given = { policies: { a: spec, b: spec, unused: spec } };
  const { policies, close } = await openPoliciesOf(options(telling().method, given));
  await close();
  expect([...policies.keys()].sort()).toEqual(["a", "b"]);
});
