/**
 * @file `troupe train examples/puzzles/hacpo.ts`: HACPO. Two policies of different size and tokenizer answer the same
 * puzzles and learn from each other's answers; afterwards each works alone.
 */

import { trainConfig } from "troupe";
import { hacpo } from "troupe/methods";
import { puzzles } from "./puzzles.ts";
import { starter } from "./starters.ts";
import { metrics, solve } from "./team.ts";

export default trainConfig({
  workflow: solve,
  tasks: puzzles("train", 2000),
  evaluate: puzzles("test", 200),
  metrics,
  evaluation: { decoding: "sampled" },
  policies: { small: starter("small"), large: starter("large") },
  teams: { small: { coder: "small" }, large: { coder: "large" } },
  // The printed 3e-4 is for answers of hundreds of tokens; these have a dozen.
  method: hacpo({ groupSize: 8, clipLow: 0.2, clipHigh: 0.28 }),
  steps: 30,
  tasksPerStep: 8,
  learningRate: 3e-4,
  betas: [0.9, 0.95],
  evaluateEvery: 10,
  recordEpisodesEvery: 10,
  run: "puzzles-hacpo",
});
