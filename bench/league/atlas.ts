/**
 * @file Atlas: the recipe of examples/atlas on the local engine, with a sixth of its budget and a third of its test. A
 * planner, a reader and an answerer share one small language model and answer questions by searching.
 */

import { local } from "troupe/local";
import { atlasRecipe, starter } from "../../examples/atlas/recipe.ts";
import { type AtlasTask, atlasTasks } from "../../examples/atlas/tasks.ts";
import { leagueTask } from "./league-task.ts";

export const atlas = leagueTask<AtlasTask>(
  {
    name: "atlas",
    title: "Atlas: questions answered by searching",
    score: "f1",
    budget: 40_000,
    episodesPerStep: 128,
    tokensPerEpisode: 37,
    minibatches: 4,
    // A run takes ten times as long as one of a small task.
    tuningSeeds: [101],
    rates: [5e-5, 1e-4, 2e-4],
    evaluateEvery: 4,
  },
  (valueHeads) => {
    const { workflow, metrics, betas, maxGradientNorm } = atlasRecipe({ policies: {} });
    return {
      workflow,
      // What kind of question it is, for methods that normalise by it.
      tasks: atlasTasks("train", 2000, 1).map((task) => ({ ...task, dataset: task.kind })),
      evaluate: atlasTasks("test", 120, 1),
      evaluateSample: 120,
      metrics: metrics!,
      policies: { small: local(starter, valueHeads > 0 ? { valueHead: true } : {}) },
      betas: betas!,
      maxGradientNorm: maxGradientNorm!,
    };
  },
);
