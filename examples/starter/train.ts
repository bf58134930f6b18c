/** @file `npx troupe train train.ts`: which weights the agents run on, and how they are trained. */

import { fileURLToPath } from "node:url";
import { exactMatch, grpo, jsonl, tokenF1, trainConfig } from "troupe";
import { local } from "troupe/local";
import { type Task, team } from "./team.ts";

export default trainConfig({
  workflow: team,
  tasks: jsonl<Task>(new URL("tasks.jsonl", import.meta.url)),
  evaluate: jsonl<Task>(new URL("held-out.jsonl", import.meta.url)),
  // An evaluation in which an agent was shown the answer would end with an error.
  gradingFields: ["answer"],
  metrics: {
    f1: ({ result, task }) => tokenF1(String(result), task.answer),
    em: ({ result, task }) => exactMatch(String(result), task.answer),
  },
  policies: { small: local(fileURLToPath(new URL("model", import.meta.url))) },
  method: grpo({ groupSize: 8 }),
  steps: 20,
  tasksPerStep: 8,
  learningRate: { peak: 2e-4, warmupSteps: 2, decay: "linear", final: 2e-5 },
  betas: [0.9, 0.95],
});
