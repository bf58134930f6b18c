/**
 * @file `troupe train examples/recommend/train.ts`: MixRAGRec's three agents trained together by MMAPO. The selector is a
 * small network, aligner and recommender are adapters over one frozen starter.
 */

import { fileURLToPath } from "node:url";
import { trainConfig } from "troupe";
import { choicePolicy, local } from "troupe/local";
import { mmapo } from "troupe/methods";
import { informationGain } from "troupe/rewards";
import { experts, type RecommendTask, recommendTasks } from "./tasks.ts";
import { metrics, promptWithout, questionOf, recommend } from "./team.ts";

/** Another folder made by pretrain.ts takes the starter's place. */
export const starter =
  process.env.RECOMMEND_MODEL ?? fileURLToPath(new URL("assets/recommend-small", import.meta.url));

const adapter = {
  lora: {
    rank: 8, // MixRAGRec
    alpha: 16, // MixRAGRec
    targets: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
  },
  // A run asks it of all its policies where one method needs it; the recommender's is not trained.
  valueHead: true,
} as const;

export const policies = {
  selector: choicePolicy({ choices: experts, valueHead: true }),
  aligner: local(starter, adapter),
  recommender: local(starter, adapter),
};

export default trainConfig({
  workflow: recommend,
  tasks: recommendTasks("train", 4000, 1),
  evaluate: recommendTasks("test", 400, 1),
  metrics,
  policies,
  assign: { selector: "selector", aligner: "aligner", recommender: "recommender" },
  method: mmapo({ options: ({ result }) => questionOf(result) }),
  rewards: informationGain<RecommendTask>("gain", {
    policy: "recommender",
    recommender: "recommender",
    // The recommender learns from the right letter, not from its reward; every agent must have one.
    agents: ["selector", "aligner", "recommender"],
    question: ({ result }) => questionOf(result),
    baseline: ({ task }) => promptWithout(task),
    // MixRAGRec has 0.2. At that weight this small recommender's divergence, 1 to 3 nats, is worth more than being right,
    // and the team learned to confuse it (README).
    gainWeight: 0.02,
    logOptions: false,
  }),
  steps: 40,
  tasksPerStep: 64, // MixRAGRec's batch
  learningRate: 3e-4,
  // MixRAGRec has 3e-4 for the selector, over 150 epochs.
  optimizers: { selector: { learningRate: 3e-3, maxGradientNorm: 0.5 } },
  betas: [0.9, 0.95],
  evaluateEvery: 15,
  evaluateSample: 80,
  recordEpisodesEvery: 10,
});
