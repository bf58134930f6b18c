/** Teams: groups with episodes of each, evaluation of each, and texts that one policy learns from another's episodes. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { groupAdvantage } from "../../src/methods/advantage/group.ts";
import { compose } from "../../src/methods/compose.ts";
import { hacpo } from "../../src/methods/hacpo.ts";
import { clipped } from "../../src/methods/loss/clipped.ts";
import { mars2 } from "../../src/methods/mars2.ts";
import type { BatchCall, GivenText, LossInput, Method, RewardedGroup } from "../../src/methods/method.ts";
import { perPolicy } from "../../src/methods/per-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { jsonLines } from "./run-files.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-teams-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

/** The same words under other ids, and one that the other tokenizer does not know. */
const otherWords = [...words].reverse().filter((word) => word !== "leaf");

function watching(given: (group: RewardedGroup) => readonly GivenText[] = () => []) {
  const told: RewardedGroup[] = [];
  const inputs: LossInput[] = [];
  const batches: (readonly BatchCall[])[] = [];
  const inner = compose({ advantage: groupAdvantage(), loss: clipped(), minibatches: 2 });
  const method: Method = {
    ...inner,
    groupSize: 4,
    creditAll: (groups) => {
      told.push(...groups);
      return groups.map((group) => ({ ...inner.credit(group.episodes), given: given(group) }));
    },
    prepare: (batch) => {
      batches.push(batch);
    },
    loss: (input) => {
      inputs.push(input);
      return inner.loss(input);
    },
  };
  return { method, told, inputs, batches };
}

const options = (method: Method, given: Partial<TrainOptions<ToyTask>> = {}): TrainOptions<ToyTask> => ({
  workflow: toyTeam,
  tasks: toyTasks,
  evaluate: toyTasks,
  metrics: { correct: ({ reward }) => reward },
  policies: { a: tabularPolicy({ words }), b: tabularPolicy({ words: otherWords }) },
  teams: { one: { planner: "a", answerer: "a" }, two: { planner: "b", answerer: "b" } },
  method,
  steps: 2,
  tasksPerStep: 3,
  learningRate: 0.1,
  evaluateEvery: 0,
  runsFolder,
  ...given,
});
const control = { reporter: silentReporter };
const lines = (run: string) => jsonLines(join(runsFolder, run, "metrics.jsonl"));

test("a group has the method's number of episodes of each team, told whose they are", async () => {
  const { method, told } = watching();
  const summary = await train(options(method, { run: "groups" }), control);
  expect(told).toHaveLength(6);
  for (const { episodes } of told) {
    expect(episodes.map(({ team }) => team)).toEqual(
      [..."1111"].map(() => "one").concat([..."2222"].map(() => "two")),
    );
    for (const { team, calls } of episodes)
      for (const call of calls) {
        expect(call.policy).toBe(team === "one" ? "a" : "b");
        expect(call.meanLogprob).toBeLessThanOrEqual(0);
      }
  }
  const evaluation = (await lines("groups")).find(({ when }) => when === "after");
  expect(evaluation.correct).toBeCloseTo((evaluation["correct.one"] + evaluation["correct.two"]) / 2, 12);
  expect(Object.keys(evaluation.ci).sort()).toEqual(["correct", "correct.one", "correct.two"]);
  expect(summary.after?.n).toBe(3);
});

describe("texts that are given", () => {
  /** Every call of the other team, for the policy of the first. */
  const foreign = ({ episodes }: RewardedGroup): GivenText[] =>
    episodes.flatMap(({ team, calls }, episode) =>
      team === "two"
        ? calls.map(({ meanLogprob }, call) => ({
            episode,
            call,
            policy: "a",
            advantage: 0.5,
            oldLogprob: meanLogprob!,
          }))
        : [],
    );

  test("are rows of the learner, in its own tokens, after what it sampled", async () => {
    const { method, inputs, batches, told } = watching(foreign);
    await train(options(method, { run: "foreign", steps: 1 }), control);
    const batch = batches.find((calls) => calls.some(({ given }) => given === true))!;
    const step = (await lines("foreign")).find(({ kind }) => kind === "step");
    const { a, b } = step.policies;
    const said = told.flatMap(({ episodes }) =>
      episodes.slice(4).flatMap(({ calls }) => calls.map(({ text }) => text!)),
    );
    // An output that is an end token alone has no text.
    const usable = said.filter((text) => text !== "");
    expect(a.given).toBe(usable.length);
    expect((a.refused?.empty ?? 0) + (a.refused?.roundTrip ?? 0)).toBe(said.length - usable.length);
    expect(said.length).toBe(24);
    expect(b.given).toBeUndefined();
    expect(batch.filter(({ given }) => given === true)).toHaveLength(usable.length);
    expect(batch.every(({ policy }) => policy === "a")).toBe(true);
    // Two minibatches: the second half of the rows is the given ones.
    const ofA = inputs.filter(({ policy }) => policy === "a");
    const order = ofA.flatMap(({ given, lengths, updatesDone }) =>
      lengths.map((_, i) => ({ given: given?.[i] === 1, updatesDone })),
    );
    expect(order.filter(({ given, updatesDone }) => given && updatesDone === 0).length).toBeLessThanOrEqual(
      Math.max(0, usable.length - order.filter(({ given }) => !given).length) + 1,
    );
    expect(order.some(({ given, updatesDone }) => given && updatesDone === 1)).toBe(true);
  });

  test("are compared with the log-prob that came with them, and otherwise with the learner's own", async () => {
    const text = ({ episodes }: RewardedGroup): GivenText[] => [
      {
        episode: 0,
        call: 1,
        policy: "a",
        text: "yellow",
        advantage: 1,
        oldLogprob: -0.25,
        link: `${episodes[0]!.id}`,
      },
      { episode: 0, call: 1, policy: "a", text: "blue", advantage: -1, link: `${episodes[0]!.id}` },
    ];
    const { method, inputs } = watching(text);
    await train(options(method, { run: "compared", steps: 1, tasksPerStep: 1 }), control);
    const [seen] = inputs.filter(({ given }) => given !== undefined);
    const given = [...seen!.given!].flatMap((flag, i) => (flag === 1 ? [i] : []));
    expect(given).toHaveLength(2);
    expect(seen!.links![given[0]!]).toBe(seen!.links![given[1]!]);
    const old = given.map((i) => seen!.oldLogprobs[i]!);
    expect(old).toContain(-0.25);
    const own = given.find((i) => seen!.oldLogprobs[i] !== -0.25)!;
    // Both words of a fresh table are equally likely: −log of the 10 words.
    expect(seen!.oldLogprobs[own]).toBeCloseTo(-Math.log(10), 4);
  });

  test("are counted over all groups of a step where they are refused, and used apart from each other", async () => {
    const empty = { episode: 0, call: 0, advantage: 1, text: "" };
    const text = () => [
      { ...empty, policy: "a" },
      { ...empty, policy: "a", text: "no word of it" },
      { ...empty, policy: "a" },
      { ...empty, policy: "b" },
    ];
    const { method } = watching(text);
    await train(options(method, { run: "refused", steps: 1 }), control);
    const step = (await lines("refused")).find(({ kind }) => kind === "step");
    expect(step.policies.a.refused).toEqual({ empty: 6, roundTrip: 3 });
    expect(step.policies.b.refused).toEqual({ empty: 3 });
  });

  test.each([
    [
      { episode: 99, call: 0, policy: "a", advantage: 1 },
      /call 0 of episode 99 of a group, which there is not/,
    ],
    [{ episode: 0, call: 0, policy: "z", advantage: 1 }, /not a policy of the run/],
    [{ episode: 0, call: 0, policy: "a", advantage: Number.NaN }, /advantage NaN/],
  ])("%j is refused", async (text, message) => {
    const { method } = watching(() => [text]);
    await expect(
      train(options(method, { run: `bad-${text.policy}-${text.episode}` }), control),
    ).rejects.toThrow(message);
  });
});

test("a group of which only one team has complete episodes is told with those alone", async () => {
  // Both teams in the dry group, and after that only the first.
  let dry = true;
  const spec = tabularPolicy({ words: otherWords });
  const failing = {
    ...spec,
    open: async (context: Parameters<typeof spec.open>[0]) => {
      const policy = await spec.open(context);
      const sample = policy.sample.bind(policy);
      policy.sample = async (request) => {
        if (!dry) throw new Error("the engine is on fire");
        return sample(request);
      };
      return policy;
    },
  };
  const event = ({ kind }: { readonly kind?: unknown }) => {
    if (kind === "first group") dry = false;
  };
  for (const [name, make] of [
    ["told", () => watching()],
    ["hacpo", () => ({ method: hacpo({ groupSize: 4, clipLow: 0.2, clipHigh: 0.2 }), told: [] })],
  ] as const) {
    const { method, told } = make();
    const run = `one-team-${name}`;
    const policies = { a: tabularPolicy({ words }), b: failing };
    dry = true;
    const { evaluate: _, metrics: __, ...rest } = options(method, { run, policies, maxFailureRate: 0.9 });
    await train(rest, { reporter: { ...silentReporter, event } });
    for (const { episodes } of told)
      expect(episodes.map(({ team }) => team)).toEqual(["one", "one", "one", "one"]);
    for (const step of (await lines(run)).filter(({ kind }) => kind === "step")) {
      expect(step.episodes).toBe(12);
      expect(step.policies.a).toMatchObject({ sequences: 24, updated: true });
      expect(step.policies.b).toMatchObject({ sequences: 0, updated: false });
      for (const { given, refused } of Object.values<Record<string, unknown>>(step.policies))
        expect([given, refused]).toEqual([undefined, undefined]);
    }
  }
});

test("frozen teams are told, and not trained", async () => {
  const spec = tabularPolicy({ words });
  const frozen = {
    ...spec,
    kind: "frozen",
    open: async (context: Parameters<typeof spec.open>[0]) => {
      const policy = await spec.open(context);
      const { name, version, contextLength, tokenizer } = policy;
      return {
        ...{ name, version, contextLength, tokenizer },
        sample: policy.sample.bind(policy),
        forward: policy.forward.bind(policy),
        parameterCount: policy.parameterCount,
        close: async () => {},
      };
    },
  };
  const { method, told } = watching();
  await train(
    options(method, { run: "frozen", policies: { a: tabularPolicy({ words }), b: frozen } }),
    control,
  );
  for (const { episodes } of told)
    for (const { team, calls } of episodes) {
      expect(calls).toHaveLength(2);
      for (const call of calls) expect(call.frozen ?? false).toBe(team === "two");
    }
  const step = (await lines("frozen")).find(({ kind }) => kind === "step");
  expect(Object.keys(step.policies)).toEqual(["a"]);
  expect(step.policies.a.sequences).toBe(24);
});

test("what the method has learned is in the step's metrics", async () => {
  await train(options(hacpo({ groupSize: 4, minibatches: 2 }), { run: "learned", steps: 2 }), control);
  const steps = (await lines("learned")).filter(({ kind }) => kind === "step");
  const names = ["planner", "answerer"].flatMap((agent) => ["a", "b"].map((p) => `capability.${agent}.${p}`));
  for (const { method } of steps) expect(Object.keys(method).sort()).toEqual(names.sort());
  // Both agents have the episode's reward: the mean of both policies is the step's.
  const { method, reward } = steps[0];
  expect((method["capability.answerer.a"] + method["capability.answerer.b"]) / 2).toBeCloseTo(reward.mean, 9);
});

test.each([
  [{ teams: { one: { planner: "a" } } }, /teams\.one\.answerer: missing/],
  [{ teams: { one: { planner: "a", answerer: "z" } } }, /no policy "z"/],
  [{ teams: { one: { planner: "a", answerer: "a", judge: "a" } } }, /no agent "judge"/],
  [{ teams: {} }, /there is none/],
  [{ assign: { planner: "a", answerer: "a" } }, /leave `assign` out/],
  [{ buffer: { z: 3 } }, /buffer\.z/],
])("%j is a fault of the configuration", async (given, message) => {
  const { method } = watching();
  await expect(train(options(method, given), control)).rejects.toThrow(message);
});

test("a method that learns from trees asks for a search", async () => {
  for (const method of [mars2(), perPolicy({ a: mars2(), b: mars2() })])
    await expect(train(options(method), control)).rejects.toThrow(
      /method: ".*" learns from search trees, and the run grows none; add `search`/,
    );
});

test("teams and a method with a sampler of its own do not go together, and are said once where there is a search", async () => {
  const { method } = watching();
  const sampler = { name: "s", groupSize: 2, next: () => [] };
  const faults = (given: Partial<TrainOptions<ToyTask>>) =>
    train(options({ ...method, sampler }, given), control).then(
      () => "",
      (error: Error) => error.message,
    );
  expect(await faults({})).toMatch(/teams: method ".*" has a sampler, which cannot ask/);
  const search = { plan: () => ({ nodes: 2, select: () => undefined }) };
  expect(await faults({ search })).toMatch(/search: method ".*" has a sampler of its own/);
  expect(await faults({ search })).not.toMatch(/teams:/);
});
