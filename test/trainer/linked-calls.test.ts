/** Calls that a loss must see together, what a method is told of its whole batch, and remembered calls, in one update. */

import { describe, expect, test } from "vitest";
import { compose } from "../../src/methods/compose.ts";
import { clipped } from "../../src/methods/loss/clipped.ts";
import type { BatchCall, LossInput, Method } from "../../src/methods/method.ts";
import { key } from "../../src/random/stream.ts";
import { type TabularPolicy, tabularPolicy } from "../../src/testing/tabular-policy.ts";
import type { CreditedCall } from "../../src/trainer/credit-groups.ts";
import { updatePolicy } from "../../src/trainer/update.ts";
import type { CallRecord, Trajectory } from "../../src/workflow/trajectory.ts";

const open = () => tabularPolicy({ words: ["a", "b", "c", "d"] }).open({ name: "p", seed: 0 });

async function sampled(policy: TabularPolicy, links: readonly (string | undefined)[], zero = false) {
  const calls: CreditedCall[] = [];
  for (const [i, link] of links.entries()) {
    const prompt = Int32Array.of(2 + (i % 4), 3);
    const result = await policy.sample({ prompt, maxTokens: 2 + (i % 3), key: key("call", i) });
    const { tokens: output, logprobs, version } = result;
    const mask = new Uint8Array(output.length).fill(1);
    const place = { id: i, agent: "x", occurrence: i, scope: "", issued: i };
    calls.push({
      trajectory: { id: `episode ${i}` } as Trajectory,
      call: { ...place, prompt, output, logprobs, version, mask, sampling: {} } as unknown as CallRecord,
      advantage: zero && i > 0 ? 0 : 1,
      told: { task: `t${i}`, dataset: "d", rewarded: { agent: "x", reward: 1, terms: { own: i } } },
      ...(link === undefined ? {} : { link }),
    });
  }
  return calls;
}

/** A method that keeps what it sees. */
function watching(over: Partial<Method> = {}) {
  const inputs: LossInput[] = [];
  const method = compose({ loss: clipped() });
  const loss = (input: LossInput) => {
    inputs.push(input);
    return method.loss(input);
  };
  return { inputs, method: { ...method, loss, ...over } };
}

const update = (
  policy: TabularPolicy,
  calls: readonly CreditedCall[],
  method: Method,
  tokensPerMicrobatch = 1,
) =>
  updatePolicy({
    name: "p",
    policy,
    reference: undefined,
    calls,
    step: 4,
    settings: {
      method,
      steps: 10,
      seed: 0,
      learningRate: 0.1,
      betas: [0.9, 0.999],
      weightDecay: 0,
      maxGradientNorm: Number.POSITIVE_INFINITY,
      tokensPerMicrobatch,
      staleness: 0,
      optimizers: {},
    },
  });

describe("linked calls", () => {
  const links = ["one", undefined, "two", "one", "two", undefined, "one"];

  test("are in one microbatch, however small, and the loss knows which belong together", async () => {
    const policy = await open();
    const { inputs, method } = watching();
    await update(policy, await sampled(policy, links), method);
    expect(inputs.map((input) => input.lengths.length).sort()).toEqual([1, 1, 2, 3]);
    for (const { links: numbers, lengths } of inputs) {
      if (lengths.length === 1) expect(numbers).toBeUndefined();
      else expect(numbers).toEqual(lengths.map(() => 0));
    }
    const whole = watching();
    await update(await open(), await sampled(await open(), links), whole.method, 1000);
    const [input] = whole.inputs;
    const told = input!.places!.map((place, i) => [place, input!.links![i]]);
    expect(new Set(told.map(([place]) => place)).size).toBe(7);
    expect(input!.links!.filter((link) => link === -1)).toHaveLength(2);
    expect(new Set(input!.links).size).toBe(3);
  });

  test("are in one minibatch", async () => {
    const policy = await open();
    const { inputs, method } = watching({ updates: { epochs: 3, minibatches: 2 } });
    await update(policy, await sampled(policy, links), method, 1000);
    expect(inputs).toHaveLength(6);
    for (const { links: numbers = [] } of inputs) {
      const counts = new Map<number, number>();
      for (const link of numbers) if (link >= 0) counts.set(link, (counts.get(link) ?? 0) + 1);
      for (const count of counts.values()) expect([2, 3]).toContain(count);
    }
  });

  test("stay with one that has an advantage, and a call alone without one is left out", async () => {
    const policy = await open();
    const { inputs, method } = watching();
    await update(policy, await sampled(policy, links, true), method, 1000);
    expect(inputs.map(({ lengths }) => lengths.length)).toEqual([3]);
  });
});

test("`prepare` sees the whole batch once, and each microbatch what it made and where it is in it", async () => {
  const policy = await open();
  const batches: (readonly BatchCall[])[] = [];
  const { inputs, method } = watching({
    prepare: (batch) => {
      batches.push(batch);
      return batch.map(({ terms }) => terms!.own);
    },
  });
  await update(policy, await sampled(policy, [undefined, undefined, undefined]), method);
  expect(batches).toHaveLength(1);
  expect(batches[0]!.map(({ task, dataset }) => [task, dataset]).sort()).toEqual([
    ["t0", "d"],
    ["t1", "d"],
    ["t2", "d"],
  ]);
  for (const { oldLogprobs, length } of batches[0]!) expect(oldLogprobs).toHaveLength(length);
  expect(inputs.map(({ policy: name, step }) => [name, step])).toEqual(Array(3).fill(["p", 4]));
  for (const { prepared } of inputs) expect(prepared).toEqual(batches[0]!.map(({ terms }) => terms!.own));
  expect(inputs.flatMap(({ places }) => places)).toEqual([0, 1, 2]);
});

test("H before the update is there for those who ask", async () => {
  const policy = await open();
  let seen: readonly BatchCall[] = [];
  const { method } = watching();
  const asking: Method = {
    ...method,
    needs: { ...method.needs, entropyInEstimate: true },
    estimate: (batch) => {
      seen = batch;
      return { advantages: batch.map(({ length, credit }) => new Float32Array(length).fill(credit)) };
    },
  };
  await update(policy, await sampled(policy, [undefined, undefined]), asking);
  // All logits are 0, so the entropy is that of the uniform distribution.
  for (const { entropies, length } of seen) {
    expect(entropies).toHaveLength(length);
    for (const entropy of entropies!)
      expect(entropy).toBeCloseTo(Math.log(policy.tokenizer.vocabularySize), 5);
  }
});

test("a remembered call of older weights starts at ratio 1, and one that nobody remembered is refused", async () => {
  const policy = await open();
  const old = await sampled(policy, [undefined, undefined]);
  await update(policy, old, watching().method);
  const { inputs, method } = watching();
  const recalled = old.map((call) => ({ ...call, recalled: true as const }));
  await update(policy, recalled, method);
  for (const { logprobs, oldLogprobs } of inputs) expect(oldLogprobs).toEqual(logprobs);
  await expect(update(policy, old, method)).rejects.toMatchObject({ code: "E_STALE_SAMPLE" });
});
