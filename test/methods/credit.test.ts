/** Credit: whose advantages are normalised together, and what linked calls are rewarded with. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { batchGae, gae, linkedRewards } from "../../src/methods/gae.ts";
import { groupCredit } from "../../src/methods/group-advantage.ts";
import { grpo } from "../../src/methods/grpo.ts";
import type { BatchCall, RewardedCall, RewardedEpisode } from "../../src/methods/method.ts";
import { ppo } from "../../src/methods/ppo.ts";
import { whiten } from "../../src/methods/whiten.ts";
import { between } from "./numbers.ts";

const plain = { ddof: 0, divideByDeviation: true, epsilon: 0 } as const;
const call = (over: Partial<BatchCall>): BatchCall => ({
  episode: "e",
  agent: "a",
  occurrence: 0,
  scope: "",
  order: 0,
  length: 1,
  credit: 0,
  ...over,
});

describe("scope", () => {
  // Two episodes; agent a has two turns and a child of its own name.
  const group: RewardedEpisode[] = [1, 3].map((reward) => ({
    reward,
    calls: [
      { agent: "a", occurrence: 0, reward },
      { agent: "a", occurrence: 1, reward: -2 * reward },
      { agent: "a", occurrence: 0, scope: "child#0", reward: 7 },
      { agent: "b", occurrence: 0, reward: 10 * reward },
    ],
  }));

  test("agent-turn compares an agent's how-manieth calls, and children apart", () => {
    const { advantages } = groupCredit(group, { ...plain, scope: "agent-turn" });
    expect(advantages.map((calls) => [...calls])).toEqual([
      [-1, 1, 0, -1],
      [1, -1, 0, 1],
    ]);
  });

  test("agent takes an agent's calls together, task all of them", () => {
    const agent = groupCredit(group, { ...plain, scope: "agent" }).advantages;
    // Means of agent a: (1 − 2 + 7)/3 = 2 and (3 − 6 + 7)/3 = 4/3; baseline 5/3, deviation 1/3.
    expect(agent[0]![0]).toBeCloseTo((1 - 5 / 3) / (1 / 3), 10);
    expect(agent[1]![3]).toBe(1);
    const task = groupCredit(group, { ...plain, scope: "task" }).advantages;
    // Means of episodes: 4 and 8.5.
    expect(task[0]![0]).toBeCloseTo((1 - 6.25) / 2.25, 10);
  });

  test("the order of a group's episodes does not matter", () => {
    const episode = fc.record({
      reward: fc.integer({ min: -5, max: 5 }),
      calls: fc.array(
        fc.record({
          agent: fc.constantFrom("a", "b"),
          occurrence: fc.integer({ min: 0, max: 2 }),
          scope: fc.constantFrom("", "child#0"),
          reward: fc.integer({ min: -5, max: 5 }),
        }),
        { maxLength: 5 },
      ),
    });
    fc.assert(
      fc.property(
        fc.array(episode, { minLength: 2, maxLength: 6 }),
        fc.constantFrom("task" as const, "agent" as const, "agent-turn" as const),
        (episodes, scope) => {
          const forward = groupCredit(episodes, { ...plain, scope });
          const backward = groupCredit([...episodes].reverse(), { ...plain, scope });
          expect(backward.hasSignal).toBe(forward.hasSignal);
          for (const [i, advantages] of forward.advantages.entries()) {
            const other = backward.advantages[episodes.length - 1 - i]!;
            expect(other.length).toBe(advantages.length);
            for (const [j, value] of advantages.entries()) expect(other[j]).toBeCloseTo(value, 8);
          }
        },
      ),
    );
  });

  test("GRPO whitens over the policy's batch after the group's baseline, if asked", () => {
    const batch = [call({ credit: 1, length: 2 }), call({ credit: -1 }), call({ credit: 0, agent: "b" })];
    const rows = (normalise: "model" | "agent") =>
      grpo({ normalise }).estimate!(batch).advantages.map((one) => [...one]);
    // Tokens 1, 1, −1, 0: mean 0.25, variance (n − 1) 0.916667.
    const scale = 1 / Math.sqrt(0.9166667);
    expect(rows("model")[0]![0]).toBeCloseTo(0.75 * scale, 4);
    expect(rows("model")[1]![0]).toBeCloseTo(-1.25 * scale, 4);
    // Agent a alone: 1, 1, −1: mean 1/3, variance 4/3. A single token has nothing to compare with.
    expect(rows("agent")[0]![1]).toBeCloseTo(2 / 3 / Math.sqrt(4 / 3), 5);
    expect(rows("agent")[2]).toEqual([0]);
    expect(grpo().estimate).toBeUndefined();
  });

  test("whitening by agent and turn keeps child workflows apart", () => {
    const batch = [
      call({ occurrence: 0 }),
      call({ occurrence: 0 }),
      call({ occurrence: 0, scope: "child#0" }),
      call({ occurrence: 0, scope: "child#0" }),
    ];
    const raw = [1, 3, 100, 300].map((value) => Float32Array.of(value));
    const white = whiten(raw, batch, { scope: "agent-turn" });
    for (const [i, sign] of [-1, 1, -1, 1].entries())
      expect(white[i]![0]).toBeCloseTo(sign * Math.SQRT1_2, 5);
  });

  test("names that are none are refused", () => {
    expect(() => grpo({ scope: "agnet" as "agent" })).toThrow(/grpo has scope "agnet"/);
    expect(() => grpo({ normalise: "task" as "agent" })).toThrow(/grpo has normalise "task"/);
    expect(() => ppo({ normalise: "group" as "agent" })).toThrow(/ppo has normalise "group"/);
    expect(() => ppo({ turns: "linked" as "none" })).toThrow(/ppo has turns "linked"/);
  });
});

describe("linked calls", () => {
  const linked = (...calls: Partial<RewardedCall>[]) => [
    ...linkedRewards(calls.map((one) => ({ agent: "a", reward: 0, ...one }))),
  ];

  test("a reward of the whole trajectory counts once, on the agent's last call", () => {
    expect(linked({ reward: 1, own: 0 }, { reward: 1, own: 0 }, { reward: 1, own: 0 })).toEqual([0, 0, 1]);
    expect(linked({ reward: 1.5, own: 0.5 }, { reward: 1.25, own: 0.25 })).toEqual([0.5, 1.25]);
    expect(
      linked({ reward: 1, own: 0 }, { reward: 1, own: 0, agent: "b" }, { reward: 1, own: 0, scope: "c#0" }),
    ).toEqual([1, 1, 1]);
  });

  test("with every discount 1 the return of an agent's first call is all that it is rewarded with", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            own: fc.integer({ min: -4, max: 4 }),
            length: fc.integer({ min: 0, max: 3 }),
          }),
          { minLength: 1, maxLength: 6 },
        ),
        fc.integer({ min: -4, max: 4 }),
        (turns, shared) => {
          fc.pre(turns[0]!.length > 0);
          const rewards = linkedRewards(
            turns.map(({ own, length }) => ({ agent: "a", own, reward: own + shared, length })),
          );
          const batch = turns.flatMap(({ length }, order) =>
            length === 0 ? [] : [call({ order, length, credit: rewards[order]! })],
          );
          const { returns } = batchGae(batch, { gamma: 1, lambda: 1, turns: { gamma: 1, lambda: 1 } });
          const all = turns.reduce((sum, { own }) => sum + own, shared);
          expect(returns[0]![0]).toBeCloseTo(all, 5);
        },
      ),
    );
  });

  test("PPO uses them where calls are linked, and each call's own whole reward where they are not", () => {
    const group = [
      {
        reward: 1,
        calls: [
          { agent: "a", reward: 1, own: 0 },
          { agent: "a", reward: 1, own: 0 },
        ],
      },
    ];
    const credit = (turns: "none" | { gamma: number; lambda: number }) => [
      ...ppo({ turns }).credit(group).advantages[0]!,
    ];
    expect(credit("none")).toEqual([1, 1]);
    expect(credit({ gamma: 1, lambda: 1 })).toEqual([0, 1]);
  });

  test("the order of a batch does not matter", () => {
    const rows = fc.array(
      fc.record({
        episode: fc.constantFrom("e", "f"),
        agent: fc.constantFrom("a", "b"),
        credit: fc.integer({ min: -3, max: 3 }),
        values: fc
          .array(between(-1, 1), { minLength: 1, maxLength: 3 })
          .map((values) => Float32Array.from(values)),
      }),
      { minLength: 2, maxLength: 8 },
    );
    const turns = { gamma: 0.9, lambda: 0.8 };
    const method = ppo({ turns, gamma: 0.99, lambda: 0.95, normalise: "none" });
    fc.assert(
      fc.property(rows, (given) => {
        const batch = given.map((row, order) =>
          call({ ...row, order, occurrence: order % 2, length: row.values.length }),
        );
        const forward = method.estimate!(batch);
        const backward = method.estimate!([...batch].reverse());
        for (const name of ["advantages", "returns"] as const)
          for (const [i, found] of forward[name]!.entries())
            for (const [t, value] of found.entries())
              expect(backward[name]![batch.length - 1 - i]![t]).toBeCloseTo(value, 3);
        const raw = batch.map((one) => Float32Array.of(one.credit));
        const white = whiten(raw, batch, { scope: "agent-turn" });
        const reversed = whiten([...raw].reverse(), [...batch].reverse(), { scope: "agent-turn" });
        for (const [i, [value]] of white.entries())
          expect(reversed[batch.length - 1 - i]![0]).toBeCloseTo(value!, 4);
      }),
    );
  });
});

test("a reward for each token is summed as one at the end is, with γ = λ = 1", () => {
  const state = [0.1, 0.2, 0.3];
  const spread = gae([0.1, 0.2, 0.2], state, { gamma: 1, lambda: 1 });
  for (const [t, value] of [0.5, 0.4, 0.2].entries()) expect(spread.returns[t]).toBeCloseTo(value, 6);
});
