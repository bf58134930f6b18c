/** @file The research run, less its method and the question of who is trained: that is what comparisons differ in. */

import { grpo, type TrainConfig, type TrainOptions, trainConfig } from "troupe";
import { local } from "troupe/local";
import { mGrpo } from "troupe/methods";
import { starter } from "../atlas/recipe.ts";
import { mainTerm, type ResearchRewards, researchRewards } from "./rewards.ts";
import { type ResearchTask, researchTasks } from "./tasks.ts";
import { lead, metrics } from "./team.ts";

export const variants = {
  /** Lead and sub-agents learn, each on weights of their own. */
  "m-grpo": "M-GRPO",
  /** Sub-agents stay as they were. */
  "frozen-sub": "M-GRPO, sub-agents frozen",
  /** One set of weights in all roles, rewarded with R_M alone. */
  single: "GRPO, one policy",
} as const;
export type Variant = keyof typeof variants;

/** K. */
const groupSize = 8;
/** d: what three sub-agents at most leave of the paper's 8. */
const size = 3;
const assign = { planner: "main", answerer: "main", reader: "sub" };

function learning(variant: Variant, rewards: ResearchRewards) {
  if (variant === "single") {
    const policies = { small: local(starter) };
    return { policies, rewards: mainTerm, method: grpo({ groupSize }) };
  }
  const sub = variant === "frozen-sub" ? local(starter, { trainable: false }) : local(starter);
  return {
    policies: { main: local(starter), sub },
    assign,
    rewards: researchRewards(rewards),
    method: mGrpo({ groupSize, size }),
  };
}

/** 40 steps of 12 questions × 8 episodes: a minute or two on two cores, reckoned from nine steps. */
export const researchRecipe = (
  variant: Variant = "m-grpo",
  changes: Partial<TrainOptions<ResearchTask>> & ResearchRewards = {},
): TrainConfig<ResearchTask> => {
  const { sub = "paper", ...options } = changes;
  return trainConfig({
    workflow: lead,
    tasks: researchTasks("train", 2000, 1),
    evaluate: researchTasks("test", 360, 1),
    metrics,
    ...learning(variant, { sub }),
    run: `research-${variant}`,
    steps: 40,
    tasksPerStep: 12,
    learningRate: { peak: 2e-4, warmupSteps: 5, decay: "linear", final: 2e-5 },
    betas: [0.9, 0.95],
    evaluateEvery: 10,
    evaluateSample: 60,
    recordEpisodesEvery: 10,
    ...options,
  });
};
