/** @file `troupe train examples/research/train.ts`: M-GRPO on a lead and the sub-agents that it spawns. */

import { researchRecipe } from "./recipe.ts";

export default researchRecipe();
