/** One policy's update on calls made by hand: passes, minibatches, staleness, and what is refused. */

import { describe, expect, test } from "vitest";
import type { ScoringPolicy, StepOptions } from "../../src/engine/policy.ts";
import { grpo } from "../../src/methods/grpo.ts";
import type { Method } from "../../src/methods/method.ts";
import { ppo } from "../../src/methods/ppo.ts";
import { key } from "../../src/random/stream.ts";
import { type TabularPolicy, tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { minibatches, rowOf } from "../../src/trainer/batch-rows.ts";
import type { CreditedCall } from "../../src/trainer/credit-groups.ts";
import { importanceCap, importanceOf, oldLogprobsOf } from "../../src/trainer/old-logprobs.ts";
import { type UpdateOptions, updatePolicy } from "../../src/trainer/update.ts";
import type { CallRecord, Trajectory } from "../../src/workflow/trajectory.ts";

const open = () =>
  tabularPolicy({ words: ["a", "b", "c", "d"], valueHead: true }).open({ name: "p", seed: 0 });

/** Calls that the policy samples, with credits from −1 to 1; every second one longer, turn by turn. */
async function sampled(policy: TabularPolicy, count = 8, over: Partial<CallRecord> = {}, draw = 0) {
  const calls: CreditedCall[] = [];
  for (let i = 0; i < count; i++) {
    const prompt = Int32Array.of(2 + (i % 4), 3);
    const result = await policy.sample({ prompt, maxTokens: 2 + (i % 3), key: key("call", draw, i) });
    const { tokens: output, logprobs, version } = result;
    const mask = new Uint8Array(output.length).fill(1);
    const place = { id: i, agent: i % 2 === 0 ? "x" : "y", occurrence: i >> 1, scope: "", issued: i };
    const record = { ...place, prompt, output, logprobs, version, mask, sampling: {}, ...over };
    calls.push({
      trajectory: { id: `episode ${i}` } as Trajectory,
      call: record as CallRecord,
      advantage: (2 * i) / (count - 1) - 1,
    });
  }
  return calls;
}

interface Overrides {
  readonly step?: number;
  readonly optimizers?: UpdateOptions["settings"]["optimizers"];
  readonly method?: Method;
  readonly tokensPerMicrobatch?: number;
  readonly staleness?: number;
  readonly seed?: number;
  readonly learningRate?: number;
}
const update = (
  policy: TabularPolicy,
  calls: readonly CreditedCall[],
  given: Overrides,
  reference?: ScoringPolicy,
) => {
  const { method = grpo(), tokensPerMicrobatch = 1000, staleness = 0, seed = 0 } = given;
  const { step = 1, learningRate = 0.1, optimizers = {} } = given;
  return updatePolicy({
    name: "p",
    policy,
    reference,
    calls,
    step,
    settings: {
      method,
      steps: 10,
      seed,
      learningRate,
      betas: [0.9, 0.999],
      weightDecay: 0,
      maxGradientNorm: Number.POSITIVE_INFINITY,
      tokensPerMicrobatch,
      staleness,
      optimizers,
    },
  });
};

const scored = { tokens: Int32Array.of(2, 3, 4, 5, 2, 0), mask: Uint8Array.of(0, 1, 1, 1, 1, 1) };
const weights = async (policy: TabularPolicy) => {
  const { logprobs, values } = await policy.forward([scored], { values: true });
  return [...logprobs, ...values!];
};

describe("microbatches", () => {
  test.each([
    { name: "grpo", method: grpo({ aggregation: "sequence-mean" }) },
    { name: "ppo", method: ppo({ turns: { gamma: 0.9, lambda: 0.9 } }) },
    { name: "ppo in four steps", method: ppo({ epochs: 2, minibatches: 2 }) },
  ])("$name: how the batch is cut changes nothing", async ({ method }) => {
    const [whole, cut] = [await open(), await open()];
    const one = await update(whole, await sampled(whole), { method });
    const many = await update(cut, await sampled(cut), { method, tokensPerMicrobatch: 1 });
    expect(many.loss).toBeCloseTo(one.loss!, 5);
    expect(many.statistics!.ratio).toBeCloseTo(one.statistics!.ratio!, 5);
    const wanted = await weights(whole);
    for (const [i, found] of (await weights(cut)).entries()) expect(found).toBeCloseTo(wanted[i]!, 4);
    expect(wanted).not.toEqual(await weights(await open()));
  });
});

describe("minibatches", () => {
  test("every row is in one part, parts differ by one row at most, and the key decides", async () => {
    const policy = await open();
    const rows = (await sampled(policy, 11)).map((call) => rowOf(call, 0));
    const parts = minibatches(rows, 3, [0, "minibatches", 1, "p", 0]);
    expect(parts.map(({ length }) => length).sort()).toEqual([3, 4, 4]);
    expect(new Set(parts.flat())).toEqual(new Set(rows));
    expect(minibatches(rows, 3, [0, "minibatches", 1, "p", 0])).toEqual(parts);
    expect(minibatches(rows, 3, [0, "minibatches", 1, "p", 1])).not.toEqual(parts);
    expect(minibatches(rows, 99, [0])).toHaveLength(11);
  });

  test("are drawn anew each step", async () => {
    const weightsOf = async (step: number) => {
      const policy = await open();
      await update(policy, await sampled(policy), { method: grpo({ minibatches: 4 }), step });
      return weights(policy);
    };
    expect(await weightsOf(1)).toEqual(await weightsOf(1));
    expect(await weightsOf(2)).not.toEqual(await weightsOf(1));
  });

  test("a method without a use for tokens without advantage takes no step on a part of zeros", async () => {
    const policy = await open();
    const calls = (await sampled(policy, 6)).map((call, i) => ({ ...call, advantage: i === 0 ? 1 : 0 }));
    const { optimizerSteps } = await update(policy, calls, { method: grpo({ minibatches: 3 }) });
    expect(optimizerSteps).toBe(1);
    const none = calls.map((call) => ({ ...call, advantage: 0 }));
    const result = await update(policy, none, { staleness: 1 });
    expect(result).toMatchObject({ updated: false, optimizerSteps: 0, version: 1 });
  });
});

test("a policy's own optimiser settings take the place of the run's, one by one", async () => {
  const asked = async (optimizers: NonNullable<Overrides["optimizers"]>) => {
    const policy = await open();
    let seen: StepOptions | undefined;
    const step = policy.step.bind(policy);
    policy.step = (given) => {
      seen = given;
      return step(given);
    };
    await update(policy, await sampled(policy), { optimizers });
    return seen;
  };
  const run = { learningRate: 0.1, betas: [0.9, 0.999], weightDecay: 0 };
  expect(await asked({})).toEqual(run);
  expect(await asked({ other: { learningRate: 9 } })).toEqual(run);
  for (const own of [
    { learningRate: 0.2 },
    { betas: [0.5, 0.6] as const },
    { weightDecay: 0.3 },
    { maxGradientNorm: 0.4 },
    { epsilon: 0.5 },
  ])
    expect(await asked({ p: own })).toEqual({ ...run, ...own });
  expect(await asked({ p: { learningRate: { peak: 1, warmupSteps: 4 } } })).toMatchObject({
    learningRate: 0.2,
  });
  expect(await asked({ p: { maxGradientNorm: Number.POSITIVE_INFINITY } })).toEqual(run);
});

test("tokens without advantage count in the normaliser, whether or not they get a pass", async () => {
  for (const aggregation of ["token-mean", "sequence-mean", "sequence-sum"] as const) {
    const norm = async (withZeros: boolean, entropyCoefficient = 0) => {
      const policy = await open();
      const calls = await sampled(policy);
      const zeros = calls.map((call) => ({ ...call, advantage: 0 }));
      const method = grpo({ aggregation, entropyCoefficient });
      const { gradientNorm } = await update(policy, withZeros ? [...calls, ...zeros] : calls, { method });
      return gradientNorm!;
    };
    expect(await norm(true)).toBeCloseTo((await norm(false)) / 2, 6);
    // The smallest of bonuses sends them through the pass as well.
    expect(await norm(true, 1e-9)).toBeCloseTo((await norm(false)) / 2, 6);
  }
});

describe("old log-probs", () => {
  const counting = async () => {
    const policy = await open();
    let passes = 0;
    const forward = policy.forward.bind(policy);
    policy.forward = (...given) => {
      passes++;
      return forward(...given);
    };
    return { policy, passes: () => passes };
  };

  test("recorded ones cost no pass; filtered ones cost one before the first of several steps", async () => {
    const passes = async (method: Method, over?: Partial<CallRecord>) => {
      const { policy, passes } = await counting();
      const { statistics } = await update(policy, await sampled(policy, 8, over), { method });
      return { passes: passes(), ratio: statistics!.largestRatio! };
    };
    expect((await passes(grpo())).passes).toBe(1);
    expect((await passes(grpo({ epochs: 3 }))).passes).toBe(3);
    const filtered = { sampling: { topK: 2 }, logprobs: new Float32Array(9) };
    expect(await passes(grpo(), filtered)).toEqual({ passes: 1, ratio: 1 });
    // The alarm compares what the same weights say; later passes are of other weights.
    const again = await open();
    const moved = await update(again, await sampled(again), { method: grpo({ epochs: 3 }) });
    expect(moved.statistics!.largestRatio).toBeGreaterThan(1.05);
    expect(moved.largestSamplerGap).toBeLessThan(1e-5);
    const several = await passes(grpo({ epochs: 3 }), filtered);
    expect(several.passes).toBe(4);
    // Against the weights before the update, not against itself each time.
    expect(several.ratio).toBeGreaterThan(1);
  });

  test("the reference scores a batch once, however many epochs, and before the estimate if that asks", async () => {
    const policy = await open();
    for (const klIn of ["loss", "reward"] as const) {
      const { policy: reference, passes } = await counting();
      const calls = await sampled(policy);
      const method = grpo({ epochs: 3, klCoefficient: 0.1, klIn });
      const { statistics } = await update(policy, calls, { method }, reference);
      expect(passes()).toBe(1);
      expect(statistics!.referenceKl).toBeGreaterThan(0);
    }
  });

  test("the estimate sees the log-probs of the weights before the update, also for filtered calls", async () => {
    const policy = await open();
    await update(policy, await sampled(policy), { learningRate: 1 });
    const base = grpo({ klCoefficient: 1, klIn: "reward" });
    for (const over of [{}, { sampling: { topK: 2 }, logprobs: new Float32Array(9) }]) {
      let compared = 0;
      const calls = await sampled(policy, 8, over);
      const { logprobs } = await policy.forward(calls.map((call) => rowOf(call, 0).sequence));
      const wanted = new Map<string, Float32Array>();
      let at = 0;
      for (const { trajectory, call } of calls) {
        wanted.set(trajectory.id, logprobs.slice(at, at + call.output.length));
        at += call.output.length;
      }
      const method: Method = {
        ...base,
        estimate: (batch) => {
          for (const { episode, oldLogprobs, referenceLogprobs } of batch) {
            expect(referenceLogprobs).toHaveLength(oldLogprobs!.length);
            for (const [t, l] of wanted.get(episode)!.entries()) {
              expect(oldLogprobs![t]).toBeCloseTo(l, 5);
              compared++;
            }
          }
          return base.estimate!(batch);
        },
      };
      await update(policy, calls, { method }, await open());
      expect(compared).toBe(logprobs.length);
    }
  });

  test("KL in the reward pulls towards the reference", async () => {
    const [policy, reference] = [await open(), await open()];
    for (let i = 0; i < 3; i++) await update(policy, await sampled(policy, 8), { learningRate: 0.5 });
    // Mean over what the prompts are followed by; the reference is uniform over the 6 tokens.
    const kl = async () => {
      const prompts = [2, 3, 4, 5].map((first) => ({
        tokens: Int32Array.of(first, 3, 2),
        mask: Uint8Array.of(0, 0, 1),
      }));
      const { entropies } = await policy.forward(prompts, { entropy: true });
      return Math.log(6) - entropies!.reduce((sum, h) => sum + h, 0) / 4;
    };
    const far = await kl();
    expect(far).toBeGreaterThan(0.1);
    for (let i = 1; i <= 30; i++) {
      const calls = (await sampled(policy, 64, {}, i)).map((call) => ({ ...call, advantage: 0 }));
      const method = grpo({ klCoefficient: 1, klIn: "reward" });
      await update(policy, calls, { method, learningRate: 0.05 }, reference);
    }
    expect(await kl()).toBeLessThan(far / 4);
  });
});

describe("staleness", () => {
  test("older samples beyond the bound, and those of the future, are refused", async () => {
    const policy = await open();
    const old = await sampled(policy);
    await update(policy, old, {});
    await expect(update(policy, old, {})).rejects.toMatchObject({ code: "E_STALE_SAMPLE" });
    await expect(update(policy, old, {})).rejects.toThrow(/sampled by version 0.*now at version 1/);
    await expect(update(policy, old, { staleness: 1 })).resolves.toMatchObject({ staleness: 1 });
    await expect(update(policy, old, { staleness: 1 })).rejects.toThrow(/at most 1 versions/);
    // An update of four steps lets its samples lag by four versions.
    const method = grpo({ epochs: 2, minibatches: 2 });
    await expect(update(policy, old, { method, staleness: 1 })).resolves.toMatchObject({ staleness: 2 });
    const future = (await sampled(policy)).map((one) => ({
      ...one,
      call: { ...one.call, version: policy.version + 1 },
    }));
    await expect(update(policy, future, { staleness: 5 })).rejects.toMatchObject({ code: "E_STALE_SAMPLE" });
  });

  test("weights are e^(ℓ_prox − ℓ_behaviour) up to the cap; the ratio is against ℓ_prox", async () => {
    const policy = await open();
    const calls = await sampled(policy);
    const row = rowOf(calls.find(({ call }) => call.output.length === 2)!, 3);
    expect(row.fresh).toBe(false);
    const behaviour = row.source.call.logprobs;
    row.proximal = Float32Array.from(behaviour, (l, i) => l + [-0.5, 5][i]!);
    const found = importanceOf(row);
    expect(found[0]).toBeCloseTo(Math.exp(-0.5), 5);
    expect(found[1]).toBe(importanceCap);
    expect(oldLogprobsOf(row, behaviour, true)).toBe(row.proximal);
    expect(oldLogprobsOf(row, row.proximal, false)).toBe(behaviour);
    expect([...importanceOf({ ...row, filtered: true })]).toEqual([1, 1]);
  });

  test("the gradient of a stale batch is that of the importance-weighted loss at the present weights", async () => {
    const [policy, same] = [await open(), await open()];
    for (const one of [policy, same]) await update(one, await sampled(one), { learningRate: 1 });
    const old = await sampled(await open());
    const result = await update(policy, old, { staleness: 1, learningRate: 0.5 });
    // Against ℓ_prox nothing has moved yet.
    expect(result.statistics!.largestRatio).toBeCloseTo(1, 5);
    // By hand: log-probs of the present weights as ℓ_old, and the weight in the advantage.
    const rows = old.map((one) => rowOf(one, same.version));
    const { logprobs } = await same.forward(rows.map(({ sequence }) => sequence));
    const weighted = new Map<string, Float32Array>();
    let at = 0;
    const fresh = rows.map((row) => {
      row.proximal = logprobs.slice(at, at + row.scored);
      at += row.scored;
      const { trajectory, call } = row.source;
      weighted.set(
        trajectory.id,
        importanceOf(row).map((weight, t) => weight * row.advantages[t]!),
      );
      return { ...row.source, call: { ...call, logprobs: row.proximal, version: same.version } };
    });
    const method: Method = {
      ...grpo(),
      estimate: (batch) => ({ advantages: batch.map(({ episode }) => weighted.get(episode)!) }),
    };
    await update(same, fresh, { method, learningRate: 0.5 });
    const wanted = await weights(same);
    for (const [i, found] of (await weights(policy)).entries()) expect(found).toBeCloseTo(wanted[i]!, 4);
  });

  test("the alarm for a sampler that differs stays on for fresh calls beside stale ones", async () => {
    const policy = await open();
    const old = await sampled(policy, 4);
    await update(policy, old, { learningRate: 1 });
    const fresh = await sampled(policy, 4);
    const alone = await update(policy, [...old, ...fresh], { staleness: 1, learningRate: 1 });
    expect(alone.largestSamplerGap).toBeLessThan(1e-5);
    const wrong = (await sampled(policy, 4)).map((one) => ({
      ...one,
      call: { ...one.call, logprobs: one.call.logprobs.map((l) => l - 0.3) },
    }));
    const faulty = await update(policy, [...fresh, ...wrong], { staleness: 1 });
    expect(faulty.meanSamplerGap).toBeCloseTo(0.3, 4);
  });
});

describe("estimates", () => {
  const refused = async (estimate: NonNullable<Method["estimate"]>, base: Method = grpo()) => {
    const policy = await open();
    const before = await weights(policy);
    const error = await update(policy, await sampled(policy), { method: { ...base, estimate } }).then(
      () => undefined,
      (failure: unknown) => failure as Error & { code: string },
    );
    expect(await weights(policy)).toEqual(before);
    expect(policy.version).toBe(0);
    return `${error?.code}: ${error?.message}`;
  };

  test("that do not fit, are not numbers or are missing are errors, and change no weight", async () => {
    const ones = (length: number) => new Float32Array(length).fill(1);
    expect(await refused(() => ({ advantages: [] }))).toMatch(
      /E_ESTIMATE_SHAPE.*no advantages for \d+ sampled/,
    );
    expect(await refused((batch) => ({ advantages: batch.map(({ length }) => ones(length + 1)) }))).toMatch(
      /E_ESTIMATE_SHAPE.*call \d of agent "[xy]" in episode episode \d/,
    );
    const nan = (length: number) => ones(length).fill(Number.NaN, length - 1);
    expect(await refused((batch) => ({ advantages: batch.map(({ length }) => nan(length)) }))).toMatch(
      /E_ESTIMATE_NOT_FINITE.*one is NaN/,
    );
    const advantages = (batch: readonly { readonly length: number }[]) =>
      batch.map(({ length }) => ones(length));
    expect(await refused((batch) => ({ advantages: advantages(batch) }), ppo())).toMatch(
      /E_ESTIMATE_SHAPE.*no returns/,
    );
  });
});
