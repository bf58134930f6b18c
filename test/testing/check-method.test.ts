/** The checks find what they are for: each method here breaks one rule. */

import { describe, expect, test } from "vitest";
import { clipped, compose, groupAdvantage, grpo, ppo } from "../../src/methods/index.ts";
import type { GroupCredit, LossInput, LossOutput, Method } from "../../src/methods/method.ts";
import {
  checkGradients,
  checkMethod,
  checkMicrobatches,
  checkOrder,
  checkState,
  microbatchOf,
  randomBatch,
  randomGroups,
} from "../../src/testing/index.ts";

const sound = compose({ advantage: groupAdvantage(), loss: clipped() });
const withLoss = (loss: (input: LossInput) => LossOutput, method: Method = sound): Method => ({
  ...method,
  loss,
});
const changed = (of: (output: LossOutput, input: LossInput) => LossOutput, method: Method = sound) =>
  withLoss((input) => of(method.loss(input), input), method);
const scaled = (array: Float32Array, by: number) => array.map((value) => value * by);

test("sound methods pass", () => {
  checkMethod(() => sound);
  checkMethod(() => grpo({ klCoefficient: 0.1, entropyCoefficient: 0.05 }));
  checkMethod(() => ppo());
});

describe("checkGradients", () => {
  test.each([
    ["a factor", (g: Float32Array) => scaled(g, 1.02)],
    ["a sign", (g: Float32Array) => scaled(g, -1)],
    ["one token", (g: Float32Array) => g.map((value, i) => (i % 7 === 3 ? 0 : value))],
    ["a token beside", (g: Float32Array) => g.map((_, i) => g[i + 1] ?? 0)],
  ])("finds %s", (_, change) => {
    const method = changed((output) => ({
      ...output,
      gradients: { logprobs: change(output.gradients.logprobs) },
    }));
    expect(() => checkGradients(method)).toThrow(/E_CHECK_GRADIENT|∂L\/∂logprobs of token/);
  });

  test("finds gradients of entropies and values", () => {
    const bonus = grpo({ entropyCoefficient: 0.1 });
    const entropies = changed(
      (output) => ({
        ...output,
        gradients: { ...output.gradients, entropies: scaled(output.gradients.entropies!, 0.9) },
      }),
      bonus,
    );
    expect(() => checkGradients(entropies)).toThrow(/∂L\/∂entropies/);
    const values = changed(
      (output) => ({
        ...output,
        gradients: { ...output.gradients, values: scaled(output.gradients.values!, 0.9) },
      }),
      ppo(),
    );
    expect(() => checkGradients(values)).toThrow(/∂L\/∂values/);
  });

  test("finds a gradient where the loss is clipped", () => {
    const method = changed((output, input) => ({
      ...output,
      gradients: {
        logprobs: output.gradients.logprobs.map(
          (value, t) => value || -input.advantages[t]! / input.totals.tokens,
        ),
      },
    }));
    expect(() => checkGradients(method)).toThrow(/of token|masked entry/);
  });

  test("finds masked tokens with a gradient", () => {
    const method = withLoss(({ mask: _, ...input }) => sound.loss(input));
    expect(() => checkGradients(method)).toThrow(/masked entry/);
  });

  test("finds tokens without advantage that a run would leave out", () => {
    const bonus = grpo({ klCoefficient: 0.1 });
    const method = { ...bonus, needs: { ...bonus.needs, tokensWithoutAdvantage: false } };
    const episode = { reward: 1, calls: [{ agent: "a", reward: 1, length: 3 }] };
    const idle = {
      groups: 2,
      episode: ({ group, sample }: { group: number; sample: number }) =>
        group === 0 ? episode : { ...episode, calls: [{ ...episode.calls[0]!, reward: sample }] },
    };
    expect(() => checkGradients(method, idle)).toThrow(/advantage 0 and ∂L\/∂logprobs/);
    checkGradients(bonus, idle);
  });

  test("refuses to say anything of gradients that are all 0", () => {
    const episode = () => ({ reward: 1, calls: [{ agent: "a", reward: 1 }] });
    expect(() => checkGradients(sound, { episode })).toThrow(/all gradients of 6 batches are 0/);
  });

  test("a ratio that the gradient takes for a constant", () => {
    const method = withLoss((input) => {
      const logprobs = new Float32Array(input.logprobs.length);
      let loss = 0;
      input.logprobs.forEach((l, t) => {
        if (input.mask?.[t] === 0) return;
        logprobs[t] = -input.advantages[t]! * Math.exp(l - input.oldLogprobs[t]!);
        loss += logprobs[t]! * l;
      });
      return { loss, gradients: { logprobs }, statistics: { tokens: 0, sums: {}, maxima: {} } };
    });
    checkGradients(method, { ratio: "constant" });
    expect(() => checkGradients(method)).toThrow(/of token/);
    expect(() => checkGradients(sound, { ratio: "constant" })).toThrow(/of token/);
  });
});

test("checkMicrobatches finds a loss that normalises by its microbatch", () => {
  checkMicrobatches(sound);
  const own = withLoss((input) =>
    sound.loss({ ...input, totals: { sequences: input.lengths.length, tokens: input.logprobs.length } }),
  );
  expect(() => checkMicrobatches(own)).toThrow(/cut into \d+ microbatches the loss is/);
  const places = changed((output, input) => ({
    ...output,
    gradients: {
      logprobs: output.gradients.logprobs.map((value, t) =>
        t === 0 && input.lengths.length < 3 ? 0 : value,
      ),
    },
  }));
  expect(() => checkMicrobatches(places)).toThrow(/gradient ∂L\/∂logprobs/);
  const counts = changed((output) => ({
    ...output,
    statistics: { ...output.statistics, sums: { ...output.statistics.sums, parts: 1 } },
  }));
  expect(() => checkMicrobatches(counts)).toThrow(/statistic "parts"/);
});

test("checkOrder finds credit that goes by place", () => {
  const first = {
    ...sound,
    creditAll: undefined,
    credit: (group: Parameters<Method["credit"]>[0]): GroupCredit => ({
      hasSignal: true,
      advantages: group.map(({ calls, reward }) => Float64Array.from(calls, () => reward - group[0]!.reward)),
    }),
  } as unknown as Method;
  expect(() => checkOrder(first)).toThrow(/another order of episodes/);
});

describe("checkState", () => {
  /** Compares with the mean reward of the steps before. */
  const remembering = (wrong: Partial<Method> & { readonly learnsInCredit?: true } = {}): Method => {
    let sum = 0;
    const { learnsInCredit, ...given } = wrong;
    return {
      name: "remembering",
      groupSize: 4,
      settings: {},
      needs: { reference: false, entropy: false, tokensWithoutAdvantage: false },
      state: () => ({ sum }),
      restore: (state) => {
        ({ sum } = state as { sum: number });
      },
      observe: ({ groups }) => {
        for (const { episodes } of groups) for (const { reward } of episodes) sum += reward;
      },
      credit: (group) => {
        if (learnsInCredit) sum += 1;
        return {
          hasSignal: true,
          advantages: group.map(({ calls, reward }) => Float64Array.from(calls, () => reward - sum)),
        };
      },
      loss: sound.loss,
      ...given,
    };
  };

  test("passes what is remembered", () => {
    checkState(() => remembering());
    checkState(() => sound);
  });

  test("finds what is forgotten, learned too early, or has no state", () => {
    expect(() => checkState(() => remembering({ restore: () => {} }))).toThrow(/restored after 1 steps/);
    expect(() => checkState(() => remembering({ learnsInCredit: true }))).toThrow(
      /crediting a batch changed/,
    );
    const { state: _, restore: __, ...forgetful } = remembering();
    expect(() => checkState(() => forgetful)).toThrow(/has no `state`/);
    let shared = 0;
    const other = () => {
      const own = shared++;
      return remembering({ state: () => ({ sum: own }), restore: () => {} });
    };
    expect(() => checkState(other)).toThrow(/restored after/);
  });
});

test("batches come back, and cutting at all places changes nothing", () => {
  const [first, again] = [randomBatch(ppo(), { seed: 3 }), randomBatch(ppo(), { seed: 3 })];
  expect(again).toEqual(first);
  expect(randomBatch(ppo(), { seed: 4 }).input).not.toEqual(first.input);
  expect(microbatchOf(first.input, [...first.input.lengths.keys()])).toEqual(first.input);
  const { lengths, values, mask } = microbatchOf(first.input, [2, 0]);
  const [a, b, c] = first.input.lengths as readonly [number, number, number];
  expect(lengths).toEqual([c, a]);
  expect([...values!.subarray(0, c)]).toEqual([...first.input.values!.subarray(a + b, a + b + c)]);
  expect([...mask!.subarray(c)]).toEqual([...first.input.mask!.subarray(0, a)]);
  const [group] = randomGroups({ groupSize: 2 });
  expect(group!.episodes[1]!.calls[0]!.node).toBe(group!.episodes[0]!.calls[0]!.node);
});
