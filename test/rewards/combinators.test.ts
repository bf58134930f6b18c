import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dynamicWeights } from "../../src/rewards/dynamic-weights.ts";
import { allEqualToZero, gate } from "../../src/rewards/gate.ts";
import type { FinishedEpisode, Json, RewardTerm } from "../../src/rewards/reward.ts";
import { clip, costDiscount } from "../../src/rewards/scale.ts";
import { stages } from "../../src/rewards/stages.ts";
import { sum } from "../../src/rewards/sum.ts";
import { groupReward, reward } from "../../src/rewards/terms.ts";
import {
  callCount,
  decay,
  decayed,
  format,
  outputTokens,
  overlong,
  overlongPenalty,
  parsed,
  tokenShare,
  toolUses,
} from "../../src/rewards/usage.ts";
import { context, episode, episodes, totals } from "./episodes.ts";

const value = reward("value", ({ result }) => result as number);
const field = (name: string) => reward(name, ({ result }) => (result as Record<string, number>)[name]!);
const failing = reward("failing", () => Number.NaN);

describe("sum", () => {
  it("weighs terms and logs them unweighted under their keys", async () => {
    const term = sum({ f1: [2, value], brevity: [-0.5, () => 4], plain: ({ result }) => result as number });
    const [scored] = await term.score(episodes(3), context);
    expect(scored).toEqual({
      rewards: [
        { name: "sum", value: 2 * 3 - 2 + 3 },
        { name: "f1", value: 3, logged: true },
        { name: "brevity", value: 4, logged: true },
        { name: "plain", value: 3, logged: true },
      ],
    });
  });

  it("counts nothing twice, however deep terms are nested", async () => {
    const inner = sum({ x: [2, value], y: value }, { name: "inner" });
    const outer = clip(sum({ inner: [10, inner], z: value }), { low: -100 });
    expect(await totals(outer, episodes(1, -1))).toEqual([31, -31]);
  });

  it("fails with the failure of a part, for that episode alone", async () => {
    expect(await totals(sum({ a: value, b: failing }), episodes(1, 2))).toEqual([
      "E_REWARD_NOT_FINITE",
      "E_REWARD_NOT_FINITE",
    ]);
    const some = reward("some", ({ result }) => (result === 2 ? Number.NaN : 0));
    expect(await totals(sum({ a: value, some }), episodes(1, 2, 3))).toEqual([1, "E_REWARD_NOT_FINITE", 3]);
  });

  it("refuses equal names, no terms, bad weights and things that are no terms", () => {
    expect(() => sum({ a: sum({ x: value }), b: sum({ x: value }) })).toThrow(/two terms of the name "x"/);
    expect(() => sum({ a: sum({ sum: value }) })).toThrow(/two terms of the name "sum"/);
    expect(() => sum({})).toThrow(/no terms/);
    expect(() => sum({ a: [Number.NaN, value] })).toThrow(/weight NaN/);
    expect(() => sum({ a: 3 as unknown as RewardTerm })).toThrow(/not a term/);
  });
});

describe("gate", () => {
  it("keeps the primary reward where every condition is met, at its threshold too", async () => {
    const term = gate(field("recall"), [
      { term: field("diversity"), atLeast: 0.3 },
      { term: field("length"), atLeast: 1 },
    ]);
    const group = episodes(
      { recall: 1, diversity: 0.3, length: 1 },
      { recall: 1, diversity: 0.2, length: 1 },
      { recall: 0.5, diversity: 0.9, length: 0.9 },
      { recall: -2, diversity: 0, length: 0 },
    );
    expect(await totals(term, group)).toEqual([1, 0, 0, 0]);
  });

  it("fails where a condition says nothing, unless it is told what that means", async () => {
    const silent = parsed("format");
    expect(await totals(gate(value, [{ term: silent, atLeast: 0 }]), episodes(1))).toEqual([
      "E_REWARD_MISSING",
    ]);
    expect(await totals(gate(value, [{ term: silent, atLeast: 0, ifAbsent: true }]), episodes(1))).toEqual([
      1,
    ]);
    expect(await totals(gate(value, [{ term: silent, atLeast: 0, ifAbsent: false }]), episodes(1))).toEqual([
      0,
    ]);
  });
});

describe("allEqualToZero", () => {
  it("gives nothing to a group whose results are all the same", async () => {
    const one = reward("one", () => 1);
    expect(await totals(allEqualToZero(one), episodes("a", "a", "a"))).toEqual([0, 0, 0]);
    expect(await totals(allEqualToZero(one), episodes("a", "b", "a"))).toEqual([1, 1, 1]);
    expect(await totals(allEqualToZero(one), episodes("a"))).toEqual([1]);
    expect(await totals(allEqualToZero(one, { by: "reward" }), episodes("a", "b"))).toEqual([0, 0]);
    const parity = allEqualToZero(value, { by: ({ result }) => (result as number) % 2 });
    expect(await totals(parity, episodes(1, 3, 5))).toEqual([0, 0, 0]);
  });

  it("does not count failed episodes among the equal ones", async () => {
    const some = reward("some", ({ result }) => (result === "bad" ? Number.NaN : 1));
    expect(await totals(allEqualToZero(some), episodes("a", "bad", "a"))).toEqual([
      0,
      "E_REWARD_NOT_FINITE",
      0,
    ]);
  });
});

describe("clip, cost discount, decay", () => {
  it("clips", async () => {
    expect(await totals(clip(value, { low: -1, high: 1 }), episodes(-3, 0.5, 3))).toEqual([-1, 0.5, 1]);
    expect(() => clip(value, { low: 1, high: 0 })).toThrow(/no range/);
  });

  it("discounts by cost: f · a · e^(−b n)", async () => {
    const term = costDiscount(value, { cost: toolUses("search"), scale: 2, rate: 0.5 });
    const group = [episode({ result: 1 }), episode({ result: 1, tools: ["search", "other", "search"] })];
    const [free, dear] = await totals(term, group);
    expect(free).toBe(2);
    expect(dear).toBeCloseTo(2 * Math.exp(-1), 12);
    expect(await totals(costDiscount(value, { cost: () => -1 }), episodes(1))).toEqual(["E_REWARD_COST"]);
  });

  it("pays less for each further use: the values of our source's example", async () => {
    expect(decayed(1, 0.3, 0.5)).toBeCloseTo(0.3, 12);
    expect(decayed(3, 0.3, 0.5)).toBeCloseTo(0.525, 12);
    const group = [episode(), episode({ tools: ["s"] }), episode({ tools: ["s", "s", "s"] })];
    const [none, once, thrice] = await totals(decay("searched"), group);
    expect(none).toBe(0);
    expect(once).toBeCloseTo(0.3, 12);
    expect(thrice).toBeCloseTo(0.525, 12);
    expect(await totals(decay("d", { count: () => -1 }), episodes(1))).toEqual(["E_REWARD_NOT_FINITE"]);
  });
});

describe("counts", () => {
  it("are of what was completed, by name", () => {
    const one = episode({
      tools: ["search", "search", "other"],
      calls: [{ agent: "a" }, { agent: "b", status: "failed" }, { agent: "b", output: new Int32Array(5) }],
    });
    const [first, ...rest] = one.trajectory.tools;
    const failed = {
      ...one,
      trajectory: { ...one.trajectory, tools: [{ ...first!, status: "failed" as const }, ...rest] },
    };
    expect([toolUses()(failed), toolUses("search")(failed), toolUses("search")(one)]).toEqual([2, 1, 2]);
    expect([callCount()(one), callCount("b")(one)]).toEqual([2, 1]);
    expect([outputTokens()(one), outputTokens("b")(one)]).toEqual([7, 5]);
  });
});

describe("format and length", () => {
  it("takes 1 from each call whose output its parser refused", async () => {
    const legal = { ok: true, value: 1 } as const;
    const illegal = { ok: false, reason: "no tag" } as const;
    const one = episode({
      calls: [
        { agent: "a", parse: legal },
        { agent: "a", parse: illegal },
        { agent: "b", parse: illegal },
        { agent: "a" },
      ],
    });
    const [scored] = await parsed("format", { agents: ["a"] }).score([one], context);
    expect(scored).toEqual({
      rewards: [
        { name: "format", value: 0, call: 0 },
        { name: "format", value: -1, call: 1 },
      ],
    });
    expect(
      await totals(
        format("tag", ({ result }) => result === "ok"),
        episodes("ok", "no"),
      ),
    ).toEqual([0, -1]);
    const broken = format("tag", () => undefined as unknown as boolean);
    expect(await totals(broken, episodes("ok"))).toEqual(["E_REWARD_MISSING"]);
  });

  it("punishes overlong outputs: the golden values of MARTI", async () => {
    const at = (length: number) => overlongPenalty(length, { maxTokens: 32_768, buffer: 2048 });
    expect(at(30_720)).toBe(0);
    expect(at(31_000)).toBeCloseTo(-0.136719, 6);
    expect(at(31_744)).toBe(-0.5);
    expect(at(32_768)).toBe(-1);
    const one = episode({ calls: [{ agent: "a", output: new Int32Array(9) }, { agent: "b" }] });
    expect(await totals(overlong("long", { agent: "a", maxTokens: 10, buffer: 4 }), [one])).toEqual([-0.75]);
  });

  it("measures tokens against the group's largest, or a budget", async () => {
    const of = (tokens: number) => episode({ calls: [{ agent: "a", output: new Int32Array(tokens) }] });
    expect(await totals(tokenShare("tokens"), [of(60), of(120)])).toEqual([0.5, 1]);
    expect(await totals(tokenShare("tokens", { budget: 80 }), [of(60), of(120)])).toEqual([0.75, 1]);
    expect(await totals(tokenShare("tokens"), [of(0), of(0)])).toEqual([0, 0]);
  });
});

/** Scores a group of constants and lets the term learn from it, as applyRewards does. */
async function step(term: RewardTerm, at: number, result: unknown, more = {}): Promise<number | string> {
  const now = { ...context, step: at, ...more };
  const group = episodes(result, result);
  const scored = await term.score(group, now);
  const [first] = await totals(term, group, now);
  term.learn!(scored, now);
  return first!;
}

describe("stages", () => {
  it("switch after their steps, as a function of the step alone", async () => {
    const make = () =>
      stages([
        { term: reward("one", () => 1), until: { step: 2 } },
        { term: reward("two", () => 2), until: { step: 3 } },
        { term: reward("three", () => 3) },
      ]);
    const term = make();
    const seen = [];
    for (let at = 1; at <= 5; at++) seen.push(await step(term, at, 0));
    expect(seen).toEqual([1, 1, 2, 3, 3]);
    // A resumed run is in the same stage even before its state is read.
    expect(await totals(make(), episodes(0), { ...context, step: 3 })).toEqual([2]);
  });

  it("switch when a mean no longer rises, and remember it", async () => {
    const make = () =>
      stages([{ term: value, until: { patience: 2, rise: 0.1 } }, { term: reward("strict", () => -5) }]);
    let term = make();
    const seen = [];
    for (const [i, mean] of [0, 0.5, 0.55, 0.7, 0.7, 0.75, 0.9].entries()) {
      const saved: Json = JSON.parse(JSON.stringify(term.state!()));
      term = make();
      term.restore!(saved);
      seen.push(await step(term, i + 1, mean));
    }
    expect(seen).toEqual([0, 0.5, 0.55, 0.7, 0.7, 0.75, -5]);
  });

  it("can wait for a metric of the evaluation, and count each evaluation once", async () => {
    const term = stages([
      { term: value, until: { plateauOfMetric: "f1", patience: 1 } },
      { term: reward("next", () => 9) },
    ]);
    const evaluation = (at: number, f1: number) => ({ evaluation: { step: at, means: { f1 } } });
    expect(await step(term, 1, 0, evaluation(0, 0.4))).toBe(0);
    expect(await step(term, 2, 0, evaluation(0, 0.4))).toBe(0);
    expect(await step(term, 3, 0, evaluation(2, 0.6))).toBe(0);
    expect(await step(term, 4, 0, evaluation(3, 0.6))).toBe(0);
    expect(await step(term, 5, 0)).toBe(9);
  });

  it("may share names between stages, and refuse ends that make no sense", () => {
    const stage = (name: string) => sum({ f1: value }, { name });
    expect(() =>
      stages([{ term: stage("early"), until: { step: 5 } }, { term: stage("late") }]),
    ).not.toThrow();
    expect(() => stages([{ term: value, until: { step: 5 } }])).toThrow(/must not end/);
    expect(() => stages([{ term: value }, { term: failing }])).toThrow(/does not say when/);
    expect(() =>
      stages([{ term: value, until: { step: 5 } }, { term: failing, until: { step: 5 } }, { term: value }]),
    ).toThrow(/not after the one before/);
  });
});

describe("any nesting", () => {
  const leaf = fc.constantFrom("value", "square", "rank");
  interface Shape {
    readonly kind: string;
    readonly parts: readonly Shape[];
  }
  const { shape } = fc.letrec<{ shape: Shape }>((tie) => ({
    shape: fc.oneof(
      { maxDepth: 3 },
      leaf.map((kind): Shape => ({ kind, parts: [] })),
      fc
        .tuple(
          fc.constantFrom("sum", "gate", "clip", "equal", "discount", "dynamic"),
          tie("shape"),
          tie("shape"),
        )
        .map(([kind, a, b]): Shape => ({ kind, parts: [a, b] })),
    ),
  }));
  let count = 0;
  const build = ({ kind, parts }: Shape): RewardTerm => {
    const name = `${kind}${count++}`;
    const [a, b] = parts.map(build);
    if (kind === "value") return reward(name, ({ result }) => result as number);
    if (kind === "square") return reward(name, ({ result }) => (result as number) ** 2);
    if (kind === "rank")
      return groupReward(name, (group) =>
        group.map(
          ({ result }) => group.filter((other) => (other.result as number) < (result as number)).length,
        ),
      );
    if (kind === "sum") return sum({ [`${name}a`]: [2, a!], [`${name}b`]: b! }, { name });
    if (kind === "gate") return gate(a!, [{ term: b!, atLeast: 1 }], { name });
    if (kind === "clip") return clip(a!, { low: -2, high: 2, name });
    if (kind === "equal") return allEqualToZero(a!, { name });
    if (kind === "discount")
      return costDiscount(a!, { cost: ({ result }) => Math.abs(result as number), name });
    return dynamicWeights({ [`${name}a`]: a!, [`${name}b`]: b! }, { name });
  };

  it("permuting a group permutes its rewards; each is finite; every term is in the logs once", async () => {
    await fc.assert(
      fc.asyncProperty(
        shape,
        fc.uniqueArray(fc.integer({ min: -4, max: 4 }), { minLength: 1, maxLength: 5 }),
        fc.infiniteStream(fc.nat()),
        async (made, results, random) => {
          const term = build(made);
          const group: FinishedEpisode[] = episodes(...results);
          const order = [...group.keys()];
          for (let i = order.length - 1; i > 0; i--) {
            const j = random.next().value % (i + 1);
            [order[i], order[j]] = [order[j]!, order[i]!];
          }
          const plain = await totals(term, group);
          const permuted = await totals(
            term,
            order.map((i) => group[i]!),
          );
          expect(permuted).toEqual(order.map((i) => plain[i]));
          expect(plain.every(Number.isFinite)).toBe(true);
          const [scored] = await term.score(group, context);
          const names = "rewards" in scored! ? scored.rewards.map(({ name }) => name) : [];
          expect(new Set(names).size).toBe(names.length);
          expect(names).toContain(term.name);
        },
      ),
      { numRuns: 60 },
    );
  });
});
