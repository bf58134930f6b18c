/** @file The atlas recipe with a LoRA adapter for each agent over one frozen base. */

import { local } from "troupe/local";
import { atlasRecipe, starter } from "../recipe.ts";

const adapter = () =>
  local(starter, {
    lora: {
      rank: 8,
      alpha: 16,
      targets: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    },
  });

const recipe = atlasRecipe(
  {
    policies: { planner: adapter(), reader: adapter(), answerer: adapter() },
    assign: { planner: "planner", reader: "reader", answerer: "answerer" },
  },
  "atlas-adapters",
);

/** Adapters start from nothing and want larger steps than whole weights: ten times, as is usual. */
export default { ...recipe, learningRate: { peak: 2e-3, warmupSteps: 5, decay: "linear", final: 2e-4 } };
