/**
 * @file Takes one training step of a random model and prints the peak of its memory. Run by memory-plan.test.ts,
 * on what is built: a compiler in the process would be measured, too.
 */

import { initialiseModel } from "../../../dist/engine/local/model/initialise.js";
import { decoderShapes, parameterTable } from "../../../dist/engine/local/model/parameters.js";
import { parseConfig } from "../../../dist/engine/local/model/parse-config.js";
import { FlatTensors } from "../../../dist/engine/local/model/weights.js";
import { openBackend } from "../../../dist/engine/local/ort/open.js";
import { TrainingGraphs } from "../../../dist/engine/local/training/training-graphs.js";
import { TrainingModel } from "../../../dist/engine/local/training/training-model.js";

const { config: json, microbatchTokens, sequenceTokens } = JSON.parse(process.argv[2]);
const config = parseConfig(json);
const backend = await openBackend({ threads: 2 });
const weights = new FlatTensors(backend, parameterTable(decoderShapes(config)));
initialiseModel(weights, 0);
const model = new TrainingModel(await TrainingGraphs.create(backend, config), { weights, microbatchTokens });

const sequences = microbatchTokens / sequenceTokens;
const batch = Array.from({ length: sequences }, (_, row) => ({
  tokens: Int32Array.from(
    { length: sequenceTokens },
    (_, i) => (row * 7919 + i * 31) % config.vocabularySize,
  ),
  mask: new Uint8Array(sequenceTokens).fill(1, 1),
}));
for (let round = 0; round < 2; round++) {
  const { logprobs } = model.forward(batch, { retain: true, entropy: true });
  model.backward(batch, { logprobs: logprobs.map(() => -1 / logprobs.length) });
  model.step({ learningRate: 1e-4 });
}
// maxRSS is in kilobytes.
console.log(JSON.stringify({ peakBytes: process.resourceUsage().maxRSS * 1024 }));
