/** @file The atlas recipe with one set of weights for the planner, and one that the reader and the answerer share. */

import { local } from "troupe/local";
import { atlasRecipe, starter } from "../recipe.ts";

export default atlasRecipe(
  {
    policies: { plans: local(starter), reads: local(starter) },
    assign: { planner: "plans", reader: "reads", answerer: "reads" },
  },
  "atlas-partial",
);
