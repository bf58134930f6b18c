/** What a workflow may do, and what is recorded of it: children, memory, tools that models call, conversations, limits. */

import { describe, expect, test } from "vitest";
import { z } from "zod";
import type { ChatMessage, Policy, PolicyTokenizer, TextPolicy } from "../../src/engine/policy.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { agent } from "../../src/workflow/agent.ts";
import { type EpisodeOptions, runEpisode } from "../../src/workflow/episode.ts";
import { LimitError } from "../../src/workflow/errors.ts";
import { dataEdges } from "../../src/workflow/graph.ts";
import { replayEpisode } from "../../src/workflow/replay.ts";
import { segmentsOf } from "../../src/workflow/segment.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { tool } from "../../src/workflow/tool.ts";
import { callReward, type Trajectory, trajectoryReward } from "../../src/workflow/trajectory.ts";
import { type AnyWorkflow, agentsOf, workflow } from "../../src/workflow/workflow.ts";

type Options = Partial<EpisodeOptions<unknown>>;

async function run(
  made: AnyWorkflow,
  policy: Policy | TextPolicy | ((prompt: string) => string),
  options: Options = {},
): Promise<Trajectory> {
  const opened =
    typeof policy === "function"
      ? await scriptedPolicy({ answer: policy }).open({ name: "p", seed: 0 })
      : policy;
  return runEpisode({
    workflow: made,
    task: "t",
    policies: new Map([["p", opened]]),
    assignment: new Map([...agentsOf(made).keys()].map((name) => [name, "p"])),
    stage: "train",
    identity: { purpose: "train", step: 1, group: 0, task: 0, sample: 0 },
    seed: 1,
    ...options,
  });
}

const say = agent("say", { prompt: (v: { text: string }) => v.text });

describe("children", () => {
  const helper = agent("helper", { prompt: (v: { of: string }) => `help ${v.of}` });
  const research = workflow(
    "research",
    { agents: { helper }, task: taskOf<{ of: string; deeper: number }>() },
    async ({ task, agents, reward, spawn, scope }): Promise<string> => {
      const { text } = await agents.helper({ of: task.of });
      reward(10, { name: scope });
      if (task.deeper === 0) return text;
      return `${text} ${await spawn(research, { of: `${task.of}'`, deeper: task.deeper - 1 })}`;
    },
  );
  const main = workflow(
    "main",
    { agents: { say }, children: [research] },
    async ({ agents, spawn, reward }) => {
      const { text } = await agents.say({ text: "plan" });
      const found = await Promise.all(
        ["a", "b"].map((of) => spawn(research, { of, deeper: of === "a" ? 1 : 0 })),
      );
      reward(1);
      return `${text}: ${found.join("; ")}`;
    },
  );

  test("have scopes of their own, and their rewards count for their own calls", async () => {
    const trajectory = await run(main, (prompt) => prompt.toUpperCase());
    expect(trajectory.result).toBe("PLAN: HELP A HELP A'; HELP B");
    expect(trajectory.children.map(({ scope, child, status }) => [scope, child, status])).toEqual([
      ["", "research#0", "complete"],
      ["", "research#1", "complete"],
      ["research#0", "research#0/research#0", "complete"],
    ]);
    const rewards = Object.fromEntries(
      trajectory.calls.map((call) => [call.scope, callReward(trajectory, call)]),
    );
    // The whole's 1 for everybody, 10 from the child, 10 more from the child above it.
    expect(rewards).toEqual({ "": 1, "research#0": 11, "research#1": 11, "research#0/research#0": 21 });
    expect(trajectoryReward(trajectory)).toBe(1);
    expect((await replayEpisode({ workflow: main, trajectory })).result).toBe(trajectory.result);
  });

  test("nest as deep as the limit allows", async () => {
    const trajectory = await run(main, (prompt) => prompt, { limits: { depth: 1 } });
    expect(trajectory.failure).toMatchObject({ boundary: "workflow", code: "E_EPISODE_LIMIT" });
    expect(trajectory.failure!.message).toContain("limit of 1 depth");
  });

  test("a child may not be rewarded for another's call", async () => {
    const nosy = workflow("nosy", { agents: { helper } }, async ({ agents, reward }) => {
      await agents.helper({ of: "x" });
      reward(1, { call: 0 });
    });
    const outer = workflow(
      "outer",
      { agents: { say }, children: [nosy] },
      async ({ agents, spawn, reward }) => {
        await agents.say({ text: "first" });
        reward(1);
        await spawn(nosy, undefined).catch(() => {});
      },
    );
    expect((await run(outer, (prompt) => prompt)).failure).toMatchObject({ code: "E_REWARD_PLACE" });
  });
});

test("memory is shared by an episode and its children, and replays", async () => {
  const child = workflow("child", { agents: { say } }, async ({ memory }) => {
    await memory.put("note/b", { deep: [1, 2] });
    return memory.get("note/a");
  });
  const main = workflow("main", { agents: { say }, children: [child] }, async ({ memory, spawn, reward }) => {
    await memory.put("note/a", "first");
    const seen = await spawn(child, undefined);
    reward(1);
    return [seen, await memory.get("note/b"), await memory.keys("note/"), await memory.get("none")];
  });
  const trajectory = await run(main, (prompt) => prompt);
  expect(trajectory.result).toEqual(["first", { deep: [1, 2] }, ["note/a", "note/b"], undefined]);
  expect((await replayEpisode({ workflow: main, trajectory })).result).toEqual(trajectory.result);
});

describe("structured output", () => {
  const judge = agent("judge", {
    prompt: () => "judge",
    output: z.object({ score: z.number().max(10) }),
  });
  const made = workflow("judged", { agents: { judge } }, async ({ agents, reward }) => {
    const { parse } = await agents.judge();
    reward(parse.ok ? parse.value.score : -1);
    return parse;
  });
  test.each([
    ['{"score": 7}', { ok: true, value: { score: 7 } }],
    ['```json\n{"score": 7}\n```', { ok: true, value: { score: 7 } }],
    ['{"score": 17}', { ok: false, reason: expect.stringContaining("score") }],
    ["seven", { ok: false, reason: expect.stringContaining("JSON") }],
  ])("%j is recorded as what it is", async (text, outcome) => {
    const trajectory = await run(made, () => text);
    expect(trajectory.calls[0]!.parse).toEqual(outcome);
    expect(trajectory.status).toBe("complete");
  });
});

/** Characters as tokens, with a chat format that a later turn continues: "role: content\n" and "assistant: ". */
const letters = (text: string) => Int32Array.from(text, (letter) => letter.codePointAt(0)!);
const render = (messages: readonly ChatMessage[]) =>
  messages.map(({ role, content }) => `${role}: ${content}\n`).join("");
const chatTokenizer: PolicyTokenizer = {
  vocabularySize: 0x11_0000,
  endTokens: [10],
  encode: letters,
  decode: (tokens) => String.fromCodePoint(...tokens),
  encodeChat: (messages) => letters(`${render(messages)}assistant: `),
  continueChat: ({ output }, messages) =>
    letters(`${output.at(-1) === 10 ? "" : "\n"}${render(messages)}assistant: `),
  parseToolCalls: (text) => {
    const calls = [...text.matchAll(/\[(\w+) (.*?)\]/g)].map(([, name, query]) => ({
      name: name!,
      arguments: { query },
    }));
    const faults = text.includes("[[") ? ["a call that never ends"] : [];
    return { content: text.replace(/\[.*?\]/g, "").trim(), calls, faults };
  },
};

function chatPolicy(answer: (prompt: string) => string): Policy {
  return {
    name: "p",
    version: 3,
    contextLength: 10_000,
    tokenizer: chatTokenizer,
    sample: async ({ prompt }) => {
      const text = answer(chatTokenizer.decode(prompt));
      const tokens = letters(`${text}\n`);
      const logprobs = new Float32Array(tokens.length).fill(-0.5);
      return {
        tokens,
        logprobs,
        plainLogprobs: logprobs,
        text,
        stopReason: "end",
        version: 3,
        sharedPromptTokens: 0,
      };
    },
    close: async () => {},
  };
}

describe("tools that the model calls itself", () => {
  const search = tool("search", {
    description: "finds",
    parameters: { type: "object", properties: { query: { type: "string" } } },
    run: ({ query }: { query: string }) => {
      if (query === "boom") throw new Error("no index");
      return `about ${query}`;
    },
  });
  const assistant = agent("assistant", {
    prompt: (v: { q: string }) => [{ role: "user", content: v.q }],
    tools: ["search"],
    maxToolTurns: 3,
  });
  const made = workflow(
    "tooled",
    { agents: { assistant }, tools: { search } },
    async ({ agents, reward }) => {
      const reply = await agents.assistant({ q: "capital?" });
      reward(1);
      return { text: reply.text, calls: reply.calls, parsed: reply.parse.ok };
    },
  );
  const inTurn = (...answers: readonly string[]) => {
    const left = [...answers];
    return chatPolicy(() => left.shift() ?? "out of answers");
  };

  test("are run, recorded under the call that asked, and the conversation goes on token by token", async () => {
    const trajectory = await run(made, inTurn("let me see [search Peru] [search Lima]", "Lima"));
    expect(trajectory.result).toEqual({ text: "Lima", calls: [0, 1], parsed: true });
    expect(
      trajectory.tools.map(({ tool: name, input, output, call }) => [name, input, output, call]),
    ).toEqual([
      ["search", { query: "Peru" }, "about Peru", 0],
      ["search", { query: "Lima" }, "about Lima", 0],
    ]);
    const [first, second] = trajectory.calls;
    expect(second!.continues).toBe(0);
    expect([...second!.prompt.subarray(0, first!.prompt.length + first!.output.length)]).toEqual([
      ...first!.prompt,
      ...first!.output,
    ]);
    expect(chatTokenizer.decode(second!.prompt)).toContain("tool: about Peru\ntool: about Lima\nassistant: ");
    const [segment, ...others] = segmentsOf(trajectory);
    expect(others).toEqual([]);
    expect(segment!.calls).toEqual([0, 1]);
    const sampled = [...segment!.tokens].filter((_, i) => segment!.mask[i] === 1);
    expect(String.fromCodePoint(...sampled)).toBe("let me see [search Peru] [search Lima]\nLima\n");
    expect([...segment!.owner].filter((owner) => owner === 1)).toHaveLength(5);
    expect((await replayEpisode({ workflow: made, trajectory })).result).toEqual(trajectory.result);
  });

  test("one that fails or does not exist is told to the model, and recorded as failed", async () => {
    const trajectory = await run(made, inTurn("[search boom] [weather x]", "sorry"));
    expect(trajectory.status).toBe("complete");
    expect(trajectory.tools).toMatchObject([
      { status: "failed", failure: { code: "E_TOOL", cause: "no index" } },
    ]);
    expect(chatTokenizer.decode(trajectory.calls[1]!.prompt)).toContain('{"error":"no index"}');
    expect(chatTokenizer.decode(trajectory.calls[1]!.prompt)).toContain('There is no tool \\"weather\\"');
    expect((await replayEpisode({ workflow: made, trajectory })).result).toEqual(trajectory.result);
  });

  test("a model that never stops asking is stopped", async () => {
    const trajectory = await run(
      made,
      chatPolicy(() => "[search more]"),
    );
    expect(trajectory.failure).toMatchObject({ code: "E_TOOL_TURNS" });
    expect(trajectory.calls).toHaveLength(3);
  });

  test("a call that cannot be read is a refused output", async () => {
    const trajectory = await run(made, inTurn("[[search"));
    expect(trajectory.result).toMatchObject({ parsed: false });
    expect(trajectory.calls[0]!.parse).toEqual({ ok: false, reason: expect.stringContaining("never ends") });
    expect((await replayEpisode({ workflow: made, trajectory })).result).toEqual(trajectory.result);
  });

  test("text policies take part with their own calls, without tokens", async () => {
    const left = [{ name: "search", arguments: { query: "Peru" } }];
    const remote: TextPolicy = {
      name: "api",
      version: 0,
      generate: async ({ messages, tools }) => {
        expect(tools).toMatchObject([{ name: "search" }]);
        const toolCalls = left.splice(0);
        return {
          text: toolCalls.length > 0 ? "" : `after ${messages.length}`,
          stopReason: "end",
          toolCalls,
          usage: { promptTokens: 5, outputTokens: 2 },
          cost: 0.25,
        };
      },
      close: async () => {},
    };
    const trajectory = await run(made, remote);
    expect(trajectory.result).toMatchObject({ text: "after 3" });
    expect(trajectory.calls[1]).toMatchObject({ origin: "text", usage: { promptTokens: 5, cost: 0.25 } });
    expect(trajectory.calls[1]!.output).toHaveLength(0);
    expect((await replayEpisode({ workflow: made, trajectory })).result).toEqual(trajectory.result);
  });

  test("without a description of its input a tool cannot be given to a model", () => {
    expect(() =>
      workflow("bare", { agents: { assistant }, tools: { search: () => 1 } }, async () => {}),
    ).toThrow(/has no `parameters`/);
  });
});

test("a conversation that the workflow carries on itself continues the sampled tokens", async () => {
  const talker = agent("talker", { prompt: (v: { messages: ChatMessage[] }) => v.messages });
  const made = workflow("talk", { agents: { talker } }, async ({ agents, reward }) => {
    const messages: ChatMessage[] = [{ role: "user", content: "hi" }];
    for (let turn = 0; turn < 3; turn++) {
      const reply = await agents.talker({ messages: [...messages] });
      messages.push({ role: "assistant", content: reply.text }, { role: "user", content: `turn ${turn}` });
    }
    messages[1] = { role: "assistant", content: "something else" };
    await agents.talker({ messages: [...messages] });
    reward(1);
  });
  const trajectory = await run(
    made,
    chatPolicy((prompt) => `${prompt.length}`),
  );
  expect(trajectory.calls.map(({ continues }) => continues)).toEqual([undefined, 0, 1, undefined]);
  expect(segmentsOf(trajectory).map(({ calls }) => calls)).toEqual([[0, 1, 2], [3]]);
});

test("edges follow values from call to tool to call, and are not where nothing flowed", async () => {
  const plan = agent("plan", { prompt: () => "plan something" });
  const made = workflow(
    "flow",
    { agents: { plan, say }, tools: { look: ({ query }: { query: string }) => [`${query} is wet`] } },
    async ({ agents, tools, reward }) => {
      const { text } = await agents.plan();
      const [fact] = await tools.look({ query: text.split(";")[0]! });
      await agents.say({ text: "unrelated" });
      const told = await agents.say({ text: `Given ${fact}` });
      reward(1);
      return told.text;
    },
  );
  const trajectory = await run(made, (prompt) => (prompt.startsWith("plan") ? "the sea;land" : "ok then"));
  const edges = dataEdges(trajectory).map(({ from, to }) => `${from.kind} ${from.id} → ${to.kind} ${to.id}`);
  expect(edges).toEqual(["call 0 → tool 0", "tool 0 → call 2"]);
});

describe("limits and single calls", () => {
  const loop = workflow(
    "loop",
    { agents: { say }, limits: { calls: 3 } },
    async ({ agents, reward, meter }) => {
      reward(1);
      try {
        for (;;) await agents.say({ text: "again" });
      } catch (error) {
        if (!(error instanceof LimitError)) throw error;
        return meter().calls;
      }
    },
  );

  test("a loop that does not end is stopped, and may end well", async () => {
    const trajectory = await run(loop, () => "x");
    expect(trajectory).toMatchObject({ status: "complete", result: 3 });
    const tokens = await run(loop, () => "xyz", { limits: { calls: 99, tokens: 8 } });
    // Three letters and an end token a call: the third call begins at 8.
    expect(tokens.calls).toHaveLength(2);
  });

  test("options of one call win over the agent's", async () => {
    const made = workflow("once", { agents: { say } }, async ({ agents, reward }) => {
      const short = await agents.say({ text: "long answer" }, { maxTokens: 4 });
      const cut = await agents.say({ text: "long answer" }, { stop: [" "] });
      const sampled = await agents.say({ text: "x" }, { sampling: { temperature: 0.5 } });
      reward(1);
      return [short.text, cut.text, sampled.call];
    });
    const trajectory = await run(made, (prompt) => prompt);
    expect(trajectory.result).toEqual(["long", "long", 2]);
    expect(trajectory.calls[2]!.sampling).toEqual({ temperature: 0.5 });
  });

  test("a call that the workflow stops is cancelled; the episode goes on", async () => {
    const slow = await scriptedPolicy({
      answer: (prompt, { signal }) =>
        prompt === "slow"
          ? new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)))
          : "quick",
    }).open({ name: "p", seed: 0 });
    const made = workflow("first", { agents: { say } }, async ({ agents, reward }) => {
      const stop = new AbortController();
      const loser = agents.say({ text: "slow" }, { signal: stop.signal });
      const { text } = await agents.say({ text: "fast" });
      stop.abort(new Error("not needed"));
      const outcome = await loser.catch((error: Error) => error.message);
      reward(1);
      return [text, outcome];
    });
    const trajectory = await run(made, slow);
    expect(trajectory.status).toBe("complete");
    expect(trajectory.calls.map(({ status }) => status)).toEqual(["cancelled", "complete"]);
  });
});
