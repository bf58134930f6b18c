/** @file `troupe train examples/atlas/train.ts`: one policy for all three agents. Minutes on two cores. */

import { local } from "troupe/local";
import { atlasRecipe, starter } from "./recipe.ts";

export default atlasRecipe({
  policies: { small: local(starter) },
  assign: { planner: "small", reader: "small", answerer: "small" },
});
