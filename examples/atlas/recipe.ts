/** @file The recipe, less the question of which agent runs on which weights: that is what the train files differ in. */

import { fileURLToPath } from "node:url";
import { grpo, type TrainConfig, type TrainOptions, trainConfig } from "troupe";
import { type AtlasTask, atlasTasks } from "./tasks.ts";
import { atlas, metrics } from "./team.ts";

/** Another folder made by pretrain.ts takes the starter's place, to compare the two. */
export const starter =
  process.env.ATLAS_MODEL ?? fileURLToPath(new URL("assets/atlas-small", import.meta.url));

type Sharing = Pick<TrainOptions<AtlasTask>, "policies" | "assign">;

export const atlasRecipe = (sharing: Sharing, run = "atlas"): TrainConfig<AtlasTask> =>
  trainConfig({
    workflow: atlas,
    tasks: atlasTasks("train", 2000, 1),
    evaluate: atlasTasks("test", 360, 1),
    metrics,
    ...sharing,
    run,
    method: grpo({ groupSize: 8 }),
    steps: 60,
    tasksPerStep: 16,
    learningRate: { peak: 2e-4, warmupSteps: 5, decay: "linear", final: 2e-5 },
    betas: [0.9, 0.95],
    maxGradientNorm: 1,
    evaluateEvery: 15,
    evaluateSample: 60,
    // Every step's episodes would be some 50 MB.
    recordEpisodesEvery: 10,
  });
