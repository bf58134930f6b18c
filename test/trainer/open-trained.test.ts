/** Policies of a run for what comes after it: the weights of its checkpoint, and nothing left open. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { key } from "../../src/random/stream.ts";
import { type TabularPolicy, tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { openPoliciesOf } from "../../src/trainer/open-trained.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "./toy-team.ts";

let runsFolder: string;
beforeAll(async () => {
  runsFolder = await mkdtemp(join(tmpdir(), "troupe-open-"));
});
afterAll(() => rm(runsFolder, { recursive: true, force: true }));

const options = (closed: string[] = []): TrainOptions<ToyTask> => {
  const spec = tabularPolicy({ words });
  const counted = {
    ...spec,
    open: async (context: Parameters<typeof spec.open>[0]) => {
      const policy = await spec.open(context);
      policy.close = async () => {
        closed.push(context.name);
      };
      return policy;
    },
  };
  return {
    workflow: toyTeam,
    tasks: toyTasks,
    policies: { a: counted, b: counted, unused: counted },
    assign: { planner: "a", answerer: "b" },
    method: grpo({ groupSize: 4 }),
    steps: 3,
    learningRate: 0.1,
    evaluateEvery: 0,
    runsFolder,
    run: "opened",
  };
};
const draw = async (policy: unknown) => {
  const { tokens, logprobs } = await (policy as TabularPolicy).sample({
    prompt: Int32Array.of(2, 8),
    maxTokens: 1,
    key: key("draw"),
  });
  return [...tokens, ...logprobs];
};
const forward = async (policy: unknown) => {
  const all = words.flatMap((_, i) => words.map((__, j) => Int32Array.of(2 + i, 2 + j, 2)));
  const sequences = all.map((tokens) => ({ tokens, mask: Uint8Array.of(0, 0, 1) }));
  return [...(await (policy as TabularPolicy).forward(sequences)).logprobs];
};

test("they are those of the checkpoint, or of the engines, and close together", async () => {
  await train(options(), { reporter: silentReporter });
  const closed: string[] = [];
  const trained = await openPoliciesOf(options(closed), { checkpoint: join(runsFolder, "opened") });
  const fresh = await openPoliciesOf(options());
  expect([...trained.policies.keys()].sort()).toEqual(["a", "b"]);
  expect(trained.checkpoint?.state.step).toBe(3);
  expect(trained.policies.get("b")!.version).toBe(trained.checkpoint!.state.versions.b);
  expect(fresh.checkpoint).toBeUndefined();
  expect(fresh.policies.get("a")!.version).toBe(0);
  expect(await draw(trained.policies.get("a"))).not.toEqual(await draw(fresh.policies.get("a")));
  await trained.close();
  expect(closed.sort()).toEqual(["a", "b"]);
});

test("each has its own weights, a judge has its own as they were opened, and a frozen one needs none", async () => {
  await train({ ...options(), run: "judged" }, { reporter: silentReporter });
  const checkpoint = join(runsFolder, "judged");
  const spec = tabularPolicy({ words });
  const frozen = {
    ...spec,
    open: async (context: Parameters<typeof spec.open>[0]) => {
      const { backward: _, ...policy } = await spec.open(context);
      return { ...policy, close: async () => {} } as never;
    },
  };
  const rewards = { name: "asks", needs: { policies: ["unused"] }, score: async () => [] };
  const { policies } = options();
  const judged = await openPoliciesOf({ ...options(), rewards } as never, { checkpoint });
  expect([...judged.policies.keys()].sort()).toEqual(["a", "b", "unused"]);
  expect(judged.policies.get("unused")!.version).toBe(0);
  const table = async (name: string) => {
    const path = join(judged.checkpoint!.path, name);
    const policy = await spec.open({ name, seed: 0 });
    await policy.restore(path);
    return forward(policy);
  };
  for (const name of ["a", "b"])
    expect(await forward(judged.policies.get(name)), name).toEqual(await table(name));
  expect(await table("a")).not.toEqual(await table("b"));
  const team = {
    ...options(),
    policies: { ...policies, c: frozen },
    assign: { planner: "a", answerer: "c" },
  };
  const mixed = await openPoliciesOf(team, { checkpoint });
  expect(mixed.policies.get("a")!.version).toBe(judged.policies.get("a")!.version);
  expect([...mixed.policies.keys()]).toEqual(["a", "c"]);
});

test("a checkpoint without a policy is refused, and what was opened is closed", async () => {
  const closed: string[] = [];
  const other = { ...options(closed), assign: { planner: "a", answerer: "unused" } };
  await expect(openPoliciesOf(other, { checkpoint: join(runsFolder, "opened") })).rejects.toMatchObject({
    code: "E_RUN_CHECKPOINT",
  });
  expect(closed.sort()).toEqual(["a", "unused"]);
});
