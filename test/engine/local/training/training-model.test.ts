/** @file Training end to end: values and gradients against a float64 reference, and every way of cutting a batch. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initialiseAdapter, initialiseModel } from "../../../../src/engine/local/model/initialise.ts";
import { adapterShapes, parameterTable } from "../../../../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../../../../src/engine/local/model/weights.ts";
import type { OrtBackend } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { TrainingModel } from "../../../../src/engine/local/training/training-model.ts";
import type { TrainingSequence } from "../../../../src/engine/policy.ts";
import { decoderTable, tinyConfig, uniform } from "../model/fixtures.ts";
import {
  lora,
  randomGradients,
  reference,
  type SmallPolicy,
  scoredCount,
  smallPolicy,
  worst,
  worstOfTensors,
} from "./models.ts";

let backend: OrtBackend;
/** One policy trained whole, for tests that need no particular shape. */
let policy: SmallPolicy;
beforeAll(async () => {
  backend = await openBackend({ threads: 2 });
  policy = await smallPolicy(backend, tinyConfig("qwen3"));
});
afterAll(() => backend.dispose());

const row = (tokens: readonly number[], mask: readonly number[], temperature?: number): TrainingSequence => ({
  tokens: Int32Array.from(tokens),
  mask: Uint8Array.from(mask),
  ...(temperature === undefined ? {} : { temperature }),
});

/** Shared prompts, an answer that is a prefix of another, a second turn, two temperatures, a lone sequence. */
const batch: readonly TrainingSequence[] = [
  row([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1]),
  row([1, 2, 3, 4, 5], [0, 0, 0, 1, 1]),
  row([1, 2, 3, 7, 7, 7, 7], [0, 0, 0, 1, 1, 1, 1]),
  row([1, 2, 3, 4, 5, 6, 9, 9, 2, 3], [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]),
  row([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1], 0.7),
  row([8, 8, 8], [0, 1, 1]),
  row([5, 6], [0, 0]),
];

const otherModel = (of: SmallPolicy, options: ConstructorParameters<typeof TrainingModel>[1] | object = {}) =>
  new TrainingModel(of.graphs, {
    weights: of.weights,
    ...(of.adapter && { adapter: of.adapter }),
    ...options,
  });

describe.each([
  { name: "llama, tied", config: tinyConfig("llama"), adapted: false },
  { name: "qwen2, own head", config: tinyConfig("qwen2", { tiedHead: false }), adapted: false },
  { name: "qwen3, tied", config: tinyConfig("qwen3"), adapted: false },
  { name: "llama with an adapter", config: tinyConfig("llama"), adapted: true },
])("$name", ({ config, adapted }) => {
  it("has the reference's log-probs, entropies and values, and its slopes", async () => {
    const subject = await smallPolicy(backend, config, { adapted });
    const { model } = subject;
    const expected = reference(subject, batch);
    const { logprobs, entropies, values } = expected.evaluate();
    const result = model.forward(batch, { entropy: true, values: true });
    expect(worst(result.logprobs, logprobs)).toBeLessThan(2e-5);
    expect(worst(result.entropies!, entropies)).toBeLessThan(2e-5);
    expect(worst(result.values!, values)).toBeLessThan(2e-5);

    const gradients = randomGradients(logprobs.length, 3);
    model.backward(batch, gradients);
    const next = uniform(4);
    let error = 0;
    for (const { name, length } of model.trained.table.parameters) {
      const weights = expected.trained.get(name)!;
      const gradient = model.gradients.view(name);
      const largest = gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
      expect(largest, name).toBeGreaterThan(1e-5);
      for (let draw = 0; draw < 2; draw++) {
        const at = Math.floor(next() * length);
        const before = weights[at]!;
        weights[at] = before + 1e-5;
        const above = expected.objective(gradients);
        weights[at] = before - 1e-5;
        const slope = (above - expected.objective(gradients)) / 2e-5;
        weights[at] = before;
        error = Math.max(error, Math.abs(slope - gradient[at]!) / largest);
      }
    }
    expect(error).toBeLessThan(2e-5);
    subject.graphs.dispose();
  });
});

describe("a batch may be cut in any way", () => {
  /** Few ids, so that prefixes are shared and ids repeat. */
  const batches = fc.array(
    fc.array(fc.tuple(fc.nat(3), fc.nat(1)), { minLength: 1, maxLength: 12 }).map((pairs) =>
      row(
        pairs.map(([token]) => token),
        pairs.map(([, bit], i) => (i === 0 ? 0 : bit)),
      ),
    ),
    { minLength: 1, maxLength: 10 },
  );

  it("packed, unshared and split give the same values and gradients", () => {
    const whole = otherModel(policy);
    const unshared = otherModel(policy, { sharePrefixes: false });
    fc.assert(
      fc.property(batches, fc.integer({ min: 1, max: 40 }), (some, microbatchTokens) => {
        const gradients = randomGradients(scoredCount(some), 5);
        const split = otherModel(policy, { microbatchTokens });
        const results = [whole, unshared, split].map((model) => {
          model.clearGradients();
          const result = model.forward(some, { entropy: true, values: true });
          model.backward(some, gradients);
          return { model, result };
        });
        for (const { model, result } of results.slice(1)) {
          expect(worst(result.logprobs, results[0]!.result.logprobs)).toBeLessThan(2e-5);
          expect(worst(result.entropies!, results[0]!.result.entropies!)).toBeLessThan(2e-5);
          expect(worst(result.values!, results[0]!.result.values!)).toBeLessThan(2e-5);
          expect(worstOfTensors(whole.gradients, model.gradients)).toBeLessThan(5e-5);
        }
        split.dispose();
      }),
      { numRuns: 25 },
    );
  });

  it("retained, recomputed, streamed: the same gradients", () => {
    const gradients = randomGradients(scoredCount(batch), 6);
    const retained = otherModel(policy);
    const forward = retained.forward(batch, { entropy: true, values: true, retain: true });
    // A copy, as it comes from another thread.
    retained.backward(structuredClone([...batch]), gradients);

    const recomputed = otherModel(policy, { microbatchTokens: 12 });
    recomputed.backward(batch, gradients);
    expect(worstOfTensors(retained.gradients, recomputed.gradients)).toBeLessThan(2e-5);

    const streamed = otherModel(policy, { microbatchTokens: 12 });
    let calls = 0;
    const result = streamed.forwardBackward(
      batch,
      ({ places, sequences }, microbatch) => {
        calls++;
        expect(microbatch.logprobs.length).toBe(places.length);
        expect(sequences.length).toBeGreaterThan(0);
        const pick = (values: Float32Array) => Float32Array.from(places, (at) => values[at]!);
        expect(worst(microbatch.entropies!, pick(forward.entropies!))).toBeLessThan(2e-5);
        return {
          logprobs: pick(gradients.logprobs),
          entropies: pick(gradients.entropies!),
          values: pick(gradients.values!),
        };
      },
      { entropy: true, values: true },
    );
    expect(calls).toBeGreaterThan(1);
    expect(worst(result.logprobs, forward.logprobs)).toBeLessThan(2e-5);
    expect(worstOfTensors(retained.gradients, streamed.gradients)).toBeLessThan(2e-5);
  });

  it("leaves out sequences without gradient, and only those", () => {
    const gradients = randomGradients(scoredCount(batch), 6);
    // The first, the third and the fourth sequence: scored tokens 0–2, 5–8 and 9–10.
    for (const values of [gradients.logprobs, gradients.entropies!, gradients.values!]) {
      values.fill(0, 0, 3);
      values.fill(0, 5, 11);
    }
    const retained = otherModel(policy);
    retained.forward(batch, { entropy: true, retain: true });
    retained.backward(batch, gradients);
    const left = otherModel(policy);
    left.backward(batch, gradients);
    expect(worstOfTensors(retained.gradients, left.gradients)).toBeLessThan(2e-5);
    const alone = otherModel(policy);
    alone.backward([batch[1]!, batch[4]!, batch[5]!], {
      logprobs: gradients.logprobs.filter((_, i) => (i >= 3 && i < 5) || i >= 11),
      entropies: gradients.entropies!.filter((_, i) => (i >= 3 && i < 5) || i >= 11),
      values: gradients.values!.filter((_, i) => (i >= 3 && i < 5) || i >= 11),
    });
    expect(worstOfTensors(alone.gradients, left.gradients)).toBeLessThan(2e-5);
    const nothing = otherModel(policy);
    nothing.backward(batch, { logprobs: new Float32Array(scoredCount(batch)) });
    expect(nothing.gradients.flat.every((g) => g === 0)).toBe(true);
  });

  it("gradients of several calls add up", () => {
    const gradients = randomGradients(scoredCount(batch), 6, false);
    const once = otherModel(policy);
    once.backward(batch, { logprobs: gradients.logprobs.map((g) => 2 * g) });
    const twice = otherModel(policy);
    twice.backward(batch, gradients);
    twice.forward(batch, { retain: true });
    twice.backward(batch, gradients);
    expect(worstOfTensors(once.gradients, twice.gradients)).toBeLessThan(1e-5);
  });

  it("does not use retained activations for another batch, or for changed weights", async () => {
    const { model, graphs } = await smallPolicy(backend, tinyConfig("llama"));
    const fresh = await smallPolicy(backend, tinyConfig("llama"));
    const gradients = randomGradients(scoredCount(batch), 6, false);
    const other = batch.map((sequence) => ({ ...sequence, tokens: sequence.tokens.map((t) => t + 1) }));
    model.forward(other, { retain: true });
    model.backward(batch, gradients);
    fresh.model.backward(batch, gradients);
    expect(worstOfTensors(fresh.model.gradients, model.gradients)).toBe(0);
    for (const one of [model, fresh.model]) {
      one.forward(batch, { retain: one === model });
      one.step({ learningRate: 0.05 });
      one.backward(batch, gradients);
    }
    expect(worstOfTensors(fresh.model.gradients, model.gradients)).toBe(0);
    graphs.dispose();
    fresh.graphs.dispose();
  });

  it("cross-entropy in one call is forward, backward with −weight", () => {
    const weights = Float32Array.from({ length: scoredCount(batch) }, (_, i) => (i % 4) / 10);
    const separate = otherModel(policy);
    const { logprobs } = separate.forward(batch);
    separate.backward(batch, { logprobs: weights.map((w) => -w) });
    const fused = otherModel(policy, { microbatchTokens: 20 });
    const result = fused.trainOnTargets(batch, weights);
    expect(worst(result.logprobs, logprobs)).toBeLessThan(2e-5);
    expect(result.loss).toBeCloseTo(-logprobs.reduce((sum, l, i) => sum + l * weights[i]!, 0), 4);
    expect(worstOfTensors(separate.gradients, fused.gradients)).toBeLessThan(2e-5);
    const mean = fused.trainOnTargets(batch).loss;
    expect(mean).toBeCloseTo(-logprobs.reduce((sum, l) => sum + l, 0) / logprobs.length, 4);
  });
});

it("gives the same bits on every run: 4096 tokens with repeated ids, two threads", async () => {
  const config = tinyConfig("llama", { layers: 1 });
  const { model, graphs } = await smallPolicy(backend, config);
  const next = uniform(9);
  const many = Array.from({ length: 80 }, () =>
    row(
      Array.from({ length: 64 }, () => Math.floor(next() * 5)),
      Array.from({ length: 64 }, (_, i) => (i === 0 ? 0 : 1)),
    ),
  );
  const bits = () => Buffer.from(model.gradients.flat.buffer).toString("base64");
  const run = () => {
    model.clearGradients();
    model.trainOnTargets(many);
    return bits();
  };
  const first = run();
  for (let again = 0; again < 5; again++) expect(run() === first).toBe(true);
  graphs.dispose();
});

describe("learning", () => {
  it("lowers the loss of a copying task, whole and through an adapter", async () => {
    const config = tinyConfig("qwen3");
    const next = uniform(1);
    const draw = () =>
      Array.from({ length: 16 }, () => {
        const [a, b] = [1 + Math.floor(next() * 9), 1 + Math.floor(next() * 9)];
        return row([0, a, b, 10, b, a, 20], [0, 0, 0, 0, 1, 1, 1]);
      });
    for (const adapted of [false, true]) {
      const { model, weights, adapter, graphs } = await smallPolicy(backend, config, { adapted });
      if (adapter) initialiseAdapter(adapter, 1);
      else initialiseModel(weights, 1);
      const base = weights.flat.slice();
      const losses: number[] = [];
      for (let step = 0; step < 60; step++) {
        losses.push(model.trainOnTargets(draw()).loss);
        const { version, gradientNorm } = model.step({ learningRate: 5e-3, maxGradientNorm: 1 });
        expect(version).toBe(step + 1);
        expect(gradientNorm).toBeGreaterThan(0);
      }
      expect(losses.at(-1)!).toBeLessThan(adapted ? 0.8 * losses[0]! : 1);
      if (adapted) expect(worst(weights.flat, base)).toBe(0);
      expect(model.gradients.flat.every((g) => g === 0)).toBe(true);
      graphs.dispose();
    }
  });

  it("trains several adapters over one base apart, with the same sessions", async () => {
    const config = tinyConfig("llama");
    const { graphs, weights, model: first, adapter } = await smallPolicy(backend, config, { adapted: true });
    const second = new FlatTensors(backend, parameterTable(adapterShapes(config, lora)));
    initialiseAdapter(second, 2);
    const other = new TrainingModel(graphs, { weights, adapter: second });
    const before = { logprobs: other.forward(batch).logprobs, base: weights.flat.slice() };
    const firstBefore = first.forward(batch).logprobs;
    first.trainOnTargets(batch);
    first.step({ learningRate: 0.01 });
    expect(worst(other.forward(batch).logprobs, before.logprobs)).toBe(0);
    expect(worst(first.forward(batch).logprobs, firstBefore)).toBeGreaterThan(1e-3);
    // An adapter whose B is zero is the base itself.
    const base = new TrainingModel((await smallPolicy(backend, config)).graphs, {
      weights: new FlatTensors(backend, decoderTable(config)),
    });
    base.weights.flat.set(weights.flat);
    expect(worst(base.forward(batch).logprobs, before.logprobs)).toBeLessThan(1e-6);
    expect(worst(weights.flat, before.base)).toBe(0);
    expect(adapter!.flat.some((w) => w !== 0)).toBe(true);
    graphs.dispose();
  });
});

describe("refusals", () => {
  const code = (name: string) => expect.objectContaining({ code: name });

  it("names a gradient of the wrong length or that is not finite, before anything is added", () => {
    const model = otherModel(policy);
    const count = scoredCount(batch);
    expect(() => model.backward(batch, { logprobs: new Float32Array(count - 1) })).toThrow(
      code("E_TOKEN_GRADIENTS"),
    );
    const bad = new Float32Array(count);
    bad[4] = Number.NaN;
    expect(() => model.backward(batch, { logprobs: bad })).toThrow(/NaN at scored token 4/);
    expect(() => model.backward(batch, { logprobs: new Float32Array(count), entropies: bad })).toThrow(
      /entropies/,
    );
    expect(() => model.trainOnTargets(batch, bad)).toThrow(code("E_TOKEN_GRADIENTS"));
    expect(() => model.forwardBackward(batch, () => ({ logprobs: new Float32Array(1) }))).toThrow(
      code("E_TOKEN_GRADIENTS"),
    );
    expect(model.gradients.flat.every((g) => g === 0)).toBe(true);
    expect(() => model.step({ learningRate: 0.1 })).toThrow(code("E_STEP_WITHOUT_GRADIENT"));
  });

  it("has no values without a value head", () => {
    const model = new TrainingModel(policy.graphs, {
      weights: new FlatTensors(backend, decoderTable(policy.config)),
    });
    expect(model.valueHeads).toBe(0);
    expect(() => model.forward(batch, { values: true })).toThrow(code("E_NO_VALUE_HEAD"));
    expect(() => model.backward(batch, randomGradients(scoredCount(batch), 1))).toThrow(
      code("E_NO_VALUE_HEAD"),
    );
  });

  it("takes a batch without scored tokens, but not a step after it", () => {
    const model = otherModel(policy);
    const nothing = [row([1, 2, 3], [0, 0, 0])];
    expect(model.forward(nothing, { retain: true })).toEqual({ logprobs: new Float32Array(0) });
    model.backward(nothing, { logprobs: new Float32Array(0) });
    expect(() => model.step({ learningRate: 0.1 })).toThrow(code("E_STEP_WITHOUT_GRADIENT"));
  });

  it("no step follows a backward pass that failed halfway", async () => {
    const { model, weights, graphs } = await smallPolicy(backend, tinyConfig("llama"), {
      microbatchTokens: 12,
    });
    const before = weights.flat.slice();
    let calls = 0;
    const failing = () =>
      model.forwardBackward(batch, ({ places }) => {
        if (calls++ > 0) throw new Error("the loss failed");
        return { logprobs: new Float32Array(places.length).fill(1) };
      });
    expect(failing).toThrow("the loss failed");
    expect(() => model.step({ learningRate: 0.1 })).toThrow(code("E_GRADIENT_INCOMPLETE"));
    model.clearGradients();
    expect(() => model.step({ learningRate: 0.1 })).toThrow(code("E_STEP_WITHOUT_GRADIENT"));
    expect(worst(weights.flat, before)).toBe(0);
    model.trainOnTargets(batch);
    expect(model.step({ learningRate: 0.1 }).version).toBe(1);
    graphs.dispose();
  });

  it("a failed step leaves weights and gradients for inspection", async () => {
    const { model, weights, graphs } = await smallPolicy(backend, tinyConfig("llama"));
    const before = weights.flat.slice();
    model.trainOnTargets(batch);
    model.gradients.view("model.norm.weight")[2] = Number.NaN;
    expect(() => model.step({ learningRate: 0.1 })).toThrow(/model\.norm\.weight is NaN at element 2/);
    expect(worst(weights.flat, before)).toBe(0);
    expect(model.version).toBe(0);
    graphs.dispose();
  });
});
