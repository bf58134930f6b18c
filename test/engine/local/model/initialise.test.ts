/** @file Fresh weights: distribution, keys, and what starts at a constant. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { initialiseAdapter, initialiseModel } from "../../../../src/engine/local/model/initialise.ts";
import {
  adapterShapes,
  decoderShapes,
  parameterTable,
  valueHeadShapes,
} from "../../../../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../../../../src/engine/local/model/weights.ts";
import type { OrtBackend } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { tinyConfig } from "./fixtures.ts";

let backend: OrtBackend;
beforeAll(async () => {
  backend = await openBackend({ threads: 1 });
});
afterAll(() => backend.dispose());

const config = tinyConfig("qwen2", { hiddenSize: 96, vocabularySize: 301, queryKeyNorm: true });

it("draws matrices from a normal distribution, one stream a tensor", () => {
  const make = (seed: number) => {
    const weights = new FlatTensors(
      backend,
      parameterTable([...decoderShapes(config), ...valueHeadShapes(config)]),
    );
    weights.flat.fill(7);
    initialiseModel(weights, seed);
    return weights;
  };
  const weights = make(1);
  const embedding = weights.view("model.embed_tokens.weight");
  const moment = (power: number) =>
    embedding.reduce((sum, w) => sum + (w / 0.02) ** power, 0) / embedding.length;
  // Within four standard errors at 28 896 draws.
  expect(Math.abs(moment(1))).toBeLessThan(0.024);
  expect(Math.abs(moment(2) - 1)).toBeLessThan(0.034);
  expect(Math.abs(moment(4) - 3)).toBeLessThan(0.25);
  expect(weights.view("model.norm.weight").every((w) => w === 1)).toBe(true);
  expect(weights.view("model.layers.1.self_attn.k_norm.weight").every((w) => w === 1)).toBe(true);
  expect(weights.view("model.layers.0.self_attn.q_proj.bias").every((w) => w === 0)).toBe(true);
  expect(weights.view("value_head.weight").every((w) => w === 0)).toBe(true);
  const gate = (of: FlatTensors, layer: number) =>
    of.view(`model.layers.${layer}.mlp.gate_proj.weight`).slice(0, 8);
  expect(gate(make(1), 0)).toEqual(gate(weights, 0));
  expect(gate(make(2), 0)).not.toEqual(gate(weights, 0));
  expect(gate(weights, 1)).not.toEqual(gate(weights, 0));
});

it("starts adapters as the identity", () => {
  const lora = { rank: 4, alpha: 8, targets: ["q_proj", "down_proj"] as const };
  const adapter = new FlatTensors(backend, parameterTable(adapterShapes(config, lora)));
  adapter.flat.fill(7);
  initialiseAdapter(adapter, 3);
  const a = adapter.view("model.layers.0.self_attn.q_proj.lora_A.weight");
  const bound = 1 / Math.sqrt(96);
  expect(a.every((w) => Math.abs(w) <= bound)).toBe(true);
  expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.9 * bound);
  expect(Math.abs(a.reduce((sum, w) => sum + w, 0) / a.length)).toBeLessThan(0.15 * bound);
  expect(adapter.view("model.layers.1.mlp.down_proj.lora_B.weight").every((w) => w === 0)).toBe(true);
});
