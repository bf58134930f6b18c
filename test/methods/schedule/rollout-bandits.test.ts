/** @file The check vector of CBS, features, selections, what a bandit learns, its checkpoint, and its equality to plain RL. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Arm,
  armFeatures,
  armsLoss,
  banditReward,
  bestArms,
  chooseArms,
  type StoredArm,
} from "../../../src/methods/schedule/arms.ts";
import type { RolloutBanditSettings } from "../../../src/methods/schedule/bandit-settings.ts";
import { rolloutBandits, rolloutBanditsCard } from "../../../src/methods/schedule/rollout-bandits.ts";
import { stream } from "../../../src/random/stream.ts";
import { between } from "../numbers.ts";

const arm = (id: string, group: string, changes: Partial<Arm> = {}): Arm => ({
  id,
  group,
  reward: 0,
  advantage: 0,
  lengthShare: 0.5,
  truncated: false,
  entropy: 1,
  ...changes,
});

/** `groups` groups of `size` episodes of a round. */
function roundOf(round: number, groups: number, size: number): Arm[] {
  const random = stream("round", round);
  return Array.from({ length: groups * size }, (_, i) => {
    const reward = random.uniform();
    const group = `${round}/${Math.floor(i / size)}`;
    return arm(`${group}/${i}`, group, { reward, advantage: reward - 0.5, entropy: random.uniform() });
  });
}

const ids = ({ arms }: { readonly arms: readonly Arm[] }) => arms.map(({ id }) => id);

describe("check vector", () => {
  const scores = [0.02, 0.05, -0.01, 0.04, 0.03, 0];

  it("reward", () => {
    const [before, after] = [
      { reward: 0.4, entropy: 0.3 },
      { reward: 0.46, entropy: 0.36 },
    ];
    const at = (entropyFloor: number) => banditReward(before, after, { entropyWeight: 0.5, entropyFloor });
    expect(at(0.25)).toBeCloseTo(0.03, 12);
    // Entropy is not above the floor.
    expect(at(0.3)).toBeCloseTo(0.06, 12);
  });

  it("selection and losses", () => {
    expect(bestArms(scores, 3).sort()).toEqual([1, 3, 4]);
    const random = stream("none");
    const ages = [0, 0, 0, 0, 0, 0];
    expect(chooseArms(scores, 3, { exploration: 0, ages, random })).toEqual([1, 3, 4]);
    const chosen = [0.05, 0.04, 0.03];
    expect(armsLoss(chosen, 0.03, "each arm").loss).toBeCloseTo(1.66667e-4, 9);
    expect(armsLoss(chosen, 0.03, "their mean").loss).toBeCloseTo(1e-4, 12);
  });

  it("∂L/∂f is that of finite differences", () => {
    fc.assert(
      fc.property(
        fc.array(between(-2, 2), { minLength: 1, maxLength: 6 }),
        between(-1, 1),
        fc.constantFrom("each arm" as const, "their mean" as const),
        (given, reward, fit) => {
          const { gradients } = armsLoss(given, reward, fit);
          for (const i of given.keys()) {
            const at = (by: number) => armsLoss(given.with(i, given[i]! + by), reward, fit).loss;
            expect(gradients[i]).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 7);
          }
        },
      ),
    );
  });
});

describe("arms", () => {
  const stored = (given: Arm, age = 0, uses = 0): StoredArm => ({ ...given, age, uses });

  it("features by hand, standardised over the candidates", () => {
    const features = armFeatures(
      [
        stored(arm("a", "x", { reward: 1, advantage: -2, truncated: true, entropy: 3 })),
        stored(arm("b", "x", { reward: 0, advantage: 2, entropy: 1 }), 2, 1),
        stored(arm("c", "y", { reward: 2, advantage: 0, clipShare: 0.5 }), 0, 3),
      ],
      3,
    );
    const z = (values: readonly number[]) => {
      const mean = values.reduce((sum, value) => sum + value, 0) / 3;
      const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 3);
      return values.map((value) => (value - mean) / deviation);
    };
    const columns = [
      z([1, 0, 2]),
      z([-2, 2, 0]),
      z([2, 2, 0]),
      z([0.5, 0.5, 2]),
      [0, 0, 0],
      z([1, 0, 0]),
      z([3, 1, 1]),
      z([0, 0, 0.5]),
      z([0, 2, 0]),
      z([0, 1, 3]),
    ];
    for (const [column, wanted] of columns.entries())
      for (const [row, value] of wanted.entries()) expect(features[row]![column]).toBeCloseTo(value, 12);
  });

  it("of one episode say nothing; of none there are none", () => {
    expect([...armFeatures([stored(arm("a", "x", { reward: 5 }))], 1)[0]!]).toEqual(Array(10).fill(0));
    expect(armFeatures([], 1)).toEqual([]);
  });

  it("ties go to the younger, then to the earlier", () => {
    expect(bestArms([1, 1, 1, 2], 3, [2, 0, 0, 5])).toEqual([3, 1, 2]);
  });

  it("exploration draws its share evenly", () => {
    const scores = Float64Array.from({ length: 10 }, (_, i) => i);
    const counts = new Float64Array(10);
    const runs = 4000;
    for (let run = 0; run < runs; run++) {
      const random = stream("explore", run);
      const chosen = chooseArms(scores, 5, { exploration: 0.3, ages: new Float64Array(10), random });
      expect(chosen.length).toBe(5);
      for (const place of chosen) counts[place]!++;
    }
    // 1.5 places on average are drawn from ten; the five worst are there by chance alone.
    for (let i = 0; i < 4; i++) expect(counts[i]! / runs).toBeCloseTo(0.15, 1);
    const worst = counts.subarray(0, 4).reduce((sum, count) => sum + count, 0) / runs / 4;
    expect(Math.abs(worst - 0.15)).toBeLessThan(0.015);
  });
});

describe("rolloutBandits", () => {
  const plain: RolloutBanditSettings[] = [
    { candidates: "intra-group", keep: 1 },
    { candidates: "global", rounds: 1 },
  ];
  it.each(plain)("is plain RL where it keeps everything: %j", (settings) => {
    const bandits = rolloutBandits(settings);
    for (let round = 1; round <= 3; round++) {
      const fresh = roundOf(round, 2, 4);
      bandits.arrive(fresh);
      const selection = bandits.select();
      expect(ids(selection)).toEqual(fresh.map(({ id }) => id));
      bandits.commit(selection);
    }
  });

  it("keeps the best share of each group", () => {
    const bandits = rolloutBandits({ keep: 0.5, exploration: [0, 0] });
    const fresh = roundOf(1, 3, 4);
    bandits.arrive(fresh);
    const all = rolloutBandits({ keep: 1, exploration: [0, 0] });
    all.arrive(fresh);
    const { arms, scores } = all.select();
    const kept = bandits.select();
    for (const group of ["1/0", "1/1", "1/2"]) {
      const within = arms.flatMap(({ id, group: of }, i) =>
        of === group ? [{ id, score: scores[i]! }] : [],
      );
      const best = within.sort((a, b) => b.score - a.score).slice(0, 2);
      expect(
        ids(kept)
          .filter((id) => id.startsWith(group))
          .sort(),
      ).toEqual(best.map(({ id }) => id).sort());
    }
    // Of a group of one, the one.
    const single = rolloutBandits({ keep: 0.1 });
    single.arrive([arm("a", "x"), arm("b", "y")]);
    expect(ids(single.select())).toEqual(["a", "b"]);
  });

  it("stores rounds first in, first out, and counts age and uses", () => {
    const bandits = rolloutBandits({ candidates: "global", rounds: 2, count: 4 });
    bandits.arrive(roundOf(1, 1, 4));
    bandits.commit(bandits.select());
    bandits.arrive(roundOf(2, 1, 4));
    const everything = rolloutBandits({ candidates: "global", rounds: 2, count: 100 });
    everything.restore(bandits.state());
    const { arms } = everything.select();
    expect(arms.map(({ age, uses }) => [age, uses])).toEqual([
      ...Array(4).fill([1, 1]),
      ...Array(4).fill([0, 0]),
    ]);
    expect(bandits.select().arms).toHaveLength(4);
    bandits.arrive(roundOf(3, 1, 4));
    everything.restore(bandits.state());
    expect(ids(everything.select()).map((id) => id[0])).toEqual([..."22223333"]);
  });

  it("knows what a selection was worth a round later, with the floor of its own round", () => {
    const bandits = rolloutBandits({ candidates: "global" });
    const round = (id: string, reward: number, entropy: number) => [arm(id, "g", { reward, entropy })];
    expect(bandits.arrive(round("a", 0.2, 0.2))).toEqual({});
    // Nothing was trained on, so nothing can be learned.
    expect(bandits.arrive(round("b", 0.4, 0.3))).toEqual({});
    bandits.commit(bandits.select());
    // Median of 0.2 and 0.3 is 0.25, and 0.3 is above it.
    const learned = bandits.arrive(round("c", 0.46, 0.36));
    expect(learned.reward).toBeCloseTo(0.03, 12);
    expect(learned.loss).toBeGreaterThanOrEqual(0);
    const idle = rolloutBandits({ candidates: "global" });
    idle.restore(bandits.state());
    // What was trained on before has been judged already.
    expect(idle.arrive(round("other", 1, 1))).toEqual({});
    bandits.commit(bandits.select());
    const low = rolloutBandits({ candidates: "global", entropyFloor: 0.5 });
    low.restore(bandits.state());
    expect(bandits.arrive(round("d", 0.5, 0.1)).reward).toBeCloseTo(0.04 + 0.5 * 0.26, 12);
  });

  it.each([1, -1])("learns which episodes help: long ones, times %i", (sign) => {
    const ofLength = (id: string, lengthShare: number, reward = 0) =>
      arm(id, "g", { reward, lengthShare, entropy: 0 });
    const longShare = (arms: readonly Arm[]) =>
      arms.filter(({ lengthShare }) => lengthShare > 0.5).length / arms.length;
    const bandits = rolloutBandits({ keep: 0.5, exploration: [1, 1] });
    let value = 0.5;
    for (let round = 1; round <= 20; round++) {
      const random = stream("long", round);
      bandits.arrive(
        Array.from({ length: 16 }, (_, i) => ofLength(`${round}/${i}`, random.uniform(), value)),
      );
      const selection = bandits.select();
      bandits.commit(selection);
      value += sign * 0.2 * (longShare(selection.arms) - 0.5);
    }
    const greedy = rolloutBandits({ keep: 0.5, exploration: [0, 0] });
    greedy.restore(bandits.state());
    const probe = Array.from({ length: 16 }, (_, i) => ({ ...ofLength(`${i}`, i / 15), age: 0, uses: 0 }));
    const long = longShare(greedy.choose(probe).arms);
    expect(sign === 1 ? long : 1 - long).toBeGreaterThanOrEqual(0.75);
  });

  it("replays the last rounds", () => {
    const bandits = rolloutBandits({ replay: 2, entropyWeight: 0 });
    for (const [round, reward] of [0, 0.1, 0.3, 0.6].entries()) {
      bandits.arrive([arm(`${round}`, "g", { reward })]);
      bandits.commit(bandits.select());
    }
    const { learner } = bandits.state() as { learner: { played: { reward: number }[] } };
    expect(learner.played.map(({ reward }) => reward)).toEqual([
      expect.closeTo(0.2, 12),
      expect.closeTo(0.3, 12),
    ]);
  });

  it("explores less from round to round", () => {
    const falling = rolloutBandits({ exploration: [1, 0], explorationRounds: 2 });
    const greedy = rolloutBandits({ exploration: [0, 0] });
    const same = [1, 2, 3, 4].map((round) => {
      falling.arrive(roundOf(round, 4, 8));
      greedy.restore(falling.state());
      return ids(falling.select()).join() === ids(greedy.select()).join();
    });
    expect(same).toEqual([false, false, true, true]);
  });

  it("goes through the replay so many times, and tells the first time's loss", () => {
    const [once, often] = [1, 3].map((epochs) => {
      const bandits = rolloutBandits({ epochs });
      bandits.arrive(roundOf(1, 1, 4));
      bandits.commit(bandits.select());
      const { loss } = bandits.arrive(roundOf(2, 1, 4));
      const { learner } = bandits.state() as { learner: { steps: number } };
      return { loss, steps: learner.steps };
    });
    expect([once!.steps, often!.steps]).toEqual([1, 3]);
    expect(often!.loss).toBe(once!.loss);
  });

  it("selects in the order in which episodes came, whatever their groups", () => {
    const bandits = rolloutBandits({ keep: 1 });
    bandits.arrive([arm("a", "x"), arm("b", "y"), arm("c", "x"), arm("d", "y")]);
    expect(ids(bandits.select())).toEqual(["a", "b", "c", "d"]);
  });

  it("goes on from a checkpoint as if it had not stopped", () => {
    const settings = { candidates: "global", rounds: 2 } as const;
    const going = rolloutBandits(settings);
    const play = (bandits: typeof going, round: number) => {
      const learned = bandits.arrive(roundOf(round, 2, 4));
      const selection = bandits.select();
      bandits.commit(selection);
      return { learned, selection };
    };
    for (let round = 1; round <= 3; round++) play(going, round);
    const resumed = rolloutBandits(settings);
    resumed.restore(JSON.parse(JSON.stringify(going.state())));
    for (let round = 4; round <= 6; round++) expect(play(resumed, round)).toEqual(play(going, round));
  });

  it("selects without changing anything", () => {
    const bandits = rolloutBandits();
    bandits.arrive(roundOf(1, 2, 4));
    const before = JSON.stringify(bandits.state());
    const first = bandits.select();
    expect(bandits.select()).toEqual(first);
    expect(JSON.stringify(bandits.state())).toBe(before);
    const clipped = bandits.select(new Map([[ids(first)[0]!, 0.9]]));
    expect(clipped.features[0]![7]).not.toBe(first.features[0]![7]);
  });

  it("its card says its defaults", () => {
    const { settings } = rolloutBandits();
    for (const [name, { value }] of Object.entries(rolloutBanditsCard.defaults))
      expect(settings[name]).toEqual(value);
    expect(Object.keys(rolloutBanditsCard.defaults).sort()).toEqual(Object.keys(settings).sort());
  });

  it("refuses what makes no sense", () => {
    const bad: readonly [RolloutBanditSettings, RegExp][] = [
      [{ candidates: "all" as "global" }, /candidates "all"/],
      [{ fit: "all" as "each arm" }, /fit "all"/],
      [{ keep: 0 }, /keep 0/],
      [{ count: 0 }, /count 0/],
      [{ rounds: 0 }, /rounds 0/],
      [{ entropyWeight: -1 }, /entropyWeight -1/],
      [{ entropyFloor: Number.NaN }, /entropyFloor NaN/],
      [{ exploration: [0.1, 2] }, /exploration \[0.1,2\]/],
      [{ learningRate: 0 }, /learningRate 0/],
      [{ seed: 0.5 }, /seed 0.5/],
    ];
    for (const [settings, says] of bad) expect(() => rolloutBandits(settings)).toThrow(says);
    const bandits = rolloutBandits({ candidates: "global" });
    expect(() => bandits.arrive([])).toThrow(/no episodes/);
    bandits.arrive([arm("a", "x")]);
    expect(() => bandits.arrive([arm("a", "x")])).toThrow(/"a" twice/);
    expect(() => bandits.arrive([arm("b", "x", { reward: Number.NaN })])).toThrow(/"b" with reward NaN/);
    for (const state of [null, {}, { round: 1, stored: [], learner: null }])
      expect(() => bandits.restore(state)).toThrow(/a state that it did not write/);
    const cut = structuredClone(bandits.state()) as { learner: { parameters: number[] } };
    cut.learner.parameters.pop();
    expect(() => bandits.restore(cut)).toThrow(/a state that it did not write/);
  });
});
