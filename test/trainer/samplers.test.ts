/** What a method's sampler may ask the trainer for, and that a run with one goes on after a kill as if nothing was. */

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PolicyOpenContext } from "../../src/engine/policy-spec.ts";
import { groupAdvantage } from "../../src/methods/advantage/group.ts";
import { compose } from "../../src/methods/compose.ts";
import { clipped } from "../../src/methods/loss/clipped.ts";
import type { Method, RewardedGroup, SamplingRequest, SamplingView } from "../../src/methods/method.ts";
import type { SamplerPart } from "../../src/methods/parts.ts";
import { infiniteSampling } from "../../src/methods/schedule/index.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { reflect, rememberingMethod } from "./crash/remembering-method.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-samplers-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const options = (method: Method, overrides: Partial<TrainOptions<ToyTask>> = {}): TrainOptions<ToyTask> => ({
  workflow: toyTeam,
  tasks: toyTasks,
  policies: { small: tabularPolicy({ words }) },
  method,
  steps: 2,
  tasksPerStep: 1,
  learningRate: 0.1,
  evaluateEvery: 0,
  runsFolder,
  ...overrides,
});
const control = { reporter: silentReporter };
const lines = async (path: string) =>
  (await readFile(path, "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
const steps = async (run: string) =>
  (await lines(join(runsFolder, run, "metrics.jsonl"))).filter(({ kind }) => kind === "step");
const episodes = async (run: string, step: number) =>
  lines(join(runsFolder, run, "episodes", `${String(step).padStart(6, "0")}.jsonl`));

/** A sampler from a function, and a method that keeps what it was told. */
function sampling(
  next: (view: SamplingView) => readonly SamplingRequest[],
  memory?: SamplerPart["memory"],
): { method: Method; views: SamplingView[]; told: (readonly RewardedGroup[])[] } {
  const views: SamplingView[] = [];
  const told: (readonly RewardedGroup[])[] = [];
  const sampler: SamplerPart = {
    stage: "sampler",
    name: "test",
    samples: "tree",
    settings: {},
    groupSize: 4,
    next: (view) => {
      views.push(view);
      return next(view);
    },
    ...(memory === undefined ? {} : { memory }),
  };
  const method = compose({ sampler, advantage: groupAdvantage(), loss: clipped() });
  return {
    views,
    told,
    method: {
      ...method,
      creditAll: (groups) => {
        told.push(groups);
        return method.creditAll!(groups);
      },
    },
  };
}

describe("requests", () => {
  test("more episodes of a task join its group, with samples of their own", async () => {
    const { method, told, views } = sampling(({ wave }) =>
      wave === 1
        ? [
            { kind: "episodes", group: 0, count: 2 },
            { kind: "episodes", group: 0, count: 1 },
          ]
        : [],
    );
    await train(options(method, { run: "more" }), control);
    expect(told.map((groups) => groups.map((group) => group.episodes.length))).toEqual([[7], [7]]);
    expect(views.map(({ wave, groups }) => [wave, groups[0]!.episodes.length])).toEqual([
      [1, 4],
      [2, 7],
      [1, 4],
      [2, 7],
    ]);
    const samples = (await episodes("more", 1)).map(({ id }) => id);
    expect(samples).toEqual([0, 1, 2, 3, 4, 5, 6].map((sample) => `train/000001/000/0${sample}`));
  });

  test("a branch shares the calls before it, and only its own tokens count", async () => {
    const { method, told } = sampling(({ wave }) =>
      wave === 1 ? [1, 1, 0].map((at) => ({ kind: "branch", group: 0, episode: 2, at })) : [],
    );
    await train(options(method, { run: "branches", steps: 1 }), control);
    const nodes = told[0]![0]!.episodes.map(({ calls }) => calls.map(({ node }) => node));
    expect(nodes).toEqual([
      ["train/1/0/0#0", "train/1/0/0#1"],
      ["train/1/0/1#0", "train/1/0/1#1"],
      ["train/1/0/2#0", "train/1/0/2#1"],
      ["train/1/0/3#0", "train/1/0/3#1"],
      ["train/1/0/2#0", "train/1/0/2@1.1#1"],
      ["train/1/0/2#0", "train/1/0/2@1.2#1"],
      ["train/1/0/2@0.1#0", "train/1/0/2@0.1#1"],
    ]);
    const [step] = await steps("branches");
    // One token a call: 4 × 2, two branches of one call, one of two.
    expect(step.sampledTokens).toBe(8 + 1 + 1 + 2);
  });

  test("a dropped group is not trained on but counted, and another task takes its place", async () => {
    const { method, told } = sampling(({ wave }) =>
      wave === 1 ? [{ kind: "drop", group: 0 }, { kind: "task" }] : [],
    );
    await train(options(method, { run: "dropped", steps: 1 }), control);
    const [step] = await steps("dropped");
    expect(step).toMatchObject({ groups: 1, droppedGroups: 1, episodes: 8, sampledTokens: 16 });
    expect(told[0]).toHaveLength(1);
    const written = await episodes("dropped", 1);
    expect(written.map(({ identity }) => identity.group)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    expect(new Set(written.map(({ identity }) => identity.task)).size).toBe(2);
    expect(written.slice(0, 4).every(({ advantages }) => Object.keys(advantages).length === 0)).toBe(true);
  });

  test("an omitted episode is in no baseline", async () => {
    const { method, told } = sampling(({ wave }) =>
      wave === 1 ? [{ kind: "omit", group: 0, episode: 1 }] : [],
    );
    await train(options(method, { run: "omitted", steps: 1 }), control);
    expect(told[0]![0]!.episodes.map(({ id }) => id)).toEqual([0, 2, 3].map((i) => `train/000001/000/0${i}`));
  });

  test("what is asked for must be there", async () => {
    const ask = (request: SamplingRequest) =>
      train(options(sampling(() => [request]).method, { run: "wrong" }), { ...control, fresh: true });
    await expect(ask({ kind: "episodes", group: 3, count: 1 })).rejects.toThrow(/"group":3/);
    await expect(ask({ kind: "branch", group: 0, episode: 9, at: 0 })).rejects.toThrow(/"episode":9/);
    await expect(ask({ kind: "recall", group: 0, episode: "x" })).rejects.toThrow(/"episode":"x"/);
    await expect(ask({ kind: "episodes", group: 0, count: 1 })).rejects.toMatchObject({
      code: "E_SAMPLER_ENDLESS",
    });
  });
});

/** Recalls the oldest remembered episode of each task. */
const recalling = () =>
  sampling(
    ({ wave, groups, remembered }) =>
      wave > 1
        ? []
        : groups.flatMap(({ task }, group) =>
            remembered(task)
              .slice(0, 1)
              .map(({ id }) => ({ kind: "recall", group, episode: id }) as const),
          ),
    { capacity: 2, keep: ({ episodes: all }) => all.map((_, i) => i === 1) },
  );

test("a remembered episode comes back with its tokens, and is trained with log-probs of now", async () => {
  const { method, told, views } = recalling();
  await train(options(method, { run: "recall", steps: 6, tasks: toyTasks.slice(0, 1) }), control);
  const last = told.at(-1)![0]!.episodes;
  expect(last).toHaveLength(5);
  expect(last[4]).toMatchObject({ id: "train/000004/000/01", recalled: true });
  expect(views.at(-1)!.remembered(last[4]!.id!)).toEqual([]);
  const metrics = await steps("recall");
  for (const { episodes: count, policies } of metrics) {
    expect(count).toBe(4);
    // ℓ_old of a recalled episode is that of the weights now, so no ratio is off.
    if (policies.small.updated) expect(policies.small.statistics.largestRatio).toBeCloseTo(1, 5);
  }
});

test("a run that was stopped goes on with what its sampler remembers, to the same weights", async () => {
  const start = (run: string, extra: object = {}) =>
    train(options(recalling().method, { run, steps: 6, checkpointEvery: 1, tasksPerStep: 2 }), {
      ...control,
      ...extra,
    });
  const whole = await start("whole");
  const stop = new AbortController();
  let seen = 0;
  const event = ({ kind }: { readonly kind: string }) => {
    if (kind === "step" && ++seen === 3) stop.abort();
  };
  await start("parts", { signal: stop.signal, reporter: { ...silentReporter, event } });
  const parts = await start("parts");
  const weights = async (path: string) => {
    const [file] = (await readdir(join(path, "small"))).filter((name) => !name.includes("optimizer"));
    return readFile(join(path, "small", file!), "utf8");
  };
  expect(await weights(parts.checkpoint!)).toBe(await weights(whole.checkpoint!));
  expect(await steps("parts")).toEqual(await steps("whole"));
});

test("a method that is passed to a second run has forgotten the first", async () => {
  const method = rememberingMethod(4);
  const start = (run: string) => train(options(method, { run, reflect, steps: 4, tasksPerStep: 2 }), control);
  const [first, second] = [await start("first-run"), await start("second-run")];
  expect(JSON.stringify(method.state!())).not.toContain(":0.5");
  const state = async ({ checkpoint }: typeof first) =>
    JSON.parse(await readFile(join(checkpoint!, "state.json"), "utf8")).parts.method;
  expect(await state(second)).toEqual(await state(first));
  expect(await steps("second-run")).toEqual(await steps("first-run"));
});

test("a schedule decides when episodes are sampled, and not what; it learns their lengths and is in checkpoints", async () => {
  const method = compose({ loss: clipped() });
  const run = (name: string, over: Partial<TrainOptions<ToyTask>>) =>
    train(options(method, { run: name, steps: 3, tasksPerStep: 2, ...over }), control);
  await run("unscheduled", {});
  const schedule = infiniteSampling({ slots: 3, mode: "waves", order: "longest" });
  let inFlight = 0;
  let most = 0;
  const counting = {
    ...tabularPolicy({ words }),
    open: async (context: PolicyOpenContext) => {
      const policy = await tabularPolicy({ words }).open(context);
      const { sample } = policy;
      policy.sample = async (request) => {
        most = Math.max(most, ++inFlight);
        await Promise.resolve();
        const result = await sample.call(policy, request);
        inFlight--;
        return result;
      };
      return policy;
    },
  };
  await run("scheduled", { schedule, policies: { small: counting } });
  expect(await steps("scheduled")).toEqual(await steps("unscheduled"));
  expect(most).toBe(3);
  const checkpoint = join(runsFolder, "scheduled", "checkpoints", "step-000003", "state.json");
  const { parts } = JSON.parse(await readFile(checkpoint, "utf8"));
  expect(JSON.stringify(parts.schedule)).toContain("2");
  await expect(run("nonsense", { schedule: {} as never })).rejects.toThrow(/infiniteSampling/);
});

test("a budget of sampled tokens ends the run with the step that reaches it", async () => {
  const method = compose({ loss: clipped() });
  // 8 episodes of two one-token calls a step.
  const summary = await train(options(method, { run: "budget", steps: 50, tokenBudget: 40 }), control);
  expect(summary).toMatchObject({ steps: 3, interrupted: false });
});
