/** @file The run that is trained apart in tests: two tabular policies, and a method that learns between steps. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { grpo } from "../../../src/methods/grpo.ts";
import { tabularPolicy } from "../../../src/testing/tabular-policy.ts";
import type { TrainOptions } from "../../../src/trainer/config.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "../toy-team.ts";

export const policyNames = ["first", "second"] as const;

export const apartRun = (
  runsFolder: string,
  overrides: Partial<TrainOptions<ToyTask>> = {},
): TrainOptions<ToyTask> => ({
  workflow: toyTeam,
  tasks: toyTasks,
  evaluate: toyTasks,
  metrics: { correct: ({ result, task }) => (result === task.answer ? 1 : 0) },
  policies: { first: tabularPolicy({ words }), second: tabularPolicy({ words }) },
  assign: { planner: "first", answerer: "second" },
  method: grpo({ groupSize: 8 }),
  steps: 6,
  tasksPerStep: 3,
  learningRate: { peak: 0.1, warmupSteps: 2, decay: "cosine", final: 0.01 },
  evaluateEvery: 2,
  checkpointEvery: 2,
  runsFolder,
  run: "apart",
  ...overrides,
});

/** Weights and optimisers of the last checkpoint, and everything else that the seed decides. */
export function outcome(run: string, steps = 6) {
  const checkpoint = join(run, "checkpoints", `step-${String(steps).padStart(6, "0")}`);
  return {
    metrics: readFileSync(join(run, "metrics.jsonl"), "utf8"),
    weights: policyNames.flatMap((policy) =>
      ["table.f32", "first.f32", "second.f32"].map((file) =>
        readFileSync(join(checkpoint, policy, file)).toString("base64"),
      ),
    ),
  };
}
