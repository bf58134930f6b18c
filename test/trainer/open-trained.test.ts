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

test("a checkpoint without a policy is refused, and what was opened is closed", async () => {
  const closed: string[] = [];
  const other = { ...options(closed), assign: { planner: "a", answerer: "unused" } };
  await expect(openPoliciesOf(other, { checkpoint: join(runsFolder, "opened") })).rejects.toMatchObject({
    code: "E_RUN_CHECKPOINT",
  });
  expect(closed.sort()).toEqual(["a", "unused"]);
});
