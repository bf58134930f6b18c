/** @file A policy with three value heads: against a float64 reference, cut in any way, and what it refuses. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OrtBackend } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { ScoringModel } from "../../../../src/engine/local/training/scoring-model.ts";
import { TrainingModel } from "../../../../src/engine/local/training/training-model.ts";
import type { TokenGradients, TrainingSequence } from "../../../../src/engine/policy.ts";
import { tinyConfig, uniform } from "../model/fixtures.ts";
import {
  randomGradients,
  reference,
  type SmallPolicy,
  scoredCount,
  smallPolicy,
  worst,
  worstOfTensors,
} from "./models.ts";

let backend: OrtBackend;
const heads = 3;
beforeAll(async () => {
  backend = await openBackend({ threads: 1 });
});
afterAll(() => backend.dispose());

const row = (tokens: readonly number[], mask: readonly number[]): TrainingSequence => ({
  tokens: Int32Array.from(tokens),
  mask: Uint8Array.from(mask),
});

/** Shared prompts, a prefix of another, a lone sequence, one that scores nothing. */
const batch = [
  row([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1]),
  row([1, 2, 3, 4, 5], [0, 0, 0, 1, 1]),
  row([1, 2, 3, 7, 7, 7, 7], [0, 0, 0, 1, 1, 1, 1]),
  row([5, 6], [0, 0]),
  row([8, 8, 8], [0, 1, 1]),
];
const count = scoredCount(batch);

const otherModel = ({ graphs, weights, adapter }: SmallPolicy, settings: object = {}) =>
  new TrainingModel(graphs, { weights, ...(adapter && { adapter }), ...settings });

describe.each([{ adapted: false }, { adapted: true }])("three heads, adapted $adapted", ({ adapted }) => {
  it("values and every gradient follow the reference; heads of a token are side by side", async () => {
    const subject = await smallPolicy(backend, tinyConfig("qwen3"), { adapted, heads });
    const { model, graphs, weights, adapter } = subject;
    expect(model.valueHeads).toBe(heads);
    const expected = reference(subject, batch);
    const { values } = expected.evaluate();
    expect(values).toHaveLength(count * heads);
    const scoring = new ScoringModel(graphs, { weights, ...(adapter && { adapter }) });
    for (const result of [
      model.forward(batch, { values: true }),
      model.forward(batch, { values: true, retain: true }),
      scoring.forward(batch, { values: true }),
    ])
      expect(worst(result.values!, values)).toBeLessThan(2e-5);

    const gradients = randomGradients(count, 3, true, heads);
    model.backward(batch, gradients);
    const next = uniform(4);
    let error = 0;
    const names = model.trained.table.parameters.map(({ name }) => name);
    const some = names.filter((name, i) => name.startsWith("value_head.") || i % 3 === 0);
    for (const name of some) {
      const ours = model.gradients.view(name);
      const own = expected.trained.get(name)!;
      const largest = ours.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
      expect(largest, name).toBeGreaterThan(1e-5);
      // Each head, and in its weights an element of each.
      const places = name.startsWith("value_head.")
        ? Array.from({ length: heads }, (_, k) => Math.floor((k + next()) * (own.length / heads)))
        : [Math.floor(next() * own.length)];
      for (const at of places) {
        const before = own[at]!;
        own[at] = before + 1e-5;
        const above = expected.objective(gradients);
        own[at] = before - 1e-5;
        const slope = (above - expected.objective(gradients)) / 2e-5;
        own[at] = before;
        error = Math.max(error, Math.abs(slope - ours[at]!) / largest);
      }
    }
    expect(error).toBeLessThan(2e-5);
    graphs.dispose();
  });
});

describe("a batch may be cut in any way", () => {
  let policy: SmallPolicy;
  const gradients = randomGradients(count, 5, true, heads);
  beforeAll(async () => {
    policy = await smallPolicy(backend, tinyConfig("llama"), { heads });
  });
  afterAll(() => policy.graphs.dispose());

  it.each([{ microbatchTokens: 1 }, { microbatchTokens: 9 }, { sharePrefixes: false }])("%o", (settings) => {
    const whole = otherModel(policy);
    const cut = otherModel(policy, settings);
    const results = [whole, cut].map((model) => model.forward(batch, { values: true }));
    expect(worst(results[0]!.values!, results[1]!.values!)).toBeLessThan(2e-5);
    for (const model of [whole, cut]) model.backward(batch, gradients);
    expect(worstOfTensors(whole.gradients, cut.gradients)).toBeLessThan(5e-5);
  });

  it("retained, or with the loss of one microbatch at a time", () => {
    const whole = otherModel(policy);
    whole.backward(batch, gradients);
    const retained = otherModel(policy);
    retained.forward(batch, { values: true, retain: true });
    retained.backward(batch, gradients);
    expect(worstOfTensors(whole.gradients, retained.gradients)).toBeLessThan(5e-5);
    const streamed = otherModel(policy, { microbatchTokens: 9 });
    const seen = streamed.forwardBackward(
      batch,
      ({ places }, { logprobs, values }): TokenGradients => {
        expect(values).toHaveLength(logprobs.length * heads);
        return {
          logprobs: Float32Array.from(places, (at) => gradients.logprobs[at]!),
          entropies: Float32Array.from(places, (at) => gradients.entropies![at]!),
          values: Float32Array.from({ length: places.length * heads }, (_, i) => {
            const place = places[Math.floor(i / heads)]!;
            return gradients.values![place * heads + (i % heads)]!;
          }),
        };
      },
      { values: true, entropy: true },
    );
    expect(worst(seen.values!, whole.forward(batch, { values: true }).values!)).toBeLessThan(2e-5);
    expect(worstOfTensors(whole.gradients, streamed.gradients)).toBeLessThan(5e-5);
  });

  it("a sequence of which only the last head has a gradient is not left out", () => {
    const model = otherModel(policy);
    const values = new Float32Array(count * heads);
    values[count * heads - 1] = 1;
    model.backward(batch, { logprobs: new Float32Array(count), values });
    expect([...model.gradients.view("value_head.bias")]).toEqual([0, 0, 1]);
    const first = otherModel(policy);
    const other = new Float32Array(count * heads);
    other[0] = 1;
    first.backward(batch, { logprobs: new Float32Array(count), values: other });
    expect([...first.gradients.view("value_head.bias")]).toEqual([1, 0, 0]);
  });

  it("a gradient for another number of heads is refused, with both numbers", () => {
    const model = otherModel(policy);
    const logprobs = new Float32Array(count);
    const wrong = { logprobs, values: new Float32Array(count) };
    expect(() => model.backward(batch, wrong)).toThrow(/11 elements for 11 scored tokens and 3 value heads/);
    const short = ({ places }: { readonly places: Int32Array }) => ({
      logprobs: new Float32Array(places.length),
      values: new Float32Array(places.length),
    });
    expect(() => model.forwardBackward(batch, short, { values: true })).toThrow(/3 value heads/);
    const values = new Float32Array(count * heads);
    values[7] = Number.NaN;
    expect(() => model.backward(batch, { logprobs, values })).toThrow(
      /NaN at scored token 2 of 11, value head 1/,
    );
    expect(model.gradients.flat.every((g) => g === 0)).toBe(true);
    // Log-probs and entropies have one number a token, whatever the heads.
    expect(() => model.backward(batch, { logprobs: new Float32Array(count * heads) })).toThrow(
      /gradient of logprobs has 33 elements for 11 scored tokens\./,
    );
  });
});
