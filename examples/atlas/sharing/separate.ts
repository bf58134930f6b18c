/** @file The atlas recipe with weights of its own for each agent. */

import { local } from "troupe/local";
import { atlasRecipe, starter } from "../recipe.ts";

export default atlasRecipe(
  {
    policies: { planner: local(starter), reader: local(starter), answerer: local(starter) },
    assign: { planner: "planner", reader: "reader", answerer: "answerer" },
  },
  "atlas-separate",
);
