/** @file `troupe train examples/puzzles/train.ts`: one policy, GRPO on whole attempts. About a minute on two cores. */

import { grpo, trainConfig } from "troupe";
import { puzzles } from "./puzzles.ts";
import { starter } from "./starters.ts";
import { metrics, solve } from "./team.ts";

export default trainConfig({
  workflow: solve,
  tasks: puzzles("train", 2000),
  evaluate: puzzles("test", 200),
  metrics,
  evaluation: { decoding: "sampled" },
  gradingFields: ["hiddenTests"],
  policies: { small: starter("small") },
  method: grpo({ groupSize: 8 }),
  steps: 30,
  tasksPerStep: 16,
  learningRate: 3e-4,
  betas: [0.9, 0.95],
  evaluateEvery: 10,
  recordEpisodesEvery: 10,
});
