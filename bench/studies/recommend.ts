/**
 * @file MixRAGRec's team trained by MMAPO, against the same team with one retrieval expert for all tasks: with the weights
 * of the same training, and with aligner and recommender trained for that expert alone.
 */

import { evaluatePolicies, scriptedPolicy, silentReporter, type TrainOptions } from "troupe";
import { type Expert, experts, type RecommendTask, recommendTasks } from "../../examples/recommend/tasks.ts";
import config from "../../examples/recommend/train.ts";
import type { Arm, Measures, Outcome, Study } from "./study.ts";
import { trained } from "./trained.ts";

const steps = 40;
const heldOut = 300;

const fixed = (expert: Expert) => scriptedPolicy({ answer: () => expert });

function optionsOf(seed: number, selector: Expert | undefined): TrainOptions<RecommendTask> {
  return {
    ...config,
    policies: { ...config.policies, ...(selector === undefined ? {} : { selector: fixed(selector) }) },
    evaluate: recommendTasks("test", heldOut, 1),
    evaluateEvery: 10,
    evaluateSample: 100,
    steps,
    seed,
    run: "recommend",
  };
}

/** Accuracy with each expert for all tasks, under the weights of a checkpoint. */
async function withEach(options: TrainOptions<RecommendTask>, checkpoint: string): Promise<Measures> {
  const found: Record<string, number> = {};
  for (const expert of experts) {
    const policies = { ...options.policies, selector: fixed(expert) };
    const { means } = await evaluatePolicies(
      { ...options, policies },
      { checkpoint, reporter: silentReporter },
    );
    found[`only ${expert}`] = means.accuracy!;
  }
  return found;
}

function arm(name: string, line: string, selector: Expert | undefined): Arm {
  return {
    name,
    line,
    settings: { selector: selector ?? "trained", steps, heldOut, method: config.method.settings },
    run: async (seed, folder): Promise<Outcome> => {
      const options = optionsOf(seed, selector);
      const { checkpoint, ...outcome } = await trained(options, ["accuracy", "named", "needed"], folder);
      if (selector !== undefined) return outcome;
      return { ...outcome, after: { ...outcome.after, ...(await withEach(options, checkpoint)) } };
    },
  };
}

export const study: Study = {
  name: "recommend",
  title: "MMAPO on the recommendation example",
  measures: ["accuracy", "needed", "only none", "only triples", "only subgraph", "only connected"],
  against: { arm: "mmapo", measures: ["accuracy"] },
  along: "accuracy",
  about:
    "Held-out accuracy (chance 0.05); needed: how often the expert that the task was made for is chosen; only x: accuracy of the same trained weights with expert x for all tasks.",
  arms: [
    arm("mmapo", "selector, aligner and recommender trained together", undefined),
    arm("none for all", "expert 1 for all tasks; aligner and recommender trained", "none"),
    arm("triples for all", "expert 2 for all tasks; aligner and recommender trained", "triples"),
    arm("subgraph for all", "expert 3 for all tasks; aligner and recommender trained", "subgraph"),
    arm("connected for all", "expert 4 for all tasks; aligner and recommender trained", "connected"),
  ],
};
