import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { TrainablePolicy } from "../../src/engine/policy.ts";
import type { PolicySpec } from "../../src/engine/policy-spec.ts";
import { grpo } from "../../src/methods/grpo.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { type Reporter, silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { MapStore } from "../../src/workflow/memory.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-resume-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

/** A policy of which something is watched or spoilt. */
const altered = (alter: (policy: TrainablePolicy) => void): PolicySpec<TrainablePolicy> => {
  const spec = tabularPolicy({ words });
  return {
    ...spec,
    open: async (context) => {
      const policy: TrainablePolicy = await spec.open(context);
      alter(policy);
      return policy;
    },
  };
};
const plain = tabularPolicy({ words });

const toy = (overrides: Partial<TrainOptions<ToyTask>> = {}): TrainOptions<ToyTask> => ({
  workflow: toyTeam,
  tasks: toyTasks,
  evaluate: toyTasks,
  metrics: { correct: ({ result, task }) => (result === task.answer ? 1 : 0) },
  policies: { first: plain, second: plain },
  assign: { planner: "first", answerer: "second" },
  method: grpo({ groupSize: 8 }),
  steps: 9,
  tasksPerStep: 3,
  learningRate: { peak: 0.1, warmupSteps: 2, decay: "cosine", final: 0.01 },
  evaluateEvery: 2,
  checkpointEvery: 3,
  runsFolder,
  ...overrides,
});

const said: string[] = [];
beforeEach(() => {
  said.length = 0;
});
const reporter: Reporter = {
  ...silentReporter,
  info: (text) => said.push(text),
  warn: (text) => said.push(text),
};

const place = (...names: string[]) => join(runsFolder, ...names);
const read = (...names: string[]) => readFileSync(place(...names), "utf8");
const json = (...names: string[]) => JSON.parse(read(...names));
const weights = (run: string, step = "step-000009") =>
  ["first", "second"].flatMap((policy) =>
    ["table.f32", "first.f32", "second.f32"].map((file) =>
      readFileSync(place(run, "checkpoints", step, policy, file)),
    ),
  );

/** Copies the run's folder to `name` as it is when `step` has just been reported: what a kill would leave. */
async function image(name: string, step: number, overrides: Partial<TrainOptions<ToyTask>> = {}) {
  const copying: Reporter = {
    ...silentReporter,
    step: (view) => {
      if (view.step === step) cpSync(place(`${name}-whole`), place(name), { recursive: true });
    },
  };
  await train(toy({ ...overrides, run: `${name}-whole` }), { reporter: copying });
  rmSync(place(name, "run.lock"));
}

function expectSame(run: string, other: string) {
  expect(read(run, "metrics.jsonl")).toBe(read(other, "metrics.jsonl"));
  expect(weights(run)).toEqual(weights(other));
}

test("the same command goes on after the newest checkpoint, and all is equal", async () => {
  let sampled = 0;
  const counting = altered((policy) => {
    const { sample } = policy;
    policy.sample = (request) => {
      sampled++;
      return sample.call(policy, request);
    };
  });
  const policies = { first: counting, second: counting };
  await image("killed", 8, { policies });
  expect(readdirSync(place("killed", "journal"))).toEqual(["000007.log", "000008.log"]);
  sampled = 0;
  const events: unknown[] = [];
  await train(toy({ run: "killed", policies }), {
    reporter: { ...reporter, event: (facts) => events.push(facts) },
  });
  expectSame("killed", "killed-whole");
  expect(said.join("\n")).toContain("was not finished; it goes on after step 6");
  expect(events[0]).toMatchObject({ kind: "continued", step: 6 });
  // Steps 7 and 8 are in the journal: the evaluation after step 8, step 9
  // (3 × 8 episodes) and the last evaluation are sampled, two calls each.
  expect(sampled).toBe(2 * (24 + 3 + 3));
  const summary = json("killed", "summary.json");
  const whole = json("killed-whole", "summary.json");
  for (const name of ["before", "after", "change", "steps"]) expect(summary[name]).toEqual(whole[name]);
  expect(existsSync(place("killed", "run.lock"))).toBe(false);
  expect(readdirSync(place("killed", "journal"))).toEqual([]);
});

test("before the first checkpoint it begins anew, with what the journal has", async () => {
  await image("early", 2);
  await train(toy({ run: "early" }), { reporter });
  expectSame("early", "early-whole");
  expect(said.join("\n")).toContain("it goes on from the beginning");
});

describe("damaged checkpoints", () => {
  const damages: readonly (readonly [string, (folder: string) => void | Promise<void>])[] = [
    [
      "a changed bit in a moment of the optimiser",
      (folder) => {
        const path = join(folder, "second", "second.f32");
        const bytes = readFileSync(path);
        bytes[11]! ^= 4;
        writeFileSync(path, bytes);
      },
    ],
    ["a file cut short", (folder) => truncate(join(folder, "first", "table.f32"), 100)],
    ["a missing file", (folder) => rm(join(folder, "first", "first.f32"))],
    ["no manifest", (folder) => rm(join(folder, "manifest.json"))],
    ["a manifest that is no JSON", (folder) => truncate(join(folder, "manifest.json"), 30)],
    [
      "a changed state",
      (folder) => {
        const path = join(folder, "state.json");
        writeFileSync(path, readFileSync(path, "utf8").replace('"step": 6', '"step": 5'));
      },
    ],
  ];
  test("the newest one is passed over and the one before is taken", async () => {
    await image("base", 8);
    for (const [what, damage] of damages) {
      rmSync(place("damaged"), { recursive: true, force: true });
      cpSync(place("base"), place("damaged"), { recursive: true });
      await damage(place("damaged", "checkpoints", "step-000006"));
      said.length = 0;
      await train(toy({ run: "damaged" }), { reporter });
      expect(said.join("\n"), what).toContain("is not what was written");
      expect(said.join("\n"), what).toContain("goes on after step 3");
      expectSame("damaged", "base-whole");
    }
  });

  test("if all are, the run begins anew", async () => {
    cpSync(place("base"), place("ruined"), { recursive: true });
    for (const step of readdirSync(place("ruined", "checkpoints")))
      await rm(place("ruined", "checkpoints", step, "state.json"));
    await train(toy({ run: "ruined" }), { reporter });
    expect(said.filter((text) => text.includes("passed over"))).toHaveLength(2);
    expectSame("ruined", "base-whole");
  });

  test("metrics that are shorter than the checkpoint says are an error", async () => {
    cpSync(place("base"), place("short"), { recursive: true });
    await truncate(place("short", "metrics.jsonl"), 10);
    await expect(train(toy({ run: "short" }), { reporter })).rejects.toMatchObject({
      code: "E_RUN_CHECKPOINT",
    });
  });
});

describe("another configuration", () => {
  test("is refused with a list of what changed", async () => {
    await image("other", 4);
    const running = train(
      toy({
        run: "other",
        learningRate: 0.2,
        method: grpo({ groupSize: 4 }),
        tasks: [...toyTasks, { word: "sun", answer: "blue" }],
      }),
      { reporter },
    );
    await expect(running).rejects.toMatchObject({ code: "E_RUN_CHANGED", name: "RunFolderError" });
    await expect(running).rejects.toThrow(
      /learningRate: \{.*\} is now 0\.2.*method\.groupSize: 8 is now 4.*data\.tasks: 3 is now 4.*--fresh/s,
    );
    // Nothing was touched, and the refused folder is free again.
    await train(toy({ run: "other" }), { reporter });
    expectSame("other", "other-whole");
  });

  test("that decides nothing is not another one", async () => {
    await image("neutral", 4);
    const overrides = { concurrency: 3, maxFailureRate: 0.5, keepCheckpoints: { last: 5 }, watchdog: 9 };
    await train(toy({ run: "neutral", ...overrides }), { reporter });
    expectSame("neutral", "neutral-whole");
  });

  test("begins anew with `fresh`, and the unfinished run is kept aside", async () => {
    await image("fresh", 4);
    await train(toy({ run: "fresh", seed: 3, steps: 1 }), { reporter, fresh: true });
    expect(json("fresh", "summary.json")).toMatchObject({ seed: 3, steps: 1 });
    expect(json("fresh-1", "config.json").steps).toBe(9);
    expect(readdirSync(place("fresh-1", "checkpoints"))).toEqual(["step-000003"]);
  });
});

test("a run that was stopped goes on, whenever it was stopped", async () => {
  await train(toy({ run: "unstopped" }), { reporter });
  let sampled = 0;
  let stop = new AbortController();
  let at = 0;
  const stopping = altered((policy) => {
    const { sample } = policy;
    policy.sample = async (request) => {
      if (++sampled === at) stop.abort();
      return sample.call(policy, request);
    };
  });
  const policies = { first: stopping, second: plain };
  // The dry group has 8 such calls, the first evaluation 3, each step 24, the small evaluations 3.
  for (const calls of [4, 9, 61, 100, 241]) {
    sampled = 0;
    at = calls;
    stop = new AbortController();
    const run = `stopped-${calls}`;
    const { interrupted } = await train(toy({ run, policies }), { reporter, signal: stop.signal });
    expect(interrupted).toBe(true);
    at = 0;
    const summary = await train(toy({ run, policies }), { reporter });
    expect(summary).toMatchObject({ interrupted: false, steps: 9 });
    expectSame(run, "unstopped");
    const { before, change } = json("unstopped", "summary.json");
    expect(summary).toMatchObject({ before, change });
  }
});

test("a task that failed in the first evaluation stays out of the comparison", async () => {
  const metrics = {
    correct: ({ trajectory, task }: { trajectory: Trajectory; task: ToyTask }) =>
      trajectory.identity.step === 0 && task.word === "sky" ? Number.NaN : 1,
  };
  await image("gap", 5, { metrics, maxFailureRate: 1 });
  await train(toy({ run: "gap", metrics, maxFailureRate: 1 }), { reporter });
  const { before, change } = json("gap-whole", "summary.json");
  expect(before).toMatchObject({ n: 2, failed: 1 });
  expect(json("gap", "summary.json")).toMatchObject({ before, change });
  expectSame("gap", "gap-whole");
});

test("an error between two policies saves no mixture, and the same command goes on", async () => {
  await train(toy({ run: "sound" }), { reporter });
  let failing = true;
  const failsOnce = altered((policy) => {
    const { step } = policy;
    policy.step = async (options) => {
      if (failing && policy.version === 4) throw new Error("the power went");
      return step.call(policy, options);
    };
  });
  const policies = { first: plain, second: failsOnce };
  await expect(train(toy({ run: "mixed", policies }), { reporter })).rejects.toThrow("the power went");
  expect(said.join("\n")).toContain("step 5 failed when some policies were updated and others not");
  expect(readdirSync(place("mixed", "checkpoints"))).toEqual(["step-000003"]);
  failing = false;
  await train(toy({ run: "mixed", policies }), { reporter });
  expectSame("mixed", "sound");
});

test("failed episodes are tried again, and a corrected workflow is used from there on", async () => {
  let broken = true;
  const spoilt = altered((policy) => {
    const { sample } = policy;
    policy.sample = (request) => {
      if (broken && policy.version === 4) throw new Error("the service is down");
      return sample.call(policy, request);
    };
  });
  const policies = { first: plain, second: spoilt };
  await train(toy({ run: "served" }), { reporter });
  await expect(train(toy({ run: "down", policies }), { reporter })).rejects.toMatchObject({
    code: "E_FAILURE_RATE",
  });
  broken = false;
  await train(toy({ run: "down", policies }), { reporter });
  expectSame("down", "served");

  await image("edited", 5);
  const edited = workflow(
    "toy",
    { agents: toyTeam.agents, task: taskOf<ToyTask>() },
    async ({ task, agents, reward }) => {
      const reply = (await (agents.planner as (v: ToyTask) => Promise<unknown>)(task)) as { text: string };
      reward(reply.text === "sky" ? 1 : 0, { name: "correct" });
      return reply.text;
    },
  );
  await train(toy({ run: "edited", workflow: edited }), { reporter });
  expect(said.join("\n")).toContain("the workflow's code has changed");
  const first = JSON.parse(read("edited", "episodes", "000004.jsonl").split("\n")[0]!);
  expect(first.calls).toHaveLength(1);
  expect(json("edited", "config.json").code).not.toBe(json("edited-whole", "config.json").code);
});

describe("a run from a checkpoint of another", () => {
  test("begins with its weights and optimisers, at step 1, and says so", async () => {
    await train(toy({ run: "parent" }), { reporter });
    await train(toy({ run: "child", from: place("parent"), steps: 0 }), { reporter });
    expect(weights("child", "step-000000")).toEqual(weights("parent"));
    expect(json("child", "config.json").lineage).toMatchObject({
      checkpoint: place("parent", "checkpoints", "step-000009"),
      step: 9,
      versions: { first: 9, second: 9 },
    });
    const step6 = place("parent", "checkpoints", "step-000006");
    const summary = await train(toy({ run: "grandchild", from: step6, steps: 2 }), { reporter });
    expect(json("grandchild", "checkpoints", "step-000002", "state.json").versions).toEqual({
      first: 8,
      second: 8,
    });
    expect(summary.steps).toBe(2);
  });

  test("goes on after a kill although the other run is gone", async () => {
    await image("fork", 5, { from: place("parent") });
    cpSync(place("fork"), place("fork-early"), { recursive: true });
    cpSync(place("parent"), place("parent-kept"), { recursive: true });
    rmSync(place("parent"), { recursive: true });
    await train(toy({ run: "fork", from: place("parent") }), { reporter });
    expectSame("fork", "fork-whole");
    rmSync(place("fork-early", "checkpoints", "step-000003"), { recursive: true });
    await expect(
      train(toy({ run: "fork-early", from: place("parent") }), { reporter }),
    ).rejects.toMatchObject({ code: "E_RUN_CHECKPOINT" });
    cpSync(place("parent-kept"), place("parent"), { recursive: true });
    await train(toy({ run: "fork-early", from: place("parent") }), { reporter });
    expectSame("fork-early", "fork-whole");
  });

  test("refuses what it cannot begin from, before anything is made", async () => {
    const from = (source: string, overrides: Partial<TrainOptions<ToyTask>> = {}) =>
      train(toy({ run: "refused", from: source, ...overrides }), { reporter });
    await expect(from(place("nothing"))).rejects.toThrow(/There is no checkpoint in .*nothing/);
    await expect(from(place("refused"))).rejects.toMatchObject({ code: "E_RUN_FROM" });
    expect(existsSync(place("refused"))).toBe(false);
    const policies = { other: plain };
    await expect(from(place("parent"), { policies, assign: {} })).rejects.toThrow(
      /has no policy "other"; it has first, second/,
    );
  });
});

describe("which checkpoints stay", () => {
  const kept = (run: string) => readdirSync(place(run, "checkpoints"));

  test("the newest ones", async () => {
    await train(toy({ run: "one", checkpointEvery: 1, keepCheckpoints: { last: 1 } }), { reporter });
    expect(kept("one")).toEqual(["step-000009"]);
    await train(toy({ run: "three", checkpointEvery: 1, keepCheckpoints: { last: 3 } }), { reporter });
    expect(kept("three")).toEqual(["step-000007", "step-000008", "step-000009"]);
  });

  test("and the best ones by a metric of the evaluations", async () => {
    // Its value in the evaluation of each step: 0 before training, then of steps 1, 2, 3, …
    const values = [0, 0.1, 0.9, 0.3, 0.8, 0.2, 0.1, 0.1, 0.1];
    const scored = {
      score: ({ trajectory }: { trajectory: { identity: { step: number } } }) =>
        values[trajectory.identity.step] ?? 0,
    };
    const best = { metric: "score", count: 2 };
    const options = { checkpointEvery: 1, evaluateEvery: 1, metrics: scored };
    await train(toy({ run: "best", ...options, keepCheckpoints: { last: 1, best } }), { reporter });
    expect(kept("best")).toEqual(["step-000002", "step-000004", "step-000009"]);
    expect(json("best", "checkpoints", "step-000002", "manifest.json").scores).toEqual({ score: 0.9 });
  });

  test("by a metric that there is", async () => {
    const keepCheckpoints = { best: { metric: "f1", count: 1 } };
    await expect(train(toy({ run: "no", keepCheckpoints, evaluateEvery: 0 }), { reporter })).rejects.toThrow(
      /there are no evaluations.*there is no metric "f1"; there are correct/s,
    );
  });
});

test("parts with a state get it back", async () => {
  const counting = () => {
    const method = grpo({ groupSize: 8 });
    let groups = 0;
    return {
      ...method,
      credit: (group: Parameters<typeof method.credit>[0]) => {
        groups++;
        return method.credit(group);
      },
      state: () => ({ groups }),
      restore: (state: unknown) => {
        ({ groups } = state as { groups: number });
      },
      groups: () => groups,
    };
  };
  const memory = new MapStore();
  memory.put("seen", { times: 4 });
  await image("parts", 7, { method: counting(), memory });
  const method = counting();
  const restored = new MapStore();
  await train(toy({ run: "parts", method, memory: restored }), { reporter });
  expect(method.groups()).toBe(9 * 3);
  expect(restored.get("seen")).toEqual({ times: 4 });
  expectSame("parts", "parts-whole");

  rmSync(place("parts"), { recursive: true });
  await image("parts2", 7, { method: counting() });
  const broken = {
    ...counting(),
    restore: () => {
      throw new TypeError("what is this?");
    },
  };
  await expect(train(toy({ run: "parts2", method: broken }), { reporter })).rejects.toThrow(
    /state of "method".*cannot be restored: what is this\?/,
  );
});

test("the lock of a process whose number was given again is no lock", async () => {
  await image("locked", 4);
  writeFileSync(place("locked", "run.lock"), `${process.ppid} 1@another-boot`);
  await train(toy({ run: "locked" }), { reporter });
  expectSame("locked", "locked-whole");
});
