/** What evidence was worth. Golden values: MixRAGRec's check vector in the specification (tolerance 1e-5). */

import { describe, expect, test } from "vitest";
import type { AnyPolicy, ScoringPolicy, TrainingSequence } from "../../src/engine/policy.ts";
import { scoreChecked } from "../../src/rewards/checked.ts";
import {
  type GainFacts,
  gainOf,
  type InformationGainOptions,
  informationGain,
} from "../../src/rewards/information-gain.ts";
import { checkScorers, logSoftmax, OptionScorer } from "../../src/rewards/option-scores.ts";
import type { FinishedEpisode, RewardContext } from "../../src/rewards/reward.ts";
import { sum } from "../../src/rewards/sum.ts";
import { Gates } from "../../src/workflow/gate.ts";
import { episode } from "./episodes.ts";

const baselineLogits = [1, 1.2, 0.3, 0.1];
const evidenceLogits = [2.5, 1, 0.2, 0];
const facts: GainFacts = {
  now: logSoftmax(evidenceLogits),
  baseline: logSoftmax(baselineLogits),
  said: 0,
  answer: 0,
  expert: 3,
};
const letters = ["A", "B", "C", "D"];

/** Token 7 means evidence, 1 none; letters are 10 to 13. Its log-probs are those logits, less a constant. */
class Scorer implements ScoringPolicy {
  readonly name: string;
  version = 0;
  readonly contextLength = 6;
  readonly parameterCount = 0;
  readonly batches: (readonly TrainingSequence[])[] = [];
  readonly tokenizer = {
    vocabularySize: 20,
    endTokens: [0],
    encode: (text: string) => Int32Array.from(text, (letter) => letters.indexOf(letter) + 10),
    decode: () => "",
    encodeChat: () => Int32Array.of(1),
  };

  constructor(name = "recommender") {
    this.name = name;
  }

  sample(): Promise<never> {
    throw new Error("not asked to");
  }

  async close() {}

  async forward(batch: readonly TrainingSequence[]) {
    this.batches.push(batch);
    const logprobs = batch.flatMap(({ tokens, mask }) => {
      const logits = tokens[0] === 7 ? evidenceLogits : baselineLogits;
      return [...tokens].flatMap((token, i) => (mask[i] === 1 ? [logits[token - 10]! - 4] : []));
    });
    return { logprobs: Float32Array.from(logprobs) };
  }
}

const options: InformationGainOptions<unknown> = {
  policy: "recommender",
  recommender: "recommender",
  agents: ["selector", "aligner"],
  question: () => ({ options: letters, answer: "A", expert: 3 }),
  baseline: () => [{ role: "user", content: "no evidence" }],
};
const answered = (text: string): FinishedEpisode =>
  episode({
    calls: [
      { agent: "selector" },
      { agent: "recommender", policy: "recommender", prompt: Int32Array.of(7, 2), text },
    ],
  });
const context = (policy: AnyPolicy, more: Partial<RewardContext> = {}): RewardContext => ({
  step: 1,
  seed: 0,
  stage: "train",
  policies: new Map([[policy.name, policy]]),
  ...more,
});
const values = async (
  episodes: readonly FinishedEpisode[],
  policy: AnyPolicy = new Scorer(),
  given = options,
) => {
  const scored = await scoreChecked(informationGain("mig", given), episodes, context(policy));
  return scored.map((one) =>
    "failure" in one
      ? one.failure.code
      : Object.fromEntries(one.rewards.map(({ name, agent, value }) => [agent ?? name, value])),
  );
};

describe("the numbers", () => {
  test("the specification's distributions, divergence and rewards", () => {
    const close = (found: ArrayLike<number>, wanted: readonly number[]) => {
      for (const [i, value] of wanted.entries()) expect(Math.exp(found[i]!)).toBeCloseTo(value, 5);
    };
    close(facts.baseline, [0.320045, 0.390904, 0.15893, 0.130121]);
    close(facts.now, [0.711504, 0.158758, 0.071335, 0.058404]);
    const right = gainOf(facts);
    expect(right.divergence).toBeCloseTo(0.321448, 5);
    expect(right.gain).toBeCloseTo(0.320448, 5);
    expect(right.reward).toBeCloseTo(0.775593, 5);
    expect(gainOf({ ...facts, answer: 1 }).reward).toBeCloseTo(-0.03591, 5);
    expect(gainOf({ ...facts, said: -1 }).recommendation).toBe(-0.1);
    // The code's fallbacks.
    const fallback = gainOf(facts, { gainWeight: 0.5, costWeight: 0.1 });
    expect(fallback.reward).toBeCloseTo(0.711504 + 0.5 * (0.321448 - 0.02), 5);
  });

  test("no retrieval gains nothing and costs nothing", () => {
    expect(gainOf({ ...facts, expert: 1 })).toMatchObject({ gain: 0, reward: Math.exp(facts.now[0]!) });
    const same = gainOf({ ...facts, baseline: facts.now, expert: 4 });
    expect(same.gain).toBeCloseTo(-0.0015, 12);
  });

  test.each([
    [{ expert: 0 }, {}],
    [{ expert: 5 }, {}],
    [{ expert: 1.5 }, {}],
    [{ baseline: [0] }, {}],
    [{}, { gainWeight: Number.NaN }],
    [{}, { costs: [0, Number.POSITIVE_INFINITY, 0] }],
  ])("%j with %j is refused", (fact, setting) => {
    expect(() => gainOf({ ...facts, ...fact }, setting)).toThrowError(
      expect.objectContaining({ code: "E_REWARD_RANGE" }),
    );
  });

  test("logits far apart have finite log-probs", () => {
    const far = logSoftmax([1000, 0]);
    expect([...far]).toEqual([0, -1000]);
    expect(gainOf({ ...facts, now: far, baseline: logSoftmax([0, 1000]) }).divergence).toBe(1000);
  });
});

describe("the term", () => {
  test("pays the selector and the aligner by the recommender's distributions", async () => {
    const [right, wrong, odd] = await values([answered(" A\n"), answered("B"), answered("?")]);
    expect(right).toMatchObject({
      selector: expect.closeTo(0.775593, 5),
      aligner: expect.closeTo(0.775593, 5),
      "mig.divergence": expect.closeTo(0.321448, 5),
      "mig.gain": expect.closeTo(0.320448, 5),
      "mig.recommendation": expect.closeTo(0.711504, 5),
      "mig.option.B": expect.closeTo(0.158758, 5),
    });
    expect(wrong).toMatchObject({ selector: expect.closeTo(-0.03591, 5) });
    expect(odd).toMatchObject({ selector: expect.closeTo(-0.03591, 5) });
    const [brief] = await values([answered("A")], new Scorer(), { ...options, logOptions: false });
    expect(Object.keys(brief as object)).not.toContain("mig.option.A");
  });

  test("only the agents' records count; the rest is logged", async () => {
    const [one] = await informationGain("mig", options).score([answered("A")], context(new Scorer()));
    if (one === undefined || "failure" in one) throw new Error("failed");
    expect(one.rewards.filter(({ logged }) => logged !== true).map(({ agent }) => agent)).toEqual([
      "selector",
      "aligner",
    ]);
  });

  test("what cannot be told fails its episode alone", async () => {
    const silent = episode({ calls: [{ agent: "selector" }] });
    const found = await values([silent, answered("A")]);
    expect(found[0]).toBe("E_OPTION_SCORES");
    expect(found[1]).toMatchObject({ selector: expect.closeTo(0.775593, 5) });
    const odd = { ...options, question: () => ({ options: letters, answer: "Z", expert: 3 }) };
    expect(await values([answered("A")], new Scorer(), odd)).toEqual(["E_OPTION_SCORES"]);
    const beyond = { ...options, question: () => ({ options: letters, answer: "A", expert: 9 }) };
    expect(await values([answered("A")], new Scorer(), beyond)).toEqual(["E_REWARD_RANGE"]);
    const long = episode({
      calls: [{ agent: "recommender", policy: "recommender", prompt: new Int32Array(6).fill(7), text: "A" }],
    });
    expect(await values([long])).toEqual(["E_OPTION_SCORES"]);
  });

  test("a policy that speaks text only is refused where it is defined, or before the first step", () => {
    const text = { name: "api", version: 0, generate: async () => ({}) as never, close: async () => {} };
    const refused = expect.objectContaining({ code: "E_REWARD_POLICY" });
    expect(() => informationGain("mig", { ...options, policy: text })).toThrowError(refused);
    const { policy: _, ...without } = options;
    expect(() => informationGain("mig", without)).toThrowError(refused);
    const nested = sum({ mig: [1, informationGain("mig", { ...options, policy: "api" })] });
    expect(() => checkScorers(nested, new Map([["api", text]]))).toThrowError(refused);
    expect(() => checkScorers(nested, new Map())).toThrowError(refused);
    expect(() => checkScorers(nested, new Map([["api", new Scorer("api")]]))).not.toThrow();
    expect(() => informationGain("mig", { ...options, agents: [] })).toThrowError(
      expect.objectContaining({ code: "E_REWARD_AGENTS" }),
    );
  });

  test("without logits: softmax of the cosines of texts and options", async () => {
    const embed = (text: string) => [text.includes("A") ? 1 : 0, text.includes("B") ? 1 : 0, 0.5];
    const { policy: _, ...rest } = options;
    const given = {
      ...rest,
      question: () => ({ options: ["A", "B"], answer: "A", expert: 2 }),
      similarity: { baseline: async () => "B", embed },
    };
    const p = 1 / (1 + Math.exp(0.25 / 1.25 - 1));
    const divergence = p * Math.log(p / (1 - p)) + (1 - p) * Math.log((1 - p) / p);
    const [one] = await values([answered("A")], new Scorer(), given);
    expect(one).toMatchObject({
      "mig.recommendation": expect.closeTo(p, 9),
      selector: expect.closeTo(p + 0.2 * (divergence - 0.0005), 9),
    });
    const zero = { ...given, similarity: { baseline: () => "B", embed: () => [0, 0] } };
    expect(await values([answered("A")], new Scorer(), zero)).toEqual(["E_OPTION_SCORES"]);
    expect(informationGain("mig", given).scores).toEqual([]);
  });
});

describe("option scores", () => {
  test("one batch a question, kept by prompt, options and version", async () => {
    const policy = new Scorer();
    const scorer = new OptionScorer("mig", { policy });
    const ask = (tokens: Int32Array, list = letters) => scorer.logDistribution(tokens, list, context(policy));
    const [first, again] = await Promise.all([ask(Int32Array.of(7)), ask(Int32Array.of(7))]);
    expect(again).toEqual(first);
    expect(policy.batches.map(({ length }) => length)).toEqual([4]);
    expect(policy.batches[0]![1]).toEqual({ tokens: Int32Array.of(7, 11), mask: Uint8Array.of(0, 1) });
    await ask(Int32Array.of(1));
    await ask(Int32Array.of(7), ["A", "B"]);
    policy.version = 1;
    await ask(Int32Array.of(7));
    expect(policy.batches.length).toBe(4);
    expect(scorer.usage()).toEqual({ questions: 5, cached: 1, scoredTokens: 14 });
  });

  test("options of several tokens are sums; the oldest question goes", async () => {
    const policy = new Scorer();
    const scorer = new OptionScorer("mig", { policy, cache: 1 });
    const ask = (token: number, list: readonly string[]) =>
      scorer.logDistribution(Int32Array.of(token), list, context(policy));
    const found = await ask(7, ["AB", "C"]);
    // Two tokens carry the constant twice.
    expect(found[0]! - found[1]!).toBeCloseTo(3.5 - 4 - 0.2, 5);
    await ask(1, letters);
    await ask(7, ["AB", "C"]);
    expect(policy.batches.length).toBe(3);
  });

  test("waits for the policy's gate, and leaves it after a failure too", async () => {
    const policy = new Scorer();
    const gates = new Gates({ policies: { recommender: 1 } });
    const gate = gates.policy("recommender");
    await gate.close();
    const scorer = new OptionScorer("mig", { policy });
    const asked = scorer.logDistribution(Int32Array.of(7), letters, context(policy, { gates }));
    await Promise.resolve();
    expect(policy.batches.length).toBe(0);
    gate.open();
    await asked;
    expect([policy.batches.length, gate.inside]).toEqual([1, 0]);
    policy.forward = () => {
      throw new Error("gone");
    };
    await expect(
      scorer.logDistribution(Int32Array.of(1), letters, context(policy, { gates })),
    ).rejects.toMatchObject({ code: "E_OPTION_SCORES", message: expect.stringContaining("gone") });
    expect(gate.inside).toBe(0);
    // What failed is asked again.
    delete (policy as Partial<Scorer>).forward;
    await scorer.logDistribution(Int32Array.of(1), letters, context(policy, { gates }));
  });
});
