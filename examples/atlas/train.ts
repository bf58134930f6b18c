/** @file `troupe train examples/atlas/train.ts`: reinforcement learning of the atlas team, minutes on two cores. */

import { fileURLToPath } from "node:url";
import { grpo, trainConfig } from "troupe";
import { local } from "troupe/local";
import { atlasTasks } from "./tasks.ts";
import { atlas, metrics } from "./team.ts";

const starter = fileURLToPath(new URL("assets/atlas-small", import.meta.url));

export default trainConfig({
  workflow: atlas,
  tasks: atlasTasks("train", 2000, 1),
  evaluate: atlasTasks("test", 360, 1),
  metrics,
  policies: { small: local(starter) },
  assign: { planner: "small", reader: "small", answerer: "small" },
  method: grpo({ groupSize: 8 }),
  steps: 80,
  tasksPerStep: 12,
  learningRate: { peak: 3e-4, warmupSteps: 5 },
  betas: [0.9, 0.95],
  maxGradientNorm: 1,
  evaluateEvery: 20,
  evaluateSample: 60,
});
