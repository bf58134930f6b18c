/**
 * @file A run of two policies for crash tests, in a process of its own: `node --import jiti/register two-policies.ts
 * <runs folder> [model folder]`. With a model folder both policies are local ones, else tables. Calls and updates take a
 * little time, so that kills land inside.
 */

import { setTimeout as sleep } from "node:timers/promises";
import type { TrainablePolicy } from "../../../src/engine/policy.ts";
import type { PolicySpec } from "../../../src/engine/policy-spec.ts";
import { grpo } from "../../../src/methods/grpo.ts";
import { tabularPolicy } from "../../../src/testing/tabular-policy.ts";
import { silentReporter } from "../../../src/trainer/reporter.ts";
import { train } from "../../../src/trainer/train.ts";
import { agent } from "../../../src/workflow/agent.ts";
import { taskOf } from "../../../src/workflow/task-schema.ts";
import { workflow } from "../../../src/workflow/workflow.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "../toy-team.ts";
import { reflect, rememberingMethod } from "./remembering-method.ts";

const [runsFolder = "runs", model] = process.argv.slice(2);

function slow(spec: PolicySpec<TrainablePolicy>): PolicySpec<TrainablePolicy> {
  return {
    ...spec,
    open: async (context) => {
      const policy = await spec.open(context);
      const { sample, step } = policy;
      policy.sample = async (request) => {
        // Longer for some than for others: episodes end out of order.
        await sleep(1 + (request.key[0] % 8));
        return sample.call(policy, request);
      };
      policy.step = async (options) => {
        await sleep(5);
        return step.call(policy, options);
      };
      return policy;
    },
  };
}

const common = {
  tasks: toyTasks,
  evaluate: toyTasks,
  assign: { planner: "first", answerer: "second" },
  evaluateEvery: 2,
  checkpointEvery: 2,
  runsFolder,
  run: "crash",
};

const control = { reporter: { ...silentReporter, info: console.log, warn: console.log } };

if (model === undefined) {
  await train(
    {
      ...common,
      workflow: toyTeam,
      metrics: { correct: ({ result, task }) => (result === task.answer ? 1 : 0) },
      policies: { first: slow(tabularPolicy({ words })), second: slow(tabularPolicy({ words })) },
      method: rememberingMethod(8),
      reflect,
      steps: 7,
      tasksPerStep: 3,
      learningRate: { peak: 0.1, warmupSteps: 2, decay: "linear", final: 0.02 },
      keepCheckpoints: { last: 2, best: { metric: "correct", count: 1 } },
    },
    control,
  );
} else {
  // Only here: it takes its time to load.
  const { local } = await import("../../../src/engine/local/index.ts");
  const planner = agent("planner", { prompt: (v: ToyTask) => `Question: ${v.word}\nAnswer:`, maxTokens: 6 });
  const answerer = agent("answerer", { prompt: (v: { text: string }) => `Text: ${v.text}\n`, maxTokens: 6 });
  const letters = workflow(
    "letters",
    { agents: { planner, answerer }, task: taskOf<ToyTask>() },
    async ({ task, agents, reward }) => {
      const plan = await agents.planner(task);
      const { text } = await agents.answerer({ text: plan.text });
      reward([...`${plan.text}${text}`].filter((letter) => letter === "e").length / 8);
      return text;
    },
  );
  await train(
    {
      ...common,
      workflow: letters,
      policies: { first: local(model, { threads: 1 }), second: local(model, { threads: 1 }) },
      method: grpo({ groupSize: 4 }),
      steps: 5,
      tasksPerStep: 2,
      learningRate: 1e-2,
    },
    control,
  );
}
