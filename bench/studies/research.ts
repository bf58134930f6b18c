/**
 * @file M-GRPO against frozen sub-agents and against GRPO with one policy, on the research example: a lead that decides how
 * many sub-agents it spawns. The same number of sampled tokens, those of frozen sub-agents included.
 */

import { researchRecipe, type Variant, variants } from "../../examples/research/recipe.ts";
import { researchTasks } from "../../examples/research/tasks.ts";
import type { Arm, Outcome, Study } from "./study.ts";
import { trained } from "./trained.ts";

const budget = 100_000;
const rate = 1e-4;

function arm(variant: Variant): Arm {
  return {
    name: variant,
    line: variants[variant],
    settings: { variant, budget, rate },
    run: async (seed, folder): Promise<Outcome> => {
      const config = researchRecipe(variant, {
        seed,
        tokenBudget: budget,
        steps: 10_000,
        // How many steps the budget makes differs, so the rate does not fall.
        learningRate: { peak: rate, warmupSteps: 5 },
        evaluate: researchTasks("test", 240, 1),
        evaluateEvery: 0,
      });
      const { checkpoint: _, ...outcome } = await trained(config, ["f1", "em"], folder);
      return outcome;
    },
  };
}

export const study: Study = {
  name: "research",
  title: "M-GRPO on the research example",
  measures: ["f1", "em"],
  against: { arm: "m-grpo", measures: ["f1"] },
  about: "Held-out F1 and exact match of 240 questions, greedy.",
  arms: (Object.keys(variants) as Variant[]).map(arm),
};
