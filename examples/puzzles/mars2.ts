/**
 * @file `troupe train examples/puzzles/mars2.ts`: MARS². Two policies of different size and tokenizer grow one search tree a
 * puzzle and each learns from its own nodes.
 */

import { trainConfig } from "troupe";
import { mars2 } from "troupe/methods";
import { marsSearch } from "troupe/search";
import { puzzles } from "./puzzles.ts";
import { starter } from "./starters.ts";
import { metrics, more, solve } from "./team.ts";

const teams = { small: { coder: "small" }, large: { coder: "large" } };

export default trainConfig({
  workflow: solve,
  tasks: puzzles("train", 2000),
  evaluate: puzzles("test", 200),
  metrics,
  evaluation: { decoding: "sampled" },
  policies: { small: starter("small"), large: starter("large") },
  teams,
  search: marsSearch({ teams, more, nodes: 8 }),
  // The search decides who samples how much; an update waits for 32 calls.
  buffer: 32,
  method: mars2({ groupSize: 8 }),
  steps: 30,
  tasksPerStep: 16,
  learningRate: 3e-4,
  betas: [0.9, 0.95],
  evaluateEvery: 10,
  recordEpisodesEvery: 10,
  run: "puzzles-mars2",
});
