/** HACPO: the spec's check vector, its limits, what it remembers, and who learns from whom. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { capabilityAdvantage } from "../../src/methods/advantage/capability.ts";
import { groupAdvantage } from "../../src/methods/advantage/group.ts";
import { compose } from "../../src/methods/compose.ts";
import { perAgent } from "../../src/methods/credit/per-agent.ts";
import { foreignCalls } from "../../src/methods/foreign-calls.ts";
import { gspo } from "../../src/methods/gspo.ts";
import { type HacpoSettings, hacpo } from "../../src/methods/hacpo.ts";
import { sequenceRatio } from "../../src/methods/loss/gspo.ts";
import type { Method, RewardedEpisode, RewardedGroup } from "../../src/methods/method.ts";
import { sharedRollouts } from "../../src/methods/shared-rollouts.ts";
import {
  checkGradients,
  checkMethod,
  creditsOf,
  randomBatch,
  randomGroups,
  randomTeamEpisode,
} from "../../src/testing/index.ts";
import { between } from "./numbers.ts";

const meanLogprob = { one: [-0.35, -0.4, -0.5, -0.6], two: [-0.3, -0.25, -0.33, -0.32] };
/** Two teams' episodes of one task: [1,0,0,0] and [1,1,0,1]. */
const rewards: Readonly<Record<"one" | "two", readonly number[]>> = { one: [1, 0, 0, 0], two: [1, 1, 0, 1] };
const episodesOf = (policy: "one" | "two", given: readonly number[] = rewards[policy]) =>
  given.map(
    (reward, i): RewardedEpisode => ({
      id: `${policy}${i}`,
      team: policy,
      reward,
      calls: [{ agent: "solver", policy, reward, meanLogprob: meanLogprob[policy][i] ?? -0.5, length: 2 }],
    }),
  );
const group: RewardedGroup = {
  task: "t",
  dataset: "",
  episodes: [...episodesOf("one"), ...episodesOf("two")],
};

/** Capabilities of the next step are .34 and .60: this step's means are .25 and .75, and two steps count. */
function primed(settings: HacpoSettings = {}): Method {
  const method = hacpo({ epsilon: 0, window: 2, ...settings });
  const windows = { solver: { one: [0.43], two: [0.45] } };
  method.restore!({ "advantage/capability": { steps: 1, windows } });
  return method;
}

const close = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 5));
const credit = (method: Method, groups: readonly RewardedGroup[] = [group]) => creditsOf(method, groups)[0]!;
const own = (method: Method) => credit(method).advantages.map((row) => row[0]!);
const givenTo = (policy: string, method: Method, groups?: readonly RewardedGroup[]) =>
  (credit(method, groups).given ?? []).filter((text) => text.policy === policy);
const [right, wrong] = [1.239422, -0.631404];
const [right2, wrong2] = [0.756584, -1.114241];
const [over12, over21] = [0.34 / 0.6, 0.6 / 0.34];

describe("the check vector", () => {
  test("own advantages of both learners", () => {
    expect(own(primed())).toEqual(close([right, wrong, wrong, wrong, right2, right2, wrong2, right2]));
  });

  test("what each is given: the learner's advantage, a stronger source amplified", () => {
    const toOne = givenTo("one", primed());
    expect(toOne.map(({ episode, call }) => [episode, call])).toEqual([4, 5, 6, 7].map((i) => [i, 0]));
    expect(toOne.map(({ advantage }) => advantage)).toEqual(
      close([right, right, wrong, right].map((value) => value * over21)),
    );
    expect(toOne.map(({ oldLogprob }) => oldLogprob)).toEqual(meanLogprob.two);
    expect(givenTo("two", primed()).map(({ advantage }) => advantage)).toEqual(
      close([right2, wrong2, wrong2, wrong2].map((value) => value * over12)),
    );
  });

  test("the source's baseline instead", () => {
    const toOne = givenTo("one", primed({ crossAdvantageBaseline: "source" }));
    expect(toOne.map(({ advantage }) => advantage)).toEqual(close([1.335148, 1.335148, -1.966308, 1.335148]));
  });

  test("baselines .3375 and .595588, σ .534522", () => {
    const [a, b] = own(primed());
    const sigma = 1 / (a! - b!);
    expect(sigma).toBeCloseTo(0.534522, 6);
    expect(-b! * sigma).toBeCloseTo(0.3375, 6);
    const two = own(primed())[6]!;
    expect(-two * sigma).toBeCloseTo(0.595588, 6);
  });

  test("ddof 0", () => {
    expect(own(primed({ ddof: 0 }))[0]).toBeCloseTo((1 - 0.3375) / 0.5, 6);
  });

  test("each weight alone can be left out", () => {
    expect(own(primed({ weightBaseline: false }))[0]).toBeCloseTo(0.5 / Math.sqrt(2 / 7), 6);
    const plain = givenTo("one", primed({ weightForeign: false }));
    expect(plain.map(({ advantage }) => advantage)).toEqual(close([right, right, wrong, right]));
  });
});

describe("the guards", () => {
  const all = (one: readonly number[], two: readonly number[]): RewardedGroup => ({
    ...group,
    episodes: [...episodesOf("one", one), ...episodesOf("two", two)],
  });

  test("equal rewards teach nothing, unless asked", () => {
    const equal = [all([1, 1], [1, 1])];
    const found = credit(primed(), equal);
    expect(found.hasSignal).toBe(false);
    expect(found.given!.every(({ advantage }) => advantage === 0)).toBe(true);
    expect(credit(primed({ equalRewards: "baseline", epsilon: 1 }), equal).hasSignal).toBe(true);
  });

  test("a baseline above 1 gives way to the learner's own mean", () => {
    const method = (settings: HacpoSettings = {}) => {
      const made = primed(settings);
      const windows = { solver: { one: [1], two: [0] } };
      made.restore!({ "advantage/capability": { steps: 1, windows } });
      return made;
    };
    // ω(one, two) = 1.75, so μ̂ = 10/8; σ² = 1/8.
    const high = [all([1, 1, 1, 0], [1, 1, 1, 1])];
    const right = (settings?: HacpoSettings) => credit(method(settings), high).advantages[0]![0];
    expect(right()).toBeCloseTo(0.25 * Math.sqrt(8), 9);
    expect(right({ aboveOne: "baseline" })).toBeCloseTo(-0.25 * Math.sqrt(8), 9);
  });

  test("ω stays in its range, whatever the capabilities", () => {
    const nothing = [all([0, 0], [1, 1])];
    const weights = (policy: string, learner: string, method = hacpo({ epsilon: 0 })) => {
      const plain = creditsOf(method, nothing)[0]!;
      const judged = plain.advantages[policy === "one" ? 0 : 2]![0]!;
      const toLearner = plain.given!.find((text) => text.policy === learner)!.advantage;
      const back = hacpo({ epsilon: 0, weightForeign: false });
      return [
        judged,
        toLearner / creditsOf(back, nothing)[0]!.given!.find((text) => text.policy === learner)!.advantage,
      ];
    };
    expect(weights("one", "one")[1]).toBeCloseTo(10, 9);
    // A₂ of a wrong answer is 0 only without spread; the ratio of what two is given is .1.
    expect(weights("one", "two")[1]).toBeCloseTo(0.1, 9);
    expect(weights("one", "one", hacpo({ epsilon: 0, mostRatio: 3 }))[1]).toBeCloseTo(3, 9);
  });

  test("rewards below 0 count for 0 where asked", () => {
    const mixed = [all([-1, 1], [1, 1])];
    const weight = (counts: "all" | "positive") =>
      givenTo("one", hacpo({ counts, weightBaseline: false }), mixed)[0]!.advantage /
      givenTo("one", hacpo({ counts, weightBaseline: false, weightForeign: false }), mixed)[0]!.advantage;
    expect(weight("positive")).toBeCloseTo(2, 6);
    expect(weight("all")).toBeCloseTo(10, 6);
  });
});

describe("windows", () => {
  const step = (method: Method, groups: readonly RewardedGroup[]) => {
    creditsOf(method, groups);
    method.observe!({ step: 1, steps: 9, groups, statistics: {} });
  };
  // A wrong answer of "two", and one of its own, in the eyes of "one".
  const weightOf = (method: Method) => givenTo("one", method)[2]!.advantage / own(method)[1]!;
  const of = (one: number, two: number): RewardedGroup => ({
    ...group,
    episodes: [...episodesOf("one", [one]), ...episodesOf("two", [two])],
  });

  test("the current step is in the mean, older ones leave after K", () => {
    const method = hacpo();
    expect(weightOf(method)).toBeCloseTo(3, 9);
    step(method, [of(0.5, 0.5)]);
    expect(weightOf(method)).toBeCloseTo((0.5 + 0.75) / (0.5 + 0.25), 9);
    for (let i = 0; i < 4; i++) step(method, [of(0.8, 0.4)]);
    expect(weightOf(method)).toBeCloseTo((4 * 0.4 + 0.75) / (4 * 0.8 + 0.25), 9);
    const { windows } = (method.state!() as Record<string, { windows: Record<string, object> }>)[
      "advantage/capability"
    ]!;
    expect(windows).toEqual({ solver: { one: [0.5, 0.8, 0.8, 0.8, 0.8], two: [0.5, 0.4, 0.4, 0.4, 0.4] } });
  });

  test("capabilities are metrics: by policy, and by agent where there are several", () => {
    const method = hacpo();
    expect(method.metrics!()).toEqual({});
    step(method, [of(0.5, 0.25)]);
    step(method, [of(1, 0.25)]);
    expect(method.metrics!()).toEqual({ "capability.one": 0.75, "capability.two": 0.25 });
    const judged = (reward: number): RewardedEpisode => ({
      id: "j",
      team: "one",
      reward,
      calls: [{ agent: "judge", policy: "one", reward, meanLogprob: -0.5, length: 2 }],
    });
    step(method, [{ ...group, episodes: [judged(0.25), judged(0.75)] }]);
    expect(method.metrics!()).toEqual({
      "capability.solver.one": 0.75,
      "capability.solver.two": 0.25,
      "capability.judge.one": 0.5,
    });
  });

  test("all groups of a step count", () => {
    const found = creditsOf(hacpo({ weightBaseline: false }), [group, of(0.75, 0.75)]);
    const plain = creditsOf(hacpo({ weightBaseline: false, weightForeign: false }), [group, of(0.75, 0.75)]);
    expect(found[0]!.given![0]!.advantage / plain[0]!.given![0]!.advantage).toBeCloseTo(0.75 / 0.35, 9);
  });

  test("warm-up", () => {
    const method = hacpo({ warmUp: 1 });
    expect(weightOf(method)).toBeCloseTo(1, 9);
    step(method, [of(0.5, 0.5)]);
    expect(weightOf(method)).toBeCloseTo(1.25 / 0.75, 9);
  });

  test("a damaged state is refused", () => {
    for (const state of [
      undefined,
      { steps: 1 },
      { steps: -1, windows: {} },
      { steps: 1, windows: { a: { b: ["c"] } } },
    ])
      expect(() => capabilityAdvantage().restore!(state)).toThrow(/checkpoint/);
  });
});

describe("who learns from whom", () => {
  test("a frozen source teaches and is taught nothing", () => {
    const frozen = {
      ...group,
      episodes: group.episodes.map((episode) => ({
        ...episode,
        calls: episode.calls.map((call) => (call.policy === "two" ? { ...call, frozen: true } : call)),
      })),
    };
    expect(givenTo("one", primed(), [frozen])).toEqual(givenTo("one", primed()));
    expect(givenTo("two", primed(), [frozen])).toEqual([]);
  });

  test("only calls of the same agent", () => {
    const team = (policy: string, other: string): RewardedEpisode => ({
      reward: 1,
      team: policy,
      calls: [
        { agent: "solver", policy, reward: 1, meanLogprob: -1 },
        { agent: "critic", policy: other, reward: 1, meanLogprob: -1 },
      ],
    });
    const roles = { ...group, episodes: [team("one", "judge"), team("two", "judge")] };
    expect(
      credit(hacpo(), [roles]).given!.map(({ policy, episode, call }) => [policy, episode, call]),
    ).toEqual([
      ["one", 1, 0],
      ["two", 0, 0],
    ]);
  });

  test("a call that is shared by branches is given once", () => {
    const [one] = episodesOf("one");
    const [two] = episodesOf("two");
    const judged = { group: { ...group, episodes: [one!, two!, two!] }, values: [] };
    const trained = [1, 1, 0].map((value) => Uint8Array.of(value));
    const toOne = foreignCalls({ ...judged, trained }).filter(({ learner }) => learner === "one");
    expect(toOne).toEqual([{ episode: 1, call: 0, source: "two", learner: "one" }]);
    expect(foreignCalls(judged).filter(({ learner }) => learner === "one")).toHaveLength(2);
  });

  test("a policy in both teams has all of its calls as its own", () => {
    const same = { ...group, episodes: [...episodesOf("one"), ...episodesOf("one", rewards.two)] };
    expect(credit(hacpo(), [same]).given).toBeUndefined();
    expect(own(hacpo({ epsilon: 0 })).length).toBe(8);
  });

  test("three policies: each from both others", () => {
    const third = episodesOf("one").map((episode) => ({
      ...episode,
      calls: episode.calls.map((call) => ({ ...call, policy: "three" })),
    }));
    const three = { ...group, episodes: [...group.episodes, ...third] };
    for (const policy of ["one", "two", "three"]) expect(givenTo(policy, hacpo(), [three])).toHaveLength(8);
  });

  test("a source without log-probs is refused in words, and shared naively", () => {
    const mute = {
      ...group,
      episodes: group.episodes.map((episode) => ({
        ...episode,
        calls: episode.calls.map(({ meanLogprob: _, ...call }) => call),
      })),
    };
    expect(() => credit(hacpo(), [mute])).toThrow(/Policy "one" is to learn from .* by policy "two"/);
    expect(givenTo("one", sharedRollouts(), [mute])).toHaveLength(4);
  });
});

describe("limits", () => {
  const alone = (settings: Parameters<typeof sequenceRatio>[0] = {}) =>
    compose({
      credit: perAgent(),
      advantage: groupAdvantage({ ddof: 1 }),
      loss: sequenceRatio(settings),
    });

  test("with one policy it is GSPO, bit for bit", () => {
    for (let seed = 0; seed < 6; seed++) {
      for (const make of [() => hacpo(), () => sharedRollouts()]) {
        const [a, b] = [randomBatch(make(), { seed }), randomBatch(alone(), { seed })];
        expect(a.credits.map(({ advantages }) => advantages)).toEqual(
          b.credits.map(({ advantages }) => advantages),
        );
        expect(make().loss(a.input)).toEqual(alone().loss(b.input));
      }
      const solver = ({ sample, ...of }: Parameters<typeof randomTeamEpisode>[0]) =>
        randomTeamEpisode({ ...of, sample: 2 * sample });
      const [a, b] = [
        randomBatch(hacpo(), { seed, episode: solver }),
        randomBatch(gspo({ ddof: 1 }), { seed, episode: solver }),
      ];
      expect(a.input).toEqual(b.input);
      expect(hacpo().loss(a.input)).toEqual(gspo().loss(b.input));
    }
  });

  test("ω = 1, α = 0, δ = 1: the pooled baseline, foreign ratios capped at 1", () => {
    const settings = { weightBaseline: false, weightForeign: false, alpha: 0, delta: 1, deltaStep: 0 };
    for (let seed = 0; seed < 6; seed++) {
      const options = { seed, episode: randomTeamEpisode };
      const { input, credits, groups } = randomBatch(hacpo(settings), options);
      const pooled = creditsOf(sharedRollouts(), groups);
      credits.forEach(({ advantages, given }, k) => {
        advantages.forEach((row, i) => {
          expect([...row]).toEqual([...pooled[k]!.advantages[i]!].map((value) => expect.closeTo(value, 12)));
        });
        expect(given!.map(({ advantage }) => advantage)).toEqual(
          pooled[k]!.given!.map(({ advantage }) => expect.closeTo(advantage, 12)),
        );
      });
      const { loss } = hacpo(settings).loss(input);
      let wanted = 0;
      let at = 0;
      input.lengths.forEach((length, i) => {
        const tokens = Array.from({ length }, (_, t) => at + t).filter((t) => input.mask?.[t] !== 0);
        at += length;
        const d =
          tokens.reduce((sum, t) => sum + input.logprobs[t]! - input.oldLogprobs[t]!, 0) / tokens.length;
        const weight = tokens.reduce((sum, t) => sum + (input.importance?.[t] ?? 1), 0) / tokens.length;
        const [s, a] = [Math.exp(d), input.advantages[tokens[0]!]!];
        const clipped = Math.min(Math.max(s, 1 - 3e-4), 1 + 4e-4);
        wanted -= weight * (input.given![i] === 1 ? Math.min(s, 1) * a : Math.min(s * a, clipped * a));
      });
      expect(loss).toBeCloseTo(wanted / input.lengths.length, 9);
    }
  });

  test("ω only scales what is given: foreign advantages have the learner's sign", () => {
    fc.assert(
      fc.property(
        fc.array(between(0, 1), { minLength: 2, maxLength: 6 }),
        fc.array(between(0, 1), { minLength: 2, maxLength: 6 }),
        (one, two) => {
          const mixed = [{ ...group, episodes: [...episodesOf("one", one), ...episodesOf("two", two)] }];
          const given = givenTo("one", hacpo(), mixed);
          const plain = givenTo("one", hacpo({ weightForeign: false }), mixed);
          const ratios = given.map(({ advantage }, i) => [advantage, plain[i]!.advantage] as const);
          const weights = ratios.filter(([, b]) => b !== 0).map(([a, b]) => a / b);
          for (const weight of weights) {
            expect(weight).toBeCloseTo(weights[0]!, 9);
            expect(weight).toBeGreaterThanOrEqual(0.1 - 1e-9);
            expect(weight).toBeLessThanOrEqual(10 + 1e-9);
          }
        },
      ),
    );
  });
});

describe("with texts of others", () => {
  const episode = randomTeamEpisode;

  test("everything that methods are checked for", () => {
    checkMethod(() => hacpo(), { episode, givenShare: 1 / 2, batches: 4 });
    checkMethod(() => hacpo({ alpha: 0, klCoefficient: 0.1 }), { episode, batches: 2 });
    checkMethod(() => sharedRollouts(), { episode, batches: 4 });
  });

  test("the check sees gradients at given rows", () => {
    expect(() => checkGradients(hacpo(), { episode })).toThrow(/∂L\/∂logprobs of token/);
    expect(() => checkGradients(hacpo({ alpha: 3 }), { episode, givenShare: 1 / 2 })).toThrow(/of token/);
    checkGradients(hacpo({ alpha: 3 }), { episode, givenShare: 1 / 4 });
  });

  test("groups are of the first learner, its own calls first", () => {
    const { input, calls } = randomBatch(hacpo(), { episode });
    expect(input.policy).toBe("a");
    expect([...input.given!]).toEqual([...new Array(12).fill(0), ...new Array(12).fill(1)]);
    expect(calls.every(({ given, oldLogprobs }) => given !== true || new Set(oldLogprobs).size === 1)).toBe(
      true,
    );
    expect(randomGroups(hacpo(), { episode })[0]!.episodes).toHaveLength(8);
  });
});

test("settings are checked and recorded", () => {
  const wrongs: readonly HacpoSettings[] = [
    { window: 0 },
    { leastRatio: 0 },
    { mostRatio: 0.5 },
    { floor: 0 },
    { delta: 1.5 },
    { alpha: -1 },
    { warmUp: -1 },
    { klCoefficient: -1 },
    { crossAdvantageBaseline: "both" as "source" },
    { equalRewards: "baseline", epsilon: 0 },
  ];
  for (const settings of wrongs) expect(() => hacpo(settings)).toThrow(/must be/);
  expect(hacpo({ klCoefficient: 1e-3 }).needs.reference).toBe(true);
  expect(hacpo().updates).toEqual({ epochs: 1, minibatches: 4 });
  expect(hacpo({ deltaStep: 0.01 }).settings["loss/cross-policy-ratio"]).toMatchObject({ deltaStep: 0.01 });
});
