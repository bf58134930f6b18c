/** Texts that were given beside calls that were sampled, in one update: their order, their old log-probs, their alarms. */

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

/** One call of two tokens; the smaller `first`, the earlier it is in its minibatch. */
async function one(policy: TabularPolicy, i: number, over: Partial<CreditedCall> = {}, first = 2 + (i % 4)) {
  const { version, tokens, logprobs } = await policy.sample({
    prompt: Int32Array.of(first, 3),
    maxTokens: 2,
    key: key("call", i),
  });
  const given = over.given !== undefined;
  const output = given ? Int32Array.of(2 + (i % 4), 4) : tokens;
  const call = {
    ...{ id: i, agent: "x", occurrence: i, scope: "", issued: i, policy: "p", sampling: {} },
    prompt: Int32Array.of(first, 3),
    output,
    logprobs: given ? new Float32Array(2).fill(-0.25) : logprobs,
    // Of another policy, and never this one's.
    version: given ? 42 : version,
    mask: new Uint8Array(output.length).fill(1),
  };
  return {
    trajectory: { id: `episode ${i}` } as Trajectory,
    call: call as unknown as CallRecord,
    advantage: 1,
    ...over,
  } satisfies CreditedCall;
}
const many = (policy: TabularPolicy, from: number, count: number, over: Partial<CreditedCall> = {}) =>
  Promise.all(Array.from({ length: count }, (_, i) => one(policy, from + i, over)));

function watching(over: Partial<Method> = {}) {
  const inputs: LossInput[] = [];
  const inner = compose({ loss: clipped() });
  const loss = (input: LossInput) => {
    inputs.push(input);
    return inner.loss(input);
  };
  return { inputs, method: { ...inner, loss, ...over } };
}

const update = (policy: TabularPolicy, calls: readonly CreditedCall[], method: Method, staleness = 0) =>
  updatePolicy({
    name: "p",
    policy,
    reference: undefined,
    calls,
    step: 1,
    settings: {
      method,
      steps: 10,
      seed: 0,
      learningRate: 0.5,
      betas: [0.9, 0.999],
      weightDecay: 0,
      maxGradientNorm: Number.POSITIVE_INFINITY,
      tokensPerMicrobatch: 1000,
      staleness,
      optimizers: {},
    },
  });
const flags = ({ given, lengths }: LossInput) => lengths.map((_, i) => given?.[i] === 1);
const countGiven = (input: LossInput) => flags(input).filter(Boolean).length;
const given = "with log-probs" as const;

describe("in three minibatches", () => {
  const updates = { epochs: 2, minibatches: 3 };

  test("what was given comes last, in every epoch, in an order of its own each time", async () => {
    const policy = await open();
    const { inputs, method } = watching({ updates });
    const calls = [...(await many(policy, 0, 6, { given })), ...(await many(policy, 6, 6))];
    const { given: counted } = await update(policy, calls, method);
    expect(counted).toBe(6);
    expect(inputs.map(countGiven)).toEqual([0, 2, 4, 0, 2, 4]);
    expect(inputs.map(({ updatesDone }) => updatesDone)).toEqual([0, 1, 2, 3, 4, 5]);
    const last = [2, 5].map((i) => [...inputs[i]!.places!].sort((a, b) => a - b).join());
    expect(last[0]).not.toBe(last[1]);
    for (const epoch of [0, 3])
      expect(new Set(inputs.slice(epoch, epoch + 3).flatMap(({ places }) => places)).size).toBe(12);
  });

  test("given rows of one link stay together", async () => {
    const policy = await open();
    const { inputs, method } = watching({ updates });
    const linked = await Promise.all(
      Array.from({ length: 6 }, (_, i) => one(policy, i, { given, link: `pair ${i >> 1}` })),
    );
    await update(policy, [...linked, ...(await many(policy, 6, 3))], method);
    expect(inputs.map(countGiven)).toEqual([0, 2, 4, 0, 2, 4]);
    for (const input of inputs) {
      const links = flags(input).flatMap((isGiven, i) => (isGiven ? [input.links![i]] : []));
      for (const link of links) expect(links.filter((other) => other === link)).toHaveLength(2);
    }
  });

  test.each([
    ["before", 2, 5],
    ["after", 5, 2],
  ])(
    "a given row with a prompt %s that of the sampled row it is linked to goes with it",
    async (_, text, call) => {
      const policy = await open();
      const { inputs, method } = watching({ updates });
      const linked = [
        await one(policy, 0, { given, link: "x" }, text),
        await one(policy, 1, { link: "x" }, call),
      ];
      await update(
        policy,
        [...linked, ...(await many(policy, 2, 3, { given })), await one(policy, 5)],
        method,
      );
      // Five units, two of them sampled: the first part is one of those, the last two parts have the other three.
      const parts = inputs.map((input) =>
        flags(input)
          .map((isGiven) => (isGiven ? "g" : "s"))
          .join(""),
      );
      for (const epoch of [parts.slice(0, 3), parts.slice(3)]) {
        expect(epoch[2]).toBe("gg");
        expect(epoch.slice(0, 2).join("").split("").sort().join("")).toBe("ggss");
        expect(["s", "gs", "sg"]).toContain(epoch[0]);
      }
    },
  );
});

describe("old log-probs", () => {
  const mixed = async (policy: TabularPolicy) => [
    ...(await many(policy, 0, 3)),
    ...(await many(policy, 3, 3, { given })),
    ...(await many(policy, 6, 3, { given: "without log-probs" })),
  ];
  /** By kind of row: what the loss was given, a number a token. */
  const byKind = (input: LossInput, numbers: Float32Array) => {
    const rows: { sampled: number[]; with: number[]; without: number[] } = {
      sampled: [],
      with: [],
      without: [],
    };
    let at = 0;
    for (const [i, length] of input.lengths.entries()) {
      const old = input.oldLogprobs[at];
      const kind = !flags(input)[i] ? "sampled" : old === -0.25 ? "with" : "without";
      rows[kind].push(...numbers.subarray(at, at + length));
      at += length;
    }
    return rows;
  };

  test("with stale samples: a given text keeps what came with it, and weighs 1", async () => {
    const policy = await open();
    const { inputs, method } = watching();
    const old = await mixed(policy);
    await update(policy, await many(policy, 20, 4), method);
    const now = inputs.length;
    const result = await update(policy, old, method, 1);
    // Those of version 42 are no witnesses of a lag.
    expect(result).toMatchObject({ staleness: 1, given: 6 });
    const input = inputs[now]!;
    const logprobs = byKind(input, input.logprobs);
    const before = byKind(input, input.oldLogprobs);
    const sampler = byKind(input, input.samplerLogprobs!);
    const weights = byKind(input, input.importance!);
    expect(before.with).toEqual(Array(6).fill(-0.25));
    expect(before.without).toEqual(logprobs.without);
    expect(before.sampled).toEqual(logprobs.sampled);
    expect(sampler.with).toEqual(before.with);
    expect(sampler.without).toEqual(before.without);
    expect(sampler.sampled).not.toEqual(before.sampled);
    expect(weights.with).toEqual(Array(6).fill(1));
    expect(weights.without).toEqual(Array(6).fill(1));
    expect(weights.sampled).not.toEqual(Array(weights.sampled.length).fill(1));
  });

  test("without any, over several steps, are those of the weights before the first", async () => {
    const policy = await open();
    const { inputs, method } = watching({ updates: { epochs: 3, minibatches: 1 } });
    await update(policy, await mixed(policy), method);
    expect(inputs).toHaveLength(3);
    const [first, , last] = inputs.map((input) => byKind(input, input.oldLogprobs));
    expect(last).toEqual(first);
    expect(byKind(inputs[2]!, inputs[2]!.logprobs).without).not.toEqual(last!.without);
  });

  test("`prepare` sees them, and which rows were given and whose they are", async () => {
    const policy = await open();
    let seen: readonly BatchCall[] = [];
    const prepare = (batch: readonly BatchCall[]) => {
      seen = batch;
    };
    await update(
      policy,
      await mixed(policy),
      watching({ prepare, updates: { epochs: 2, minibatches: 1 } }).method,
    );
    expect(seen.map((call) => call.policy)).toEqual(Array(9).fill("p"));
    const kind = ({ given: isGiven, oldLogprobs }: BatchCall) =>
      isGiven !== true ? "sampled" : oldLogprobs![0] === -0.25 ? "with" : "without";
    expect(seen.map(kind).sort()).toEqual(
      ["sampled", "with", "without"].flatMap((name) => Array(3).fill(name)),
    );
  });

  test("say nothing of the sampler", async () => {
    const policy = await open();
    const wrong = (await many(policy, 3, 3, { given })).map((row) => ({
      ...row,
      // Even if the other policy was at the very version.
      call: { ...row.call, version: 0 },
    }));
    const result = await update(policy, [...(await many(policy, 0, 3)), ...wrong], watching().method);
    expect(result.largestSamplerGap).toBeLessThan(1e-5);
  });
});
