/**
 * @file Tree-GRPO's sampler against chains, and ways of giving credit over its trees, on atlas: a planner, a reader and an
 * answerer share one model. The same number of sampled tokens; what branches share was sampled once and counts once.
 */

import type { TrainOptions } from "troupe";
import { local } from "troupe/local";
import {
  type AdvantagePart,
  broadcast,
  type CreditAssigner,
  clipped,
  compose,
  groupAdvantage,
  grpo,
  type Method,
  searchTrees,
  treeGrpoAdvantage,
  treeMean,
} from "troupe/methods";
import { episodeTurns, treeGrpo } from "troupe/search";
import { atlasRecipe, starter } from "../../examples/atlas/recipe.ts";
import { type AtlasTask, atlasTasks } from "../../examples/atlas/tasks.ts";
import type { Arm, Outcome, Study } from "./study.ts";
import { trained } from "./trained.ts";

const budget = 40_000;
/** Chosen for GRPO in the league. */
const rate = 1e-4;
const minibatches = 4;
/** M chains a task, N continuations of drawn turns for each: eight leaves, as there are eight chains. */
const shape = { trees: 2, expansions: 3, rounds: 1 };

function arm(name: string, line: string, method: () => Method, tree: boolean): Arm {
  const settings = { method: method().settings, tree, shape, budget, rate };
  return {
    name,
    line,
    settings,
    run: async (seed, folder): Promise<Outcome> => {
      const { workflow, metrics, betas } = atlasRecipe({ policies: {} });
      const options: TrainOptions<AtlasTask> = {
        workflow,
        tasks: atlasTasks("train", 2000, 1),
        evaluate: atlasTasks("test", 180, 1),
        metrics: metrics!,
        policies: { small: local(starter) },
        ...(tree ? { search: { plan: () => treeGrpo({ ...shape, turns: episodeTurns }) } } : {}),
        method: { ...method(), updates: { epochs: 1, minibatches } },
        steps: 400,
        tokenBudget: budget,
        tasksPerStep: 16,
        learningRate: rate,
        betas: betas!,
        evaluateEvery: 0,
        seed,
        run: "tree-grpo",
      };
      const { checkpoint: _, ...outcome } = await trained(options, ["f1", "em"], folder);
      return outcome;
    },
  };
}

const over = (credit: CreditAssigner, advantage: AdvantagePart = groupAdvantage()): Method =>
  compose({ name: "trees", sampler: searchTrees(8), credit, advantage, loss: clipped() });

export const study: Study = {
  name: "tree-grpo",
  title: "Trees of turns against chains on atlas",
  measures: ["f1", "em"],
  against: { arm: "chains", measures: ["f1"] },
  about: "Held-out F1 and exact match of 180 questions, greedy.",
  arms: [
    arm("chains", "GRPO, eight episodes a question", () => grpo({ groupSize: 8 }), false),
    arm("tree-grpo", "trees, Tree-GRPO's advantage", () => over(broadcast(), treeGrpoAdvantage()), true),
    arm("tree mean", "trees, a call is worth the mean of what went through it", () => over(treeMean()), true),
    arm("broadcast", "trees, a call is worth its own episode", () => over(broadcast()), true),
  ],
};
