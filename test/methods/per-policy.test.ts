/** Every policy by a method of its own. */

import { describe, expect, test } from "vitest";
import { groupAdvantage } from "../../src/methods/advantage/group.ts";
import { optionTexts } from "../../src/methods/advantage/option-texts.ts";
import { compose } from "../../src/methods/compose.ts";
import { dapo } from "../../src/methods/dapo.ts";
import { emaGrpo } from "../../src/methods/ema-grpo.ts";
import { grpo } from "../../src/methods/grpo.ts";
import { clipped } from "../../src/methods/loss/clipped.ts";
import { optionContrast } from "../../src/methods/loss/option-contrast.ts";
import type { BatchCall, LossInput, Method, RewardedEpisode } from "../../src/methods/method.ts";
import { perPolicy } from "../../src/methods/per-policy.ts";
import { ppo } from "../../src/methods/ppo.ts";
import { rloo } from "../../src/methods/rloo.ts";
import { fixedGroups } from "../../src/methods/sampler/fixed.ts";

const rewards = [1, 0, 0.25, 0.5];
const group: readonly RewardedEpisode[] = rewards.map((reward, i) => ({
  id: `e${i}`,
  reward,
  calls: [
    { agent: "lead", policy: "large", reward },
    { agent: "writer", policy: "small", reward: reward + i / 10 },
    { agent: "writer", policy: "small", reward: reward + i / 5 },
  ],
}));
const four = { groupSize: 4 };

const input = (policy: string | undefined): LossInput => ({
  ...(policy === undefined ? {} : { policy }),
  lengths: [2, 1],
  logprobs: Float32Array.of(-1, -2, -0.5),
  oldLogprobs: Float32Array.of(-1.1, -1.9, -0.6),
  advantages: Float32Array.of(1, 1, -1),
  referenceLogprobs: Float32Array.of(-1.5, -1.5, -1),
  entropies: Float32Array.of(1, 1, 1),
  values: Float32Array.of(0.1, 0.2, 0.3),
  oldValues: Float32Array.of(0.1, 0.2, 0.3),
  returns: Float32Array.of(1, 1, 0),
  totals: { sequences: 2, tokens: 3 },
});
const batch = (policy: string): BatchCall[] =>
  [1, 0].map((credit, i) => ({
    episode: `e${i}`,
    agent: "a",
    occurrence: 0,
    scope: "",
    order: 0,
    length: 2,
    credit,
    policy,
    values: Float32Array.of(0.5, 0.25),
  }));

describe("one policy, or one method for all", () => {
  test.each([
    ["grpo", () => grpo(four)],
    ["ppo", () => ppo(four)],
    ["rloo", () => rloo(four)],
  ] as readonly (readonly [string, () => Method])[])("is that method: %s", (_, make) => {
    const own = make();
    for (const method of [perPolicy({ only: make() }), perPolicy({ large: make(), small: make() })]) {
      const alone = method.updatesOf("only" in method.settings ? "only" : "large");
      expect(alone).toEqual(own.updates ?? { epochs: 1, minibatches: 1 });
      expect(method.needs).toEqual(own.needs);
      expect(method.groupSize).toBe(4);
    }
    const many = perPolicy({ large: make(), small: make() });
    expect(many.credit(group)).toEqual(own.credit(group));
    expect(many.loss(input("small"))).toEqual(own.loss(input("small")));
    expect(many.estimate?.(batch("large"))).toEqual(own.estimate?.(batch("large")));
    const single = perPolicy({ only: make() });
    const unnamed = group.map(({ calls, ...rest }) => ({
      ...rest,
      calls: calls.map(({ agent, reward }) => ({ agent, reward })),
    }));
    expect(single.credit(unnamed)).toEqual(own.credit(unnamed));
    expect(single.loss(input(undefined))).toEqual(own.loss(input(undefined)));
  });
});

describe("two methods", () => {
  const method = perPolicy({ large: ppo({ ...four, epochs: 3, minibatches: 2 }), small: grpo(four) });

  test("each call by its policy's method", () => {
    const found = method.credit(group);
    const large = ppo(four).credit(group).advantages;
    const small = grpo(four).credit(group).advantages;
    found.advantages.forEach((row, i) => {
      expect([...row]).toEqual([large[i]![0], small[i]![1], small[i]![2]]);
    });
    expect(found.trained).toBeUndefined();
    expect(method.credit([]).advantages).toEqual([]);
  });

  test("loss, estimate and updates by the policy that is trained", () => {
    expect(method.loss(input("large"))).toEqual(ppo(four).loss(input("large")));
    expect(method.loss(input("small"))).toEqual(grpo(four).loss(input("small")));
    expect(method.loss(input("small")).gradients.values).toBeUndefined();
    expect(method.estimate!(batch("large"))).toEqual(ppo(four).estimate!(batch("large")));
    // A head that nobody trains: its gradient is nothing, and its returns are never looked at.
    expect(method.estimate!(batch("small"))).toEqual({
      advantages: [Float32Array.of(1, 1), Float32Array.of(0, 0)],
      returns: [Float32Array.of(0, 0), Float32Array.of(0, 0)],
    });
    const bare2 = batch("small").map(({ values: _, ...call }) => call);
    expect(method.estimate!(bare2).returns).toBeUndefined();
    expect(method.updatesOf("large")).toEqual({ epochs: 3, minibatches: 2 });
    expect(method.updatesOf("small")).toEqual({ epochs: 1, minibatches: 1 });
    expect(method.updates).toEqual({ epochs: 3, minibatches: 2 });
    expect(method.needs).toMatchObject({ values: true, tokensWithoutAdvantage: true });
    expect(method.needsOf("small").values).toBeUndefined();
  });

  test("a policy without a method is refused, unless it is frozen", () => {
    const other = group.map((episode) => ({
      ...episode,
      calls: [...episode.calls, { agent: "judge", policy: "third", reward: 0 }],
    }));
    const refused = expect.objectContaining({ code: "E_METHOD_POLICY" });
    expect(() => method.credit(other)).toThrowError(refused);
    expect(() => method.loss(input("third"))).toThrowError(refused);
    expect(() => method.loss(input(undefined))).toThrowError(refused);
    expect(() => perPolicy({})).toThrowError(refused);
    const frozen = other.map((episode) => ({
      ...episode,
      calls: episode.calls.map((call) => (call.policy === "third" ? { ...call, frozen: true } : call)),
    }));
    expect(method.credit(frozen).trained![0]).toEqual(Uint8Array.of(1, 1, 1, 0));
    expect(method.credit(frozen).advantages[0]![3]).toBe(0);
  });

  test("methods that cannot share their groups are refused", () => {
    const refused = expect.objectContaining({ code: "E_METHOD_COMBINATION" });
    expect(() => perPolicy({ large: ppo({ groupSize: 1 }), small: grpo(four) })).toThrowError(refused);
    expect(() => perPolicy({ large: dapo(four), small: dapo(four) })).toThrowError(refused);
    const sampled = dapo(four);
    expect(perPolicy({ large: sampled, small: grpo(four) }).sampler).toBe(sampled.sampler);
    const heads = { ...ppo(four), needs: { ...ppo(four).needs, values: 2 } };
    expect(() => perPolicy({ large: heads, small: ppo(four) })).toThrowError(refused);
  });

  test("given texts and links are those of the policy that learns from them", () => {
    const asking = (groupSize: number) =>
      compose({
        sampler: fixedGroups<number>(groupSize),
        advantage: optionTexts({ options: () => ({ options: ["A", "B"], answer: "B" }) }),
        loss: optionContrast(),
      });
    const both = perPolicy({ large: asking(4), small: grpo(four) }).credit(group);
    expect(both.given!.map(({ policy, call }) => [policy, call])).toEqual(
      rewards.flatMap(() => [
        ["large", 0],
        ["large", 0],
      ]),
    );
    expect(both.trained![0]).toEqual(Uint8Array.of(0, 1, 1));
    expect(both.hasSignal).toBe(true);
    const still = group.map((episode) => ({
      ...episode,
      calls: episode.calls.map((call) => ({ ...call, reward: 1 })),
    }));
    expect(perPolicy({ large: grpo(four), small: grpo(four) }).credit(still).hasSignal).toBe(false);
  });
});

describe("what methods remember", () => {
  const make = () => perPolicy({ large: emaGrpo(four), small: emaGrpo(four), third: grpo(four) });
  const facts = {
    step: 1,
    steps: 2,
    groups: [{ task: "t", dataset: "d", episodes: group }],
    statistics: { large: { loss: 1 }, small: { loss: 2 } },
  };

  test("is kept by policy, and restored", () => {
    const method = make();
    method.observe!(facts);
    const state = JSON.parse(JSON.stringify(method.state!()));
    expect(Object.keys(state)).toEqual(["large", "small"]);
    const other = make();
    other.restore!(state);
    expect(other.state!()).toEqual(state);
    expect(other.creditAll!(facts.groups)).toEqual(method.creditAll!(facts.groups));
    expect(make().state!()).not.toEqual(state);
    expect(() => make().restore!({ large: state.large })).toThrowError(
      expect.objectContaining({ code: "E_METHOD_STATE" }),
    );
  });

  test("its metrics have the policy in front", () => {
    const method = make();
    method.observe!(facts);
    expect(Object.keys(method.metrics!())).toEqual(["large.sigma.d", "small.sigma.d"]);
    expect(perPolicy({ third: grpo(four) }).metrics).toBeUndefined();
  });

  test("tasks weigh what they do to all that weigh them", () => {
    const weighing = (weights: readonly number[]): Method => ({ ...grpo(four), taskWeights: () => weights });
    const of = (methods: Record<string, Method>) => perPolicy(methods).taskWeights?.(["s", "t"]);
    expect(of({ large: grpo(four), small: grpo(four) })).toBeUndefined();
    expect(of({ large: weighing([1, 3]), small: grpo(four) })).toEqual([1, 3]);
    expect(of({ large: weighing([1, 3]), small: weighing([5, 0]) })).toEqual([5, 0]);
  });

  test("each hears the statistics of its own policy", () => {
    const heard: unknown[] = [];
    const listening = (): Method => ({
      ...compose({ sampler: fixedGroups(4), advantage: groupAdvantage(), loss: clipped() }),
      observe: ({ statistics }) => heard.push(statistics),
    });
    perPolicy({ large: listening(), small: listening(), idle: listening() }).observe!(facts);
    expect(heard).toEqual([{ large: { loss: 1 } }, { small: { loss: 2 } }, {}]);
  });
});
