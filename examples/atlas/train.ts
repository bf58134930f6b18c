/** @file `troupe train examples/atlas/train.ts`: reinforcement learning of the atlas team, minutes on two cores. */

import { fileURLToPath } from "node:url";
import { grpo, trainConfig } from "troupe";
import { local } from "troupe/local";
import { atlasTasks } from "./tasks.ts";
import { atlas, metrics } from "./team.ts";

/** Another folder made by pretrain.ts takes the starter's place, to compare the two. */
const starter = process.env.ATLAS_MODEL ?? fileURLToPath(new URL("assets/atlas-small", import.meta.url));

export default trainConfig({
  workflow: atlas,
  tasks: atlasTasks("train", 2000, 1),
  evaluate: atlasTasks("test", 360, 1),
  metrics,
  policies: { small: local(starter) },
  assign: { planner: "small", reader: "small", answerer: "small" },
  method: grpo({ groupSize: 8 }),
  steps: 60,
  tasksPerStep: 16,
  learningRate: { peak: 2e-4, warmupSteps: 5, decay: "linear", final: 2e-5 },
  betas: [0.9, 0.95],
  maxGradientNorm: 1,
  evaluateEvery: 15,
  evaluateSample: 60,
  // Every step's episodes would be some 50 MB.
  recordEpisodesEvery: 10,
});
