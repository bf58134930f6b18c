/** A text that a method gives a policy: the row that it becomes, why it may be refused, and what cannot be given at all. */

import { describe, expect, test } from "vitest";
import type { AnyPolicy } from "../../src/engine/policy.ts";
import type { GivenText, RewardedCall } from "../../src/methods/method.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { givenCalls } from "../../src/trainer/given-texts.ts";
import type { TellingRunner, ToldGroup } from "../../src/trainer/told-group.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { tool } from "../../src/workflow/tool.ts";
import type { CallRecord, Trajectory } from "../../src/workflow/trajectory.ts";
import { workflow } from "../../src/workflow/workflow.ts";

const words = ["red", "blue", "green", "ask"];
const open = (name: string, known: readonly string[]) =>
  tabularPolicy({ words: known }).open({ name, seed: 0 });
const mine = await open("mine", words);
const other = await open("other", [...words].reverse());
const frozen = { ...mine, name: "frozen", tokenizer: mine.tokenizer, backward: undefined };
const { backward: _, ...scoring } = frozen;
const speaking = { name: "speaking", generate: async () => ({ text: "red" }) };
const policies = new Map<string, AnyPolicy>([
  ["mine", mine],
  ["other", other],
  ["frozen", { ...scoring, forward: mine.forward.bind(mine) } as unknown as AnyPolicy],
  ["speaking", speaking as unknown as AnyPolicy],
]);

const plain = agent("plain", { prompt: (v: { text: string }) => v.text, maxTokens: 2 });
const tooled = agent("tooled", { prompt: (v: { text: string }) => v.text, maxTokens: 2, tools: ["look"] });
const look = tool("look", {
  description: "looks",
  parameters: { type: "object", properties: {} },
  run: async () => "seen",
});
const team = workflow(
  "team",
  { agents: { plain, tooled }, tools: { look }, task: taskOf<object>() },
  async () => {},
);
const settings = { workflow: team, method: { name: "giving" }, teams: new Map() };
const runner = { settings, policies } as unknown as TellingRunner<object>;

const call = (id: number, over: Partial<CallRecord> = {}) =>
  ({
    id,
    agent: "plain",
    policy: "mine",
    input: "ask red",
    prompt: mine.tokenizer.encode("ask red"),
    output: mine.tokenizer.encode("blue"),
    logprobs: Float32Array.of(-0.5),
    mask: Uint8Array.of(1),
    text: "blue",
    version: 7,
    stopReason: "length",
    ...over,
  }) as CallRecord;
const told = (calls: readonly (readonly CallRecord[])[]): ToldGroup => ({
  rewarded: {
    task: "the task",
    dataset: "the data",
    episodes: calls.map((row, i) => ({
      id: `e${i}`,
      reward: i,
      result: undefined,
      terms: {},
      calls: row.map(({ id }) => ({ id, reward: i }) as unknown as RewardedCall),
    })),
  } as ToldGroup["rewarded"],
  trajectories: calls.map((_row, i) => ({ id: `e${i}` }) as Trajectory),
  calls,
});
const give = (one: CallRecord, text: Partial<GivenText> = {}) =>
  givenCalls(
    told([[call(8)], [call(9), one]]),
    [{ episode: 1, call: 1, policy: "other", advantage: -0.75, ...text }],
    runner,
  );

describe("a row", () => {
  test("is the call with another's tokens, and says whose, and what it came with", () => {
    const one = call(3);
    const { calls, refused } = give(one, { oldLogprob: -0.25, link: "x" });
    expect(refused).toEqual({});
    expect(calls).toHaveLength(1);
    expect(calls[0]).toMatchObject({
      trajectory: { id: "e1" },
      advantage: -0.75,
      given: "with log-probs",
      link: "x",
      told: { task: "the task", dataset: "the data", rewarded: { id: 3, reward: 1 } },
    });
    const { prompt, output, logprobs, plainLogprobs, mask, policy, stopReason, text } = calls[0]!.call;
    expect([...prompt]).toEqual([...other.tokenizer.encode("ask red")]);
    expect([...prompt]).not.toEqual([...one.prompt]);
    // Neither an end token nor another special one.
    expect([...output]).toEqual([...other.tokenizer.encode("blue")]);
    expect(other.tokenizer.decode(output)).toBe("blue");
    expect([...logprobs]).toEqual([-0.25]);
    expect([...plainLogprobs]).toEqual([-0.25]);
    expect([...mask]).toEqual([1]);
    // It was not cut, whatever the call was.
    expect({ policy, stopReason, text }).toEqual({ policy: "other", stopReason: "end", text: "blue" });
  });

  test("is encoded without the special tokens of a text that stands alone", () => {
    const asked: unknown[] = [];
    const encode = (text: string, how?: unknown) => {
      asked.push([text, how]);
      return other.tokenizer.encode(text);
    };
    const tokenizer = { encode, decode: other.tokenizer.decode.bind(other.tokenizer) };
    const learner = { ...other, tokenizer, backward: 0, step: 0, forward: 0 } as unknown as AnyPolicy;
    givenCalls(told([[call(3)]]), [{ episode: 0, call: 0, policy: "other", advantage: 1 }], {
      ...runner,
      policies: new Map([["other", learner]]),
    });
    expect(asked).toEqual([
      ["ask red", undefined],
      ["blue", { addSpecial: false }],
    ]);
  });

  test("without log-probs and with a text of its own", () => {
    const { calls } = give(call(3), { text: "red green" });
    expect(calls[0]).toMatchObject({ given: "without log-probs" });
    expect("link" in calls[0]!).toBe(false);
    expect([...calls[0]!.call.output]).toEqual([...other.tokenizer.encode("red green")]);
    expect(calls[0]!.call.mask).toHaveLength(2);
  });

  test("of the policy that was asked has the very prompt that was asked", () => {
    const asked = Int32Array.of(5, 3, 2);
    const { calls } = give(call(3, { prompt: asked, agent: "tooled" }), { policy: "mine", text: "green" });
    expect(calls[0]!.call.prompt).toBe(asked);
  });
});

describe("refused", () => {
  const chat = [{ role: "user", content: "ask" }] as const;
  const refusing: AnyPolicy = {
    ...other,
    backward: 0,
    step: 0,
    forward: 0,
    tokenizer: {
      ...other.tokenizer,
      encode: other.tokenizer.encode.bind(other.tokenizer),
      decode: other.tokenizer.decode.bind(other.tokenizer),
      encodeChat: () => {
        throw new Error("the template knows no such role");
      },
    },
  } as unknown as AnyPolicy;

  test.each<[string, Partial<CallRecord>, Partial<GivenText>]>([
    ["empty", { text: "" }, {}],
    ["roundTrip", {}, { text: "purple" }],
    ["tooLong", {}, { text: "red green blue" }],
    ["tooLong", { input: Array(63).fill("ask").join(" ") }, { text: "red red" }],
    ["prompt", { agent: "tooled" }, {}],
  ])("%s: %j %j", (reason, over, text) => {
    const { calls, refused } = give(call(3, over), text);
    expect(calls).toEqual([]);
    expect(refused).toEqual({ other: { [reason]: 1 } });
  });

  test("what just fits is not", () => {
    // 62 tokens and 2 are the 64 of the context.
    const input = Array(62).fill("ask").join(" ");
    expect(give(call(3, { input }), { text: "red red" }).calls).toHaveLength(1);
  });

  test("a prompt that the learner's template does not take", () => {
    const own = { settings, policies: new Map([["other", refusing]]) } as unknown as TellingRunner<object>;
    const { refused } = givenCalls(
      told([[call(3, { input: chat as unknown as CallRecord["input"] })]]),
      [{ episode: 0, call: 0, policy: "other", advantage: 1 }],
      own,
    );
    expect(refused).toEqual({ other: { prompt: 1 } });
  });

  test("each is counted by policy and reason, and the others are used", () => {
    const text = (policy: string, said: string): GivenText => ({
      episode: 0,
      call: 0,
      policy,
      advantage: 1,
      text: said,
    });
    const { calls, refused } = givenCalls(
      told([[call(3)]]),
      [
        text("other", "purple"),
        text("other", "red"),
        text("mine", ""),
        text("other", "pink"),
        text("other", ""),
      ],
      runner,
    );
    expect(calls.map(({ call: { text: said } }) => said)).toHaveLength(1);
    expect(refused).toEqual({ other: { roundTrip: 2, empty: 1 }, mine: { empty: 1 } });
  });
});

test.each<[Partial<GivenText>, RegExp]>([
  [{ call: 2 }, /call 2 of episode 1 of a group, which there is not/],
  [{ episode: -1 }, /which there is not/],
  [{ policy: "nobody" }, /which is not a policy of the run/],
  [{ policy: "frozen" }, /which is frozen/],
  [{ policy: "speaking" }, /which speaks text only/],
  [{ advantage: Number.POSITIVE_INFINITY }, /advantage Infinity/],
  [{ oldLogprob: 0.5 }, /log-prob 0\.5/],
  [{ oldLogprob: Number.NaN }, /log-prob NaN/],
])("%j cannot be given", (text, message) => {
  expect(() => give(call(3), text)).toThrow(message);
  expect(() => give(call(3), { oldLogprob: 0 })).not.toThrow();
});
