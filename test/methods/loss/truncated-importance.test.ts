import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clipped } from "../../../src/methods/loss/clipped.ts";
import { sequenceRatio } from "../../../src/methods/loss/gspo.ts";
import {
  type TruncatedImportanceSettings,
  truncatedImportance,
} from "../../../src/methods/loss/truncated-importance.ts";
import type { LossInput } from "../../../src/methods/method.ts";
import { checkGradients, checkMask, checkSplit, lossInputs } from "./kernel-checks.ts";

// The microbatch of the MARS² test plan.
const plain: LossInput = {
  lengths: [3, 2],
  logprobs: Float32Array.of(-0.9, -1.8, -0.4, -1.4, -0.9),
  oldLogprobs: Float32Array.of(-1, -2, -0.5, -1.5, -0.7),
  advantages: Float32Array.of(1, 1, 1, -1, -1),
  totals: { sequences: 2, tokens: 5 },
};
const sampled: LossInput = { ...plain, samplerLogprobs: Float32Array.of(-1.1, -1.9, -1.5, -1.5, -0.8) };
const e = Math.exp;
const lossOf = (given: TruncatedImportanceSettings, input: LossInput = sampled) =>
  truncatedImportance(given).loss(input);
/** GSPO's two terms without weights: −min(s A, clip(s) A), s within the range. */
const terms = [-e(0.4 / 3), e(-0.05)] as const;

describe("golden values", () => {
  test("nobody else sampled: GSPO", () => {
    expect(lossOf({}, plain).loss).toBeCloseTo(-0.095701, 5);
    expect(lossOf({ correction: "repo", level: "geometric" }, plain).loss).toBeCloseTo(-0.095701, 5);
  });

  test("single correction, and the public code's double one", () => {
    expect(lossOf({}).loss).toBeCloseTo(-0.263035, 5);
    expect(lossOf({ correction: "repo" }).loss).toBeCloseTo(-0.275709, 5);
  });

  test("the clipped surrogate, with the public code's ratio to ℓ_old", () => {
    expect(truncatedImportance({ kernel: clipped() }).loss(plain).loss).toBeCloseTo(-0.297288, 5);
    expect(truncatedImportance({ kernel: clipped() }).loss(sampled).loss).toBeCloseTo(-0.501508, 5);
  });

  test("the trainer's weights, cut at 2, give the same as the log-probs of what sampled", () => {
    const importance = Float32Array.of(e(0.1), e(-0.1), 2, 1, e(0.1));
    expect(lossOf({}, { ...plain, importance }).loss).toBeCloseTo(-0.263035, 5);
  });
});

describe("levels, masks and vetoes", () => {
  // d: .1, −.1, 1 and 0, .1
  test("sequence: the product of the token weights; geometric: its mean in logs", () => {
    expect(lossOf({ level: "sequence", cap: 5 }).loss).toBeCloseTo(
      (terms[0] * e(1) + terms[1] * e(0.1)) / 2,
      5,
    );
    expect(lossOf({ level: "sequence" }).loss).toBeCloseTo((terms[0] * 2 + terms[1] * e(0.1)) / 2, 5);
    expect(lossOf({ level: "geometric" }).loss).toBeCloseTo(
      (terms[0] * e(1 / 3) + terms[1] * e(0.05)) / 2,
      5,
    );
  });

  test("mask: weights from the cap on, and from its inverse down, are 0", () => {
    const first = (terms[0] * (e(0.1) + e(-0.1))) / 3;
    const second = (terms[1] * (1 + e(0.1))) / 2;
    const { loss, statistics } = lossOf({ beyond: "mask" });
    expect(loss).toBeCloseTo((first + second) / 2, 5);
    expect(statistics.sums.beyondCap).toBe(1);
    expect(lossOf({ beyond: "mask", level: "sequence" }).loss).toBeCloseTo((terms[1] * e(0.1)) / 2, 5);
    const low = { ...sampled, samplerLogprobs: Float32Array.of(-1, -2, -0.5, -0.5, 0.3) };
    expect(lossOf({ beyond: "mask" }, low).loss).toBeCloseTo(terms[0] / 2, 5);
  });

  test("veto: one token below it silences its sequence alone, at any level", () => {
    const far = { ...sampled, samplerLogprobs: Float32Array.of(-1, -2, -0.5, -1.5, 9) };
    for (const level of ["token", "sequence", "geometric"] as const) {
      const { loss, gradients, statistics } = lossOf({ level }, far);
      expect(loss).toBeCloseTo(terms[0] / 2, 5);
      expect([...gradients.logprobs].slice(3).map((value) => value + 0)).toEqual([0, 0]);
      expect(statistics.sums.vetoed).toBe(2);
      expect(lossOf({ level, veto: 0 }, far).statistics.sums.vetoed).toBe(0);
    }
    const near = { ...sampled, samplerLogprobs: Float32Array.of(-1, -2, -0.5, -1.5, 8.5) };
    expect(lossOf({}, near).statistics.sums.vetoed).toBe(0);
  });

  test("masked tokens are in no product and veto nothing", () => {
    const mask = Uint8Array.of(1, 1, 0, 1, 0);
    const input = { ...sampled, mask, samplerLogprobs: Float32Array.of(-1.1, -1.9, -99, -1.5, 99) };
    const output = lossOf({ level: "sequence" }, input);
    expect(output.statistics.sums).toMatchObject({ vetoed: 0, importance: 3 });
    expect(output.statistics.tokens).toBe(3);
    // Token weights e^.1 and e^−.1, and 1: their geometric mean is over what is scored.
    const mean = lossOf(
      { level: "geometric" },
      { ...input, samplerLogprobs: Float32Array.of(-1.2, -2, 0, -1.5, 0) },
    );
    expect(mean.statistics.sums.importance).toBeCloseTo(2 * e(0.1) + 1, 5);
  });

  test("forms that need the sampler's log-probs refuse weights that are cut already", () => {
    const input = { ...plain, importance: new Float32Array(5).fill(1) };
    for (const settings of [{ level: "sequence" }, { level: "geometric" }, { correction: "repo" }] as const)
      expect(() => lossOf(settings, input)).toThrowError(
        expect.objectContaining({ code: "E_LOSS_SAMPLER", hint: expect.stringContaining("staleness") }),
      );
    expect(() => lossOf({}, { ...plain, samplerLogprobs: new Float32Array(4) })).toThrowError(
      expect.objectContaining({ code: "E_LOSS_SHAPE" }),
    );
  });
});

const shapes = [
  { level: "token", beyond: "truncate", correction: "single" },
  { level: "token", beyond: "mask", correction: "repo" },
  { level: "sequence", beyond: "truncate", correction: "repo" },
  { level: "geometric", beyond: "mask", correction: "single" },
] as const;

test.each(shapes)("gradients, splits and masks: $level, $beyond, $correction", (settings) => {
  const { loss } = truncatedImportance(settings);
  fc.assert(
    fc.property(lossInputs({ equalInSequence: true }), fc.integer({ min: -9, max: 9 }), (input, by) => {
      const samplerLogprobs = input.oldLogprobs.map((l, t) => l + (((by + t) % 4) - 1.5) / 3);
      const wholly = { ...input, samplerLogprobs };
      checkGradients(loss, wholly);
      checkMask(loss, wholly);
      // Splits cut the arrays that they know; with the trainer's weights alone.
      if (settings.level === "token" && settings.correction === "single") checkSplit(loss, input);
    }),
    { numRuns: 30 },
  );
});

test("splits change nothing where sequences have weights of their own", () => {
  const { loss } = truncatedImportance({ level: "geometric", correction: "repo" });
  const whole = loss(sampled);
  const cut = (from: number, to: number) => {
    const part: LossInput = {
      ...sampled,
      lengths: [to - from],
      logprobs: sampled.logprobs.slice(from, to),
      oldLogprobs: sampled.oldLogprobs.slice(from, to),
      advantages: sampled.advantages.slice(from, to),
      samplerLogprobs: sampled.samplerLogprobs!.slice(from, to),
    };
    return loss(part);
  };
  const parts = [cut(0, 3), cut(3, 5)];
  expect(parts[0]!.loss + parts[1]!.loss).toBeCloseTo(whole.loss, 6);
  expect(parts.flatMap(({ gradients }) => [...gradients.logprobs])).toEqual([...whole.gradients.logprobs]);
});

test("the kernel's traits and name stay; its settings are in the record", () => {
  const token = truncatedImportance({ kernel: clipped({ clipHigh: 0.28 }) });
  expect(token).toMatchObject({ stage: "loss", name: "clipped", ratio: "token" });
  expect(token.settings).toMatchObject({ cap: 2, kernel: { name: "clipped", clipHigh: 0.28 } });
  expect(truncatedImportance()).toMatchObject({ ratio: "sequence", reads: "advantages" });
  expect(truncatedImportance({ kernel: sequenceRatio({ form: "token" }) }).ratio).toBe("token");
});

test("settings are checked", () => {
  for (const wrong of [{ cap: 1 }, { veto: -1 }, { level: "word" as "token" }, { beyond: "cut" as "mask" }])
    expect(() => truncatedImportance(wrong)).toThrowError(
      expect.objectContaining({ code: "E_METHOD_SETTING" }),
    );
});
