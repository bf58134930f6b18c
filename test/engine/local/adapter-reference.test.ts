/** @file A PEFT adapter over its base, end to end: the engine's log-probs equal PEFT's (float64). */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AdapterFolder, ModelFolder } from "../../../src/engine/local/checkpoint/index.ts";
import { adapterShapes, decoderShapes, parameterTable } from "../../../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../../../src/engine/local/model/weights.ts";
import type { OrtBackend } from "../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../src/engine/local/ort/open.ts";
import { TrainingGraphs } from "../../../src/engine/local/training/training-graphs.ts";
import { TrainingModel } from "../../../src/engine/local/training/training-model.ts";

const fixture = (path: string) => fileURLToPath(new URL(`../../fixtures/${path}`, import.meta.url));
const reference: { readonly tokens: readonly number[]; readonly logits: readonly (readonly number[])[] } =
  JSON.parse(readFileSync(fixture("adapters/llama-lora.json"), "utf8"));

let backend: OrtBackend;
beforeAll(async () => {
  backend = await openBackend({ threads: 1 });
});
afterAll(() => backend.dispose());

/** log softmax of each row at the token that follows. */
function expected(): number[] {
  return reference.tokens.slice(1).map((token, i) => {
    const row = reference.logits[i]!;
    const peak = Math.max(...row);
    return row[token]! - peak - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - peak), 0));
  });
}

async function logprobs(adapted: boolean): Promise<Float32Array> {
  const base = await ModelFolder.open(fixture("models/llama"));
  const adapter = await AdapterFolder.open(fixture("adapters/llama-lora"), base.config);
  const weights = new FlatTensors(backend, parameterTable(decoderShapes(base.config)));
  const lora = new FlatTensors(backend, parameterTable(adapterShapes(base.config, adapter.lora)));
  await base.readWeights(weights.table, weights.flat);
  if (adapted) await adapter.readWeights(lora.table, lora.flat);
  const graphs = await TrainingGraphs.create(backend, base.config, { lora: adapter.lora });
  const model = new TrainingModel(graphs, { weights, adapter: lora });
  const tokens = Int32Array.from(reference.tokens);
  const result = model.forward([{ tokens, mask: new Uint8Array(tokens.length).fill(1, 1) }]);
  model.dispose();
  graphs.dispose();
  for (const tensors of [weights, lora]) tensors.dispose();
  await Promise.all([base.close(), adapter.close()]);
  return result.logprobs;
}

test("log-probs with the adapter equal PEFT's", async () => {
  const wanted = expected();
  const scale = Math.max(...wanted.map(Math.abs));
  (await logprobs(true)).forEach((logprob, i) => {
    expect(Math.abs(logprob - wanted[i]!) / scale, `token ${i + 1}`).toBeLessThan(2e-5);
  });
});

test("the fixture can fail: without the adapter they differ", async () => {
  const wanted = expected();
  expect((await logprobs(false)).some((logprob, i) => Math.abs(logprob - wanted[i]!) > 0.1)).toBe(true);
});
