/** @file A choice policy against the seam's own terms: sampling, scoring, gradients, checkpoints. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  type ChoicePolicy,
  type ChoicePolicyOptions,
  choicePolicy,
} from "../../../../src/engine/local/index.ts";
import type { SampleRequest, TokenGradients, TrainingSequence } from "../../../../src/engine/policy.ts";
import { isTrainable } from "../../../../src/engine/policy-spec.ts";
import { key, stream } from "../../../../src/random/stream.ts";

const choices = ["none", "triples", "subgraph"] as const;
const opened: { close(): Promise<void> }[] = [];
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-choice-policy-"));
});
afterEach(async () => {
  for (const policy of opened.splice(0)) await policy.close();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function open(options: Partial<ChoicePolicyOptions> = {}, seed = 1): Promise<ChoicePolicy> {
  const all = { choices, hidden: [12, 8], embed: { features: 10 }, threads: 2, ...options };
  const policy = (await choicePolicy(all).open({ name: "selector", seed })) as ChoicePolicy;
  opened.push(policy);
  return policy;
}
const texts = ["who wrote it", "songs like this", "hello", "ein Gruß 👋"];
const ask = (policy: ChoicePolicy, text: string, i = 0, more: Partial<SampleRequest> = {}) =>
  policy.sample({ prompt: policy.tokenizer.encode(text), maxTokens: 4, key: key("ask", i), ...more });
const rowOf = (policy: ChoicePolicy, text: string, place: number, temperature = 1): TrainingSequence => {
  const tokens = Int32Array.from([...policy.tokenizer.encode(text), policy.tokenizer.tokenOf(place)]);
  return { tokens, mask: new Uint8Array(tokens.length).fill(1, tokens.length - 1), temperature };
};
const batchOf = (policy: ChoicePolicy, temperature = 1) =>
  texts.map((text, i) => rowOf(policy, text, i % 3, temperature));
/** A few steps away from the uniform start, or every layer but the last has no gradient. */
async function trained(options: Partial<ChoicePolicyOptions> = {}, steps = 4): Promise<ChoicePolicy> {
  const policy = await open(options);
  for (let i = 0; i < steps; i++) await update(policy);
  return policy;
}
async function update(policy: ChoicePolicy): Promise<void> {
  const values = (await policy.forward(batchOf(policy), { values: true }).catch(() => undefined))?.values;
  await policy.backward(batchOf(policy), {
    logprobs: Float32Array.of(-1, -0.5, -2, 0.3),
    ...(values ? { values: values.map((v, i) => v - i) } : {}),
  });
  await policy.step({ learningRate: 0.03, weightDecay: 0.01, maxGradientNorm: 1 });
}

describe("sampling", () => {
  test("answers one choice and its true log-prob, uniform before training", async () => {
    const policy = await open({ valueHead: true });
    const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(policy, "what now", i)));
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set(choices));
    for (const { text, tokens, logprobs, plainLogprobs, stopReason, version } of answers) {
      expect([...tokens]).toEqual([policy.tokenizer.tokenOf(choices.indexOf(text as "none"))]);
      expect(logprobs[0]).toBeCloseTo(-Math.log(3), 6);
      expect(plainLogprobs[0]).toBeCloseTo(-Math.log(3), 6);
      expect({ stopReason, version }).toEqual({ stopReason: "end", version: 0 });
    }
    const { values } = await policy.forward(batchOf(policy), { values: true });
    expect([...values!]).toEqual([0, 0, 0, 0]);
  });

  test("the same key gives the same choice, whatever else is asked", async () => {
    const policy = await trained();
    const alone = [];
    for (let i = 0; i < 20; i++) alone.push(await ask(policy, texts[i % 4]!, i));
    const together = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ask(policy, texts[(19 - i) % 4]!, 19 - i)),
    );
    expect(together.reverse()).toEqual(alone);
  });

  test.each([0.5, 1, 2])(
    "log-probs at temperature %s are those of the training pass",
    async (temperature) => {
      for (const dropout of [0, 0.4]) {
        const policy = await trained({ dropout });
        for (const [i, text] of texts.entries()) {
          const { tokens, logprobs, plainLogprobs } = await ask(policy, text, i, {
            sampling: { temperature },
          });
          const place = policy.tokenizer.placeOf(tokens[0]!);
          const score = async (at: number) =>
            (await policy.forward([rowOf(policy, text, place, at), ...batchOf(policy)])).logprobs[0]!;
          expect(Math.abs(logprobs[0]! - (await score(temperature)))).toBeLessThan(1e-5);
          expect(Math.abs(plainLogprobs[0]! - (await score(1)))).toBeLessThan(1e-5);
        }
      }
    },
  );

  test("temperature 0 takes the most probable choice of the whole network", async () => {
    const policy = await trained({ dropout: 0.5 });
    const whole = await open();
    whole.weights.flat.set(policy.weights.flat);
    for (const [i, text] of texts.entries()) {
      const { logprobs } = await whole.forward(choices.map((_, place) => rowOf(whole, text, place)));
      const best = Math.max(...logprobs);
      const greedy = await ask(policy, text, i, { sampling: { temperature: 0 } });
      expect(greedy.text).toBe(choices[logprobs.indexOf(best)]);
      expect(greedy.logprobs[0]).toBe(0);
      expect(greedy.plainLogprobs[0]).toBeCloseTo(best, 5);
    }
  });

  test("frequencies follow the log-probs, and filters and allowed choices cut them", async () => {
    const policy = await trained();
    const { logprobs } = await policy.forward(choices.map((_, place) => rowOf(policy, "hello", place)));
    const probabilities = [...logprobs].map(Math.exp);
    expect(probabilities.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
    const counts = [0, 0, 0];
    for (let i = 0; i < 600; i++) {
      const { tokens } = await ask(policy, "hello", i);
      counts[policy.tokenizer.placeOf(tokens[0]!)]!++;
    }
    for (const place of choices.keys())
      expect(Math.abs(counts[place]! / 600 - probabilities[place]!)).toBeLessThan(0.07);
    const two = Int32Array.of(1, policy.tokenizer.tokenOf(2), policy.tokenizer.tokenOf(0));
    const answer = await ask(policy, "hello", 3, { allowedTokens: two });
    const place = policy.tokenizer.placeOf(answer.tokens[0]!);
    expect(place).not.toBe(1);
    expect(Math.exp(answer.logprobs[0]!)).toBeCloseTo(
      probabilities[place]! / (probabilities[0]! + probabilities[2]!),
      5,
    );
    expect(Math.exp(answer.plainLogprobs[0]!)).toBeCloseTo(probabilities[place]!, 5);
    const constraint = { start: 0, states: [{ tokens: two.slice(1, 2), next: Int32Array.of(0) }] };
    expect((await ask(policy, "hello", 3, { allowedTokens: constraint })).text).toBe("subgraph");
    await expect(ask(policy, "hello", 3, { allowedTokens: Int32Array.of(7) })).rejects.toMatchObject({
      code: "E_NO_TOKEN_ALLOWED",
    });
  });

  test("exploration records the log-prob of the mixture that acted", async () => {
    const exploration = { epsilon: { start: 0.5, decay: 0.9, floor: 0.1 }, countBonus: 0.2 };
    const policy = await trained({ exploration }, 3);
    const epsilon = 0.5 * 0.9 ** 12;
    const { logprobs } = await policy.forward(choices.map((_, place) => rowOf(policy, "hello", place)));
    // Three batches of four rows: the first choice twice in each.
    const weights = [6, 3, 3].map((n, place) => Math.exp(logprobs[place]! + 0.2 / Math.sqrt(n + 1)));
    const total = weights.reduce((a, b) => a + b);
    const seen = new Set<number>();
    for (let i = 0; i < 40; i++) {
      const answer = await ask(policy, "hello", i);
      const place = policy.tokenizer.placeOf(answer.tokens[0]!);
      seen.add(place);
      const expected = epsilon / 3 + ((1 - epsilon) * weights[place]!) / total;
      expect(answer.logprobs[0]).toBeCloseTo(Math.log(expected), 5);
      expect(answer.plainLogprobs[0]).toBeCloseTo(logprobs[place]!, 5);
    }
    expect(seen.size).toBeGreaterThan(1);
    expect((await ask(policy, "hello", 0, { sampling: { temperature: 0 } })).logprobs[0]).toBe(0);
  });
});

describe("gradients", () => {
  const draws = stream("choice gradients");
  const numbers = (count: number) => Float32Array.from({ length: count }, () => draws.uniform() * 2 - 1);

  /** With two values a row; a few steps old, its gradients clear. */
  const watched = (dropout: number) => trained({ dropout, valueHead: 2 });

  /** L = Σ g·ℓ + h·H + u·v, central differences in float32. */
  test.each([0, 0.3])("are central differences of every parameter, dropout %s", async (dropout) => {
    const policy = await watched(dropout);
    const { weights, gradients } = policy;
    const batch = batchOf(policy, 0.7);
    const given: Required<TokenGradients> = {
      logprobs: numbers(4),
      entropies: numbers(4),
      values: numbers(8),
    };
    const loss = async () => {
      const found = await policy.forward(batch, { entropy: true, values: true });
      const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
      return (
        dot(found.logprobs, given.logprobs) +
        dot(found.entropies!, given.entropies) +
        dot(found.values!, given.values)
      );
    };
    await policy.backward(batch, given);
    const gradient = Float32Array.from(gradients.flat);
    let largest = 0;
    for (let i = 0; i < weights.flat.length; i += 3) {
      const kept = weights.flat[i]!;
      const h = 4e-3;
      weights.flat[i] = kept + h;
      const up = await loss();
      weights.flat[i] = kept - h;
      const down = await loss();
      weights.flat[i] = kept;
      largest = Math.max(largest, Math.abs((up - down) / (2 * h) - gradient[i]!));
    }
    expect(Math.max(...gradient.map(Math.abs))).toBeGreaterThan(0.1);
    expect(largest).toBeLessThan(3e-3);
  });

  test("add up over parts of a batch", async () => {
    const whole = await watched(0);
    const parts = await watched(0);
    const batch = batchOf(whole);
    const [logprobs, values] = [numbers(4), numbers(8)];
    await whole.backward(batch, { logprobs, values });
    for (const [from, to] of [
      [0, 1],
      [1, 4],
    ] as const)
      await parts.backward(batch.slice(from, to), {
        logprobs: logprobs.slice(from, to),
        values: values.slice(from * 2, to * 2),
      });
    const [a, b] = [whole.gradients.flat, parts.gradients.flat];
    for (let i = 0; i < a.length; i++) expect(Math.abs(a[i]! - b[i]!)).toBeLessThan(1e-5);
  });
});

test("a policy restored from its folder goes on bit by bit; a frozen one only answers", async () => {
  const options = { valueHead: true, dropout: 0.2, exploration: { countBonus: 0.2 } } as const;
  const policy = await trained(options);
  const at = join(folder, "saved");
  await policy.save(at, { optimizer: true });
  const other = await open(options);
  await other.restore(at);
  expect(other.version).toBe(4);
  for (const one of [policy, other]) await update(one);
  const asked = { entropy: true, values: true };
  expect(await other.forward(batchOf(other), asked)).toEqual(await policy.forward(batchOf(policy), asked));
  expect(await ask(other, "hello", 5)).toEqual(await ask(policy, "hello", 5));

  const frozen = await open({ ...options, from: at, trainable: false });
  expect(isTrainable(frozen)).toBe(false);
  const again = await open(options);
  await again.restore(at);
  expect(await frozen.forward(batchOf(frozen))).toEqual(await again.forward(batchOf(again)));

  const narrow = await open({ ...options, hidden: [12] });
  await expect(narrow.restore(at)).rejects.toMatchObject({ code: "E_CHECKPOINT_CHOICES" });
  await policy.save(join(folder, "plain"));
  await expect(again.restore(join(folder, "plain"))).rejects.toMatchObject({
    code: "E_CHECKPOINT_MISSING_FILE",
  });
});

test("what has no meaning is refused by name", async () => {
  const policy = await open();
  const { tokenizer } = policy;
  await expect(policy.step({ learningRate: 1 })).rejects.toMatchObject({ code: "E_STEP_WITHOUT_GRADIENT" });
  await expect(policy.forward(batchOf(policy), { values: true })).rejects.toMatchObject({
    code: "E_NO_VALUE_HEAD",
  });
  const text = { tokens: tokenizer.encode("ab"), mask: Uint8Array.of(0, 1) };
  await expect(policy.forward([text])).rejects.toMatchObject({ code: "E_CHOICE_ROW" });
  await expect(
    policy.backward(batchOf(policy), { logprobs: Float32Array.of(1, Number.NaN, 1, 1) }),
  ).rejects.toMatchObject({ code: "E_TOKEN_GRADIENTS" });
  for (const wrong of [{ choices: ["a"] }, { choices: ["a", "a"] }, { dropout: 1 }, { hidden: [0] }])
    expect(() => choicePolicy({ choices, ...wrong })).toThrow(/choicePolicy's/);
  const uneven = await open({ embed: (given) => new Float32Array(given === "" ? 3 : 4) });
  await expect(ask(uneven, "hello")).rejects.toMatchObject({ code: "E_CHOICE_EMBEDDING" });
});

test("more rows than one run takes are scored and added up like few", async () => {
  const policy = await trained({ valueHead: 2 });
  const few = batchOf(policy).slice(0, 3);
  const many = Array.from({ length: 520 }, (_, i) => few[i % 3]!);
  const once = await policy.forward(few, { values: true, entropy: true });
  const found = await policy.forward(many, { values: true, entropy: true });
  for (const i of [0, 3, 511, 512, 519]) {
    expect(found.logprobs[i]).toBeCloseTo(once.logprobs[i % 3]!, 5);
    expect(found.entropies![i]).toBeCloseTo(once.entropies![i % 3]!, 5);
    for (const k of [0, 1]) expect(found.values![2 * i + k]).toBeCloseTo(once.values![2 * (i % 3) + k]!, 5);
  }
  // Only rows of the second run have a gradient: row 514 is row 1, and 519 is row 0.
  const only = (length: number, at: readonly number[], width: number) => {
    const out = new Float32Array(length * width);
    for (const [n, i] of at.entries()) for (let k = 0; k < width; k++) out[i * width + k] = n + 1 + k / 2;
    return out;
  };
  const slopes = (length: number, at: readonly number[]) => ({
    logprobs: only(length, at, 1),
    values: only(length, at, 2),
  });
  await policy.backward(many, slopes(520, [514, 519]));
  const large = Float32Array.from(policy.gradients.flat);
  await policy.clearGradients();
  await policy.backward(few, slopes(3, [1, 0]));
  policy.gradients.flat.forEach((value, i) => {
    expect(Math.abs(value - large[i]!)).toBeLessThan(1e-4);
  });
});

test("an end token after a choice, as fine-tuning writes it, is certain and changes nothing", async () => {
  const policy = await trained();
  const { tokenizer } = policy;
  const { tokens } = rowOf(policy, "hello", 1);
  const closed = {
    tokens: Int32Array.from([...tokens, ...tokenizer.endTokens]),
    mask: new Uint8Array(tokens.length + 1).fill(1, tokens.length - 1),
  };
  const plain = await policy.forward([rowOf(policy, "hello", 1)], { entropy: true });
  const { logprobs, entropies } = await policy.forward([closed], { entropy: true });
  expect([...logprobs]).toEqual([plain.logprobs[0], 0]);
  expect([...entropies!]).toEqual([plain.entropies![0], 0]);
  await policy.backward([closed], { logprobs: Float32Array.of(0, 1), entropies: Float32Array.of(0, 1) });
  expect(policy.gradients.flat.every((value) => value === 0)).toBe(true);
  expect(tokenizer.decode(closed.tokens)).toBe("hellotriples");
});

test("text survives the tokenizer, and a choice is one token", async () => {
  const { tokenizer } = await open();
  for (const text of [...texts, "\uFEFFmark", "none of these"]) {
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect(tokenizer.encode(text).length).toBeGreaterThan(1);
  }
  for (const name of choices) expect(tokenizer.encode(name)).toHaveLength(1);
  const messages = [
    { role: "system", content: "Choose." },
    { role: "user", content: "who?" },
  ];
  expect(tokenizer.decode(tokenizer.encodeChat(messages))).toBe("Choose.\n\nwho?");
  expect(() =>
    tokenizer.encodeChat(messages, { tools: [{ name: "find", description: "", parameters: {} }] }),
  ).toThrow(/find/);
});
