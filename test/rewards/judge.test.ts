import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Policy, SampleRequest, TextPolicy, TextRequest } from "../../src/engine/policy.ts";
import { callJudge, judge, readScore } from "../../src/rewards/judge.ts";
import {
  listed,
  pairwiseJudge,
  readPreference,
  readRanking,
  relativeJudge,
  shareBeaten,
} from "../../src/rewards/relative-judge.ts";
import { needsOf, type RewardContext, usageOf } from "../../src/rewards/reward.ts";
import { sum } from "../../src/rewards/sum.ts";
import { VerdictCache } from "../../src/rewards/verdict-cache.ts";
import { scriptedPolicy } from "../../src/testing/index.ts";
import { Gates } from "../../src/workflow/gate.ts";
import { context, episode, episodes, totals } from "./episodes.ts";

const open = (
  answer: (prompt: string, request: SampleRequest) => string | Promise<string>,
): Promise<Policy> => scriptedPolicy({ answer }).open({ name: "judge", seed: 0 });

const within = (policy: Policy | TextPolicy): RewardContext => ({
  ...context,
  policies: new Map([["judge", policy]]),
});

const score = judge("good", { policy: "judge", prompt: ({ result }) => `rate ${result}` });

describe("judge", () => {
  it("asks a policy of the run by name, and reads the score", async () => {
    const prompts: string[] = [];
    const policy = await open((prompt, { sampling }) => {
      prompts.push(`${prompt} @${sampling?.temperature}`);
      return `I like it. Score: ${prompt.slice(5)}/10`;
    });
    expect(await totals(score, episodes(7, 10, 0), within(policy))).toEqual([0.7, 1, 0]);
    expect(prompts).toEqual(["rate 7 @0", "rate 10 @0", "rate 0 @0"]);
    expect(needsOf(sum({ good: score })).policies).toEqual(["judge"]);
  });

  it("takes a text-only policy, and messages through the chat template of one with tokens", async () => {
    const seen: TextRequest[] = [];
    const remote: TextPolicy = {
      name: "remote",
      version: 0,
      generate: async (request) => {
        seen.push(request);
        return { text: "5", stopReason: "end", usage: { promptTokens: 4, outputTokens: 1 }, cost: 0.25 };
      },
      close: async () => {},
    };
    const term = judge("remote", { policy: remote, prompt: () => "rate" });
    expect(await totals(term, episodes(1))).toEqual([0.5]);
    expect(seen[0]!.messages).toEqual([{ role: "user", content: "rate" }]);
    expect(usageOf(sum({ good: term }))).toMatchObject({
      good: { cost: 0.25, promptTokens: 4, outputTokens: 1 },
    });
    const chat = judge("chat", { policy: "judge", prompt: () => [{ role: "user", content: "rate" }] });
    const policy = await open((prompt) => (prompt === "user: rate\n" ? "1" : "0"));
    expect(await totals(chat, episodes(1), within(policy))).toEqual([0.1]);
  });

  it("asks again under another key and warmer, and fails typed if nothing can be read", async () => {
    const requests: SampleRequest[] = [];
    const policy = await open((_, request) => {
      requests.push(request);
      return requests.length === 2 ? "Score: 4" : "hm";
    });
    expect(await totals(score, episodes("odd"), within(policy))).toEqual([0.4]);
    expect(requests.map(({ sampling }) => sampling?.temperature)).toEqual([0, 0.7]);
    expect(requests[0]!.key).not.toEqual(requests[1]!.key);
    const silent = await open(() => "no idea");
    const mute = judge("mute", { policy: "judge", prompt: ({ result }) => `rate ${result}`, attempts: 3 });
    const [scored] = await mute.score(episodes("a"), within(silent));
    expect(scored).toMatchObject({
      failure: {
        boundary: "reward",
        code: "E_JUDGE_UNREADABLE",
        message: expect.stringMatching(/Reward "mute" of episode .* in 3 attempts.*"no idea"/),
        hint: expect.stringMatching(/prompt/),
      },
    });
    expect(mute.usage!()).toMatchObject({ requests: 3, unreadable: 3 });
  });

  it("types a judge that throws, is late, is unknown, or whose prompt is too long", async () => {
    const throwing = await open((prompt) => {
      if (prompt.includes("b")) throw new Error("out of memory");
      return "5";
    });
    expect(await totals(score, episodes("a", "b"), within(throwing))).toEqual([0.5, "E_JUDGE_CALL"]);
    expect(await totals(score, episodes("a"), context)).toEqual(["E_JUDGE_POLICY"]);
    const late = judge("late", {
      policy: await open(() => new Promise<string>(() => {})),
      prompt: () => "x",
    });
    expect(await totals(late, episodes("a"), { ...context, deadline: 0.02 })).toEqual(["E_JUDGE_CALL"]);
    const small = await scriptedPolicy({ answer: () => "5", contextLength: 4 }).open({
      name: "small",
      seed: 0,
    });
    expect(await totals(judge("j", { policy: small, prompt: () => "too long" }), episodes("a"))).toEqual([
      "E_JUDGE_PROMPT",
    ]);
    const broken = judge("broken", {
      policy: throwing,
      prompt: () => {
        throw new Error("no question");
      },
    });
    expect(await totals(broken, episodes("a"))).toEqual(["E_REWARD_THREW"]);
  });

  it("asks once for equal prompts, at once or later, and anew when the policy has changed", async () => {
    let asked = 0;
    let version = 0;
    const base = await open(() => {
      asked++;
      return "5";
    });
    const policy: Policy = {
      ...base,
      get version() {
        return version;
      },
    };
    const term = judge("good", { policy, prompt: ({ result }) => `rate ${result}` });
    await totals(term, episodes("a", "a", "b", "a"));
    expect(asked).toBe(2);
    await totals(term, episodes("a"));
    expect(asked).toBe(2);
    expect(term.usage!()).toMatchObject({ verdicts: 5, cached: 3, requests: 2 });
    version = 1;
    await totals(term, episodes("a"));
    expect(asked).toBe(3);
    const uncached = judge("good", { policy, prompt: () => "rate", cache: false });
    await totals(uncached, episodes("a", "a"));
    expect(asked).toBe(5);
  });

  it("keeps within its own limit and within the gate of the policy", async () => {
    let inside = 0;
    let most = 0;
    const policy = await open(async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setTimeout(resolve, 1));
      inside--;
      return "5";
    });
    const many = episodes(...Array.from({ length: 20 }, (_, i) => i));
    const term = (concurrency: number) =>
      judge("good", { policy, concurrency, prompt: ({ result }) => `rate ${result}` });
    await totals(term(3), many);
    expect(most).toBe(3);
    most = 0;
    await totals(term(8), many, { ...context, gates: new Gates({ policies: { judge: 2 } }) });
    expect(most).toBe(2);
  });

  it("judges single calls", async () => {
    const policy = await open((prompt) => prompt);
    const term = callJudge("step", {
      policy,
      prompt: ({ agent, text }) => (agent === "a" ? text : undefined),
    });
    const one = episode({ calls: [{ agent: "a", text: "3" }, { agent: "b" }, { agent: "a", text: "9" }] });
    const [scored] = await term.score([one], context);
    expect(scored).toEqual({
      rewards: [
        { name: "step", value: 0.3, call: 0 },
        { name: "step", value: 0.9, call: 2 },
      ],
    });
  });
});

describe("readScore", () => {
  it("reads named and single numbers, and nothing else", () => {
    const read = readScore();
    expect(read("2 reasons against, 3 for. Score: **7**")).toBe(0.7);
    expect(read("Score: 2\nFinal score = 8.5/10")).toBe(0.85);
    expect(read("4/10")).toBe(0.4);
    expect(readScore({ from: -1, to: 1 })("-0.5")).toBe(0.25);
    for (const text of ["", "good", "3 or 4", "Score: 11"]) expect(() => read(text)).toThrow();
  });
});

describe("VerdictCache", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "troupe-verdicts-"));
  });
  afterAll(() => rm(folder, { recursive: true }));
  const of = { policy: "judge", version: 0 };

  it("forgets the least recently used", async () => {
    const cache = new VerdictCache({ entries: 2 });
    await cache.put("a", "1", of);
    await cache.put("b", "2", of);
    await cache.get("a");
    await cache.put("c", "3", of);
    expect(await Promise.all(["a", "b", "c"].map((hash) => cache.get(hash)))).toEqual(["1", undefined, "3"]);
    expect(cache.size).toBe(2);
  });

  it("outlives a process, and a line that was torn by its end", async () => {
    const file = join(folder, "deep", "verdicts.jsonl");
    const policy = await open(() => "Score: 6");
    const make = () => judge("good", { policy, prompt: ({ result }) => `rate ${result}`, cache: { file } });
    await totals(make(), episodes("a", "b"));
    await appendFile(file, '{"schema":"troupe.verd');
    const again = make();
    expect(await totals(again, episodes("a", "b", "c"))).toEqual([0.6, 0.6, 0.6]);
    expect(again.usage!()).toMatchObject({ cached: 2, requests: 1 });
    const lines = (await readFile(file, "utf8")).split("\n");
    expect(lines).toHaveLength(5);
    expect(JSON.parse(lines[3]!)).toMatchObject({
      schema: "troupe.verdict/1",
      policy: "judge",
      text: "Score: 6",
    });
    // The torn line now has lines after it, and is passed over for good.
    const third = make();
    expect(await totals(third, episodes("c"))).toEqual([0.6]);
    expect(third.usage!()).toMatchObject({ cached: 1, requests: 0 });
  });

  it("refuses a file of something else, and types a disk that takes nothing", async () => {
    const foreign = join(folder, "foreign.jsonl");
    await writeFile(foreign, '{"a":1}\n{"b":2}\n');
    const policy = await open(() => "5");
    const kept = (file: string) => judge("good", { policy, prompt: () => "rate", cache: { file } });
    expect(await totals(kept(foreign), episodes("a"))).toEqual(["E_JUDGE_CACHE"]);
    expect(await readFile(foreign, "utf8")).toBe('{"a":1}\n{"b":2}\n');
    expect(await totals(kept(folder), episodes("a"))).toEqual(["E_JUDGE_CACHE"]);
  });
});

/** Ranks candidates by the number in their text, and notes the orders it saw. */
const ranker = (orders: string[][] = []) =>
  open((prompt) => {
    const shown = [...prompt.matchAll(/^\[(\d+)\] (\d+)$/gmu)].map(([, label, text]) => ({
      label,
      text: Number(text),
    }));
    orders.push(shown.map(({ text }) => String(text)));
    return `Ranking: ${shown
      .toSorted((a, b) => b.text - a.text)
      .map(({ label }) => `[${label}]`)
      .join(" > ")}`;
  });

describe("relativeJudge", () => {
  const better = relativeJudge("better", { policy: "judge", prompt: (candidates) => listed(candidates) });

  it("gives the share of others that an episode beats, from two opposite orders", async () => {
    const orders: string[][] = [];
    const policy = await ranker(orders);
    expect(await totals(better, episodes(3, 9, 1, 3), within(policy))).toEqual([0.5, 1, 0, 0.5]);
    expect(orders).toHaveLength(2);
    // The candidate that occurs twice is shown once.
    expect(orders[0]).toHaveLength(3);
    expect(orders[1]).toEqual(orders[0]!.toReversed());
  });

  it("cancels the taste of a judge for what stands first", async () => {
    const first = await open((prompt) => {
      const labels = [...prompt.matchAll(/^\[(\d+)\]/gmu)].map(([, label]) => label);
      return `Ranking: ${labels.join(" > ")}`;
    });
    const values = await totals(better, episodes(1, 2, 3, 4), within(first));
    for (const value of values) expect(value).toBeCloseTo(0.5, 12);
  });

  it("orders candidates by key: another seed, another order", async () => {
    const first = async (seed: number) => {
      const orders: string[][] = [];
      await totals(
        relativeJudge("better", {
          policy: await ranker(orders),
          passes: 1,
          prompt: (candidates) => listed(candidates),
        }),
        episodes(1, 2, 3, 4, 5, 6),
        { ...context, seed },
      );
      return orders[0]!.join();
    };
    expect(await first(1)).toBe(await first(1));
    expect(new Set(await Promise.all([1, 2, 3, 4].map(first))).size).toBeGreaterThan(1);
  });

  it("shows the same order whatever the order of the episodes", async () => {
    const first = await open((prompt) => {
      const labels = [...prompt.matchAll(/^\[(\d+)\]/gmu)].map(([, label]) => label);
      return `Ranking: ${labels.join(" > ")}`;
    });
    const once = relativeJudge("better", {
      policy: first,
      passes: 1,
      prompt: (candidates) => listed(candidates),
    });
    const plain = await totals(once, episodes(1, 2, 3, 4));
    expect(await totals(once, episodes(4, 2, 3, 1))).toEqual([plain[3], plain[1], plain[2], plain[0]]);
  });

  it("does not ask where there is nothing to compare, and fails the group where nothing can be read", async () => {
    const mute = await open(() => "all are nice");
    expect(await totals(better, episodes(5), within(mute))).toEqual([0.5]);
    expect(await totals(better, episodes(5, 5, 5), within(mute))).toEqual([0.5, 0.5, 0.5]);
    expect(await totals(better, episodes(1, 2), within(mute))).toEqual([
      "E_JUDGE_UNREADABLE",
      "E_JUDGE_UNREADABLE",
    ]);
  });

  it("permuting a group permutes its rewards, and their mean is 1/2", async () => {
    const policy = await ranker();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(9), { minLength: 1, maxLength: 6 }), async (results) => {
        const plain = (await totals(better, episodes(...results), within(policy))) as number[];
        const reversed = await totals(better, episodes(...results.toReversed()), within(policy));
        expect(reversed).toEqual(plain.toReversed());
        expect(plain.reduce((sum, value) => sum + value, 0) / plain.length).toBeCloseTo(0.5, 12);
      }),
      { numRuns: 30 },
    );
  });

  it("passes on a judge's own numbers where asked to", async () => {
    const policy = await open(() => "8 3");
    const term = relativeJudge("points", {
      policy,
      scores: "value",
      prompt: (candidates) => listed(candidates),
      parse: (text) => text.split(" ").map(Number),
    });
    // 8 goes to whatever stands first, so two passes give both the mean.
    expect(await totals(term, episodes("x", "y"))).toEqual([5.5, 5.5]);
    expect(await totals(term, episodes("x", "y", "z"))).toEqual(Array(3).fill("E_JUDGE_UNREADABLE"));
  });
});

describe("pairwiseJudge", () => {
  it("gives the share of won comparisons, in both orders", async () => {
    let asked = 0;
    const policy = await open((prompt) => {
      asked++;
      const [a, b] = prompt.split(" ").map(Number);
      return a! > b! ? "The better one is A" : "B";
    });
    const term = pairwiseJudge("wins", { policy, prompt: (first, second) => `${first} ${second}` });
    expect(await totals(term, episodes(3, 9, 1, 3))).toEqual([0.5, 1, 0, 0.5]);
    expect(asked).toBe(6);
    expect(await totals(term, episodes(3))).toEqual([0.5]);
    const first = pairwiseJudge("wins", { policy: await open(() => "A"), prompt: (a, b) => `${a} ${b}` });
    expect(await totals(first, episodes(1, 2, 3))).toEqual([0.5, 0.5, 0.5]);
  });
});

describe("readers of comparisons", () => {
  it("read rankings with ties, the last line that has all labels", () => {
    expect(readRanking("first thought: 1 > 2 > 3\nRanking: [2] > 1 = 3", ["1", "2", "3"])).toEqual([
      -1, -0, -1,
    ]);
    expect(readRanking("**3, 1, 2**", ["1", "2", "3"])).toEqual([-1, -2, -0]);
    for (const text of ["", "1 > 2", "1 > 2 > 2", "1 > 2 > 4"])
      expect(() => readRanking(text, ["1", "2", "3"])).toThrow();
    expect([readPreference("A or B? B"), readPreference("A"), readPreference("a tie")]).toEqual([0, 1, 0.5]);
    expect(() => readPreference("Both")).toThrow();
    expect(shareBeaten([1, 1, 5])).toEqual([0.25, 0.25, 1]);
  });
});
