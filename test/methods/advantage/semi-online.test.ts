/** Advantages along recorded episodes whose wrong steps are patched. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type SemiOnlineAdvantageSettings,
  semiOnlineAdvantage,
  semiOnlineAdvantageCard,
} from "../../../src/methods/advantage/semi-online.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import type { RewardedGroup } from "../../../src/methods/method.ts";
import { afterStep, firstReturn, semiOnlineReturns } from "../../../src/methods/patched-returns.ts";
import { semiOnline, semiOnlineCard } from "../../../src/methods/semi-online.ts";
import { between } from "../numbers.ts";
import { simulateStep } from "../sampler/simulated-step.ts";

const groupOf = (...episodes: readonly (readonly number[])[]): RewardedGroup => ({
  task: "t",
  dataset: "",
  episodes: episodes.map((steps) => ({
    reward: 0,
    calls: steps.map((reward, occurrence) => ({ agent: "a", occurrence, reward, own: reward })),
  })),
});
const of = (group: RewardedGroup, settings: SemiOnlineAdvantageSettings = {}) =>
  semiOnlineAdvantage({ epsilon: 0, ...settings }).advantages([{ group, ...broadcast().assign(group) }])[0]!;
const rows = (arrays: readonly ArrayLike<number>[]) => arrays.map((row) => Array.from(row));
const near = (expected: readonly (readonly number[])[]) =>
  expected.map((row) => row.map((value) => expect.closeTo(value, 6)));

test("golden values: no credit across a patch", () => {
  const returns = semiOnlineReturns([1, 1, 0.1, 1], [true, true, false, true], 0.5);
  expect(rows([returns])).toEqual(near([[1.5, 1, 0.1, 1]]));
});

test("what a workflow does after a step", () => {
  expect(afterStep(true, 9)).toBe("advance");
  expect([0, 1, 2].map((patches) => afterStep(false, patches))).toEqual(["patch", "patch", "stop"]);
  expect(afterStep(false, 99, -1)).toBe("patch");
  expect(afterStep(false, 0, 0)).toBe("stop");
  expect(() => semiOnlineReturns([1], [], 0.5)).toThrow(/1 step rewards, and 0 steps/);
});

describe("advantages", () => {
  // Returns (1.5, 1), (1, 0.1), (0.1, 1).
  const group = groupOf([1, 1], [1, 0.1], [0.1, 1]);
  const plain = { divideByDeviation: false } as const;

  test("each step against the same step of the others, and each episode against the others", () => {
    const means = [2.6 / 3, 2.1 / 3];
    expect(rows(of(group, { ...plain, episodeWeight: 0 }).advantages)).toEqual(
      near([
        [1.5 - means[0]!, 1 - means[1]!],
        [1 - means[0]!, 0.1 - means[1]!],
        [0.1 - means[0]!, 1 - means[1]!],
      ]),
    );
    expect(rows(of(group, { ...plain, stepWeight: 0 }).advantages)).toEqual(
      near([
        [0.6, 0.6],
        [-0.3, -0.3],
        [-0.3, -0.3],
      ]),
    );
  });

  test("as in the official code: each step's own reward against all steps", () => {
    const found = of(group, { ...plain, stepWeight: 0, episodes: "steps" });
    expect(rows(found.advantages)).toEqual(
      near([
        [0.3, 0.3],
        [0.3, -0.6],
        [-0.6, 0.3],
      ]),
    );
  });

  test("z-scores with n − 1, weighted and added", () => {
    const two = groupOf([1, 1], [0.1]);
    const z = Math.SQRT1_2;
    expect(rows(of(two, { stepWeight: 2 }).advantages)).toEqual(near([[3 * z, z], [-3 * z]]));
    expect(rows(of(two, { stepWeight: 2, ddof: 0 }).advantages)).toEqual(near([[3, 1], [-3]]));
  });

  test("the caller's matching, the order of issue, a credit assigner's additions", () => {
    expect(rows(of(group, { ...plain, episodeWeight: 0, matched: () => false }).advantages)).toEqual(
      near([
        [0.3, 0.3],
        [0.3, -0.6],
        [-0.6, 0.3],
      ]),
    );
    const turned: RewardedGroup = {
      ...group,
      episodes: group.episodes.map(({ calls, reward }) => ({
        reward,
        calls: calls.map((call, id) => ({ ...call, id })).toReversed(),
      })),
    };
    expect(rows(of(turned).advantages).map((row) => row.toReversed())).toEqual(
      near(rows(of(group).advantages)),
    );
    expect(firstReturn(turned.episodes[0]!)).toBe(1.5);
    const values = group.episodes.map(({ calls }) => Float64Array.from(calls, ({ reward }) => reward + 1));
    const [added] = semiOnlineAdvantage({ ...plain, stepWeight: 0, epsilon: 0 }).advantages([
      {
        group,
        values: [
          values[0]!,
          ...group.episodes.slice(1).map(({ calls }) => Float64Array.from(calls, (c) => c.reward)),
        ],
      },
    ]);
    expect(added!.advantages[0]![0]).toBeCloseTo(0.6 + 4 / 3, 6);
  });

  test("one episode, equal ones, none: nothing to learn", () => {
    for (const one of [groupOf([1, 0.1]), groupOf([1], [1]), groupOf(), groupOf([], [])])
      expect(of(one).hasSignal).toBe(false);
  });

  test("a step's advantages sum to zero, in any order", () => {
    const steps = fc.array(between(0, 1), { minLength: 2, maxLength: 2 });
    fc.assert(
      fc.property(fc.array(steps, { minLength: 1, maxLength: 6 }), between(0, 1), (all, gamma) => {
        const found = rows(of(groupOf(...all), { gamma }).advantages);
        for (const t of [0, 1]) expect(found.reduce((sum, row) => sum + row[t]!, 0)).toBeCloseTo(0, 6);
        const turned = rows(of(groupOf(...all.toReversed()), { gamma }).advantages).toReversed();
        expect(turned).toEqual(near(found));
      }),
    );
  });
});

describe("the method", () => {
  test("tasks whose first returns hardly differ give way to others", () => {
    const sampler = semiOnline({ groupSize: 2 }).sampler!;
    const { asked } = simulateStep(sampler, {
      tasks: 2,
      // Deviations 0.25 and 0.45.
      reward: (group, sample) => (sample === 0 ? 1 : group === 0 ? 0.5 : 0.1),
    });
    expect(asked[0]).toEqual([{ kind: "drop", group: 0 }, { kind: "task" }]);
    expect(firstReturn({ reward: 0.7, calls: [] })).toBe(0.7);
  });

  test("a small KL, unless it is 0; settings are checked, and the cards say the defaults", () => {
    expect(semiOnline().needs.reference).toBe(true);
    expect(semiOnline({ klCoefficient: 0 }).needs.reference).toBe(false);
    expect(() => semiOnline({ gamma: 2 })).toThrow(/gamma 2/);
    expect(() => semiOnline({ episodes: "rows" as "steps" })).toThrow(/"episodes" or "steps"/);
    expect(semiOnlineAdvantage().settings).toEqual(
      Object.fromEntries(
        Object.entries(semiOnlineAdvantageCard.defaults).map(([name, { value }]) => [name, value]),
      ),
    );
    const { settings } = semiOnline();
    const all = {
      ...Object.assign({}, ...Object.values(settings)),
      klCoefficient: (settings["regulariser/kl"] as { readonly coefficient: number }).coefficient,
    };
    for (const [name, { value }] of Object.entries(semiOnlineCard.defaults))
      expect(all[name], name).toBe(value);
  });
});
