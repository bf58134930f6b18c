import { describe, expect, test } from "vitest";
import type { Policy } from "../../src/engine/policy.ts";
import { type ScriptedPolicyOptions, scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { agent } from "../../src/workflow/agent.ts";
import { type EpisodeOptions, runEpisode } from "../../src/workflow/episode.ts";
import { tool } from "../../src/workflow/tool.ts";
import { callReward, trainingSequence, trajectoryReward } from "../../src/workflow/trajectory.ts";
import { trajectoryLine } from "../../src/workflow/trajectory-json.ts";
import { type Workflow, workflow } from "../../src/workflow/workflow.ts";

const identity = { purpose: "train", step: 1, group: 0, task: 0, sample: 0 };
const echo = agent("echo", { prompt: (v: { text: string }) => v.text });

async function run(
  team: Workflow<unknown>,
  answer: ScriptedPolicyOptions["answer"] = (prompt) => `re: ${prompt}`,
  options: Partial<EpisodeOptions<unknown>> = {},
) {
  const policy: Policy = await scriptedPolicy({ answer }).open({ name: "p", seed: 0 });
  const assignment = new Map(Object.values(team.agents).map(({ name }) => [name, "p"]));
  return runEpisode({
    workflow: team,
    task: {},
    policies: new Map([["p", policy]]),
    assignment,
    stage: "train",
    identity,
    seed: 0,
    ...options,
  });
}

const withEcho = (body: Parameters<typeof workflow<{ echo: typeof echo }>>[2]) =>
  workflow("w", { agents: { echo } }, body);

test("records calls, tools and rewards of a workflow in plain TypeScript", async () => {
  const double = tool("double", { run: ({ n }: { n: number }) => n * 2 });
  const team = workflow(
    "w",
    { agents: { echo }, tools: { double, plain: async ({ s }: { s: string }) => s.length } },
    async ({ agents, tools, reward }) => {
      const replies = await Promise.all(["a", "b"].map((text) => agents.echo({ text })));
      const n: number = await tools.double({ n: await tools.plain({ s: replies[1]!.text }) });
      reward(0.5, { name: "half" });
      reward(0.25, { agent: "echo", name: "style" });
      reward(1, { call: replies[0]!.call });
      return n;
    },
  );
  const trajectory = await run(team);
  expect(trajectory).toMatchObject({ status: "complete", result: 10, id: "train/000001/000/00" });
  expect(
    trajectory.calls.map(({ id, agent: by, occurrence, text, status }) => [id, by, occurrence, text, status]),
  ).toEqual([
    [0, "echo", 0, "re: a", "complete"],
    [1, "echo", 1, "re: b", "complete"],
  ]);
  expect(trajectory.tools.map(({ tool: name, output }) => [name, output])).toEqual([
    ["plain", 5],
    ["double", 10],
  ]);
  expect(trajectoryReward(trajectory)).toBe(0.5);
  expect(trajectory.calls.map((call) => callReward(trajectory, call))).toEqual([1.75, 0.75]);
  const [call] = trajectory.calls;
  const { tokens, mask } = trainingSequence(call!);
  expect([...tokens]).toEqual([...call!.prompt, ...call!.output]);
  expect([...mask]).toEqual([0, 1, 1, 1, 1, 1, 1]);
  const line = JSON.parse(trajectoryLine(trajectory));
  expect(line.calls[0].output).toEqual([...call!.output]);
});

test("float32 log-probs survive the JSON line exactly", async () => {
  const policy = await tabularPolicy({ words: ["x", "y", "z", "w", "v"] }).open({ name: "p", seed: 0 });
  const trajectory = await run(
    withEcho(async ({ agents, reward }) => {
      await agents.echo({ text: "x" });
      reward(1);
    }),
    undefined,
    { policies: new Map([["p", policy]]) },
  );
  const {
    calls: [call],
  } = JSON.parse(trajectoryLine(trajectory));
  expect(Float32Array.from(call.logprobs)).toEqual(trajectory.calls[0]!.logprobs);
});

describe("every failure is laid at one boundary and leaves nothing to train on", () => {
  const fails = async (
    team: Workflow<unknown>,
    boundary: string,
    code: string,
    answer?: ScriptedPolicyOptions["answer"],
    options?: Partial<EpisodeOptions<unknown>>,
  ) => {
    const trajectory = await run(team, answer, options);
    expect(trajectory.status).toBe("failed");
    expect(trajectory.failure).toMatchObject({ boundary, code });
    return trajectory.failure!.message;
  };
  const asks = withEcho(async ({ agents, reward }) => {
    const reply = await agents.echo({ text: "a" });
    reward(1);
    return reply.text;
  });

  test("the model throws", async () => {
    const message = await fails(asks, "model", "E_MODEL_CALL", () => {
      throw new Error("out of memory");
    });
    expect(message).toContain('agent "echo"');
    expect(message).toContain("out of memory");
  });

  test("the model is late", async () => {
    const message = await fails(asks, "model", "E_CALL_DEADLINE", () => new Promise(() => {}), {
      deadlines: { call: 0.02 },
    });
    expect(message).toContain('policy "p" after 0.02 s');
  });

  test("the model returns fewer log-probs than tokens", async () => {
    const honest = await scriptedPolicy({ answer: () => "abc" }).open({ name: "p", seed: 0 });
    const broken: Policy = {
      ...honest,
      sample: async (request) => ({ ...(await honest.sample(request)), logprobs: new Float32Array(1) }),
    };
    await fails(asks, "model", "E_TOKEN_MISMATCH", undefined, { policies: new Map([["p", broken]]) });
  });

  test("a tool throws, or is late", async () => {
    const uses = (run: (input: string) => unknown) =>
      workflow("w", { agents: { echo }, tools: { look: run } }, async ({ tools, reward }) => {
        reward(1);
        return tools.look("x");
      });
    const message = await fails(
      uses(() => {
        throw new Error("404");
      }),
      "tool",
      "E_TOOL",
    );
    expect(message).toContain('tool "look" (call 0)');
    await fails(
      uses(() => new Promise(() => {})),
      "tool",
      "E_TOOL_DEADLINE",
      undefined,
      { deadlines: { tool: 0.02 } },
    );
  });

  test("a reward is NaN, even if the workflow swallows the error", async () => {
    const team = withEcho(async ({ reward }) => {
      try {
        reward(Number.NaN, { name: "f1" });
      } catch {
        reward(0);
      }
    });
    expect(await fails(team, "reward", "E_REWARD_NOT_FINITE")).toContain('reward "f1"');
  });

  test("a reward is missing, for the episode or for one call", async () => {
    await fails(
      withEcho(async () => "done"),
      "reward",
      "E_REWARD_MISSING",
    );
    const policy = await tabularPolicy({ words: ["x"] }).open({ name: "p", seed: 0 });
    const partly = withEcho(async ({ agents, reward }) => {
      const [first] = await Promise.all([agents.echo({ text: "x" }), agents.echo({ text: "x" })]);
      reward(1, { call: first.call });
    });
    expect(
      await fails(partly, "reward", "E_REWARD_MISSING", undefined, { policies: new Map([["p", policy]]) }),
    ).toContain("Call 1");
  });

  test("a reward is for an agent or call that does not exist", async () => {
    await fails(
      withEcho(async ({ reward }) => reward(1, { agent: "ecko" })),
      "reward",
      "E_REWARD_PLACE",
    );
    await fails(
      withEcho(async ({ reward }) => reward(1, { call: 3 })),
      "reward",
      "E_REWARD_PLACE",
    );
  });

  test("a parser refuses, and the workflow uses the value anyway", async () => {
    const strict = agent("strict", { prompt: () => "q", parse: (text) => JSON.parse(text) as number });
    const team = workflow("w", { agents: { strict } }, async ({ agents, reward }) => {
      const reply = await agents.strict();
      reward(1);
      return reply.parsed + 1;
    });
    expect(await fails(team, "parser", "E_PARSE", () => "one")).toContain('"one"');
    const patient = workflow("w", { agents: { strict } }, async ({ agents, reward }) => {
      const { parse } = await agents.strict();
      reward(parse.ok ? 1 : -1);
    });
    const trajectory = await run(patient, () => "one");
    expect(trajectory).toMatchObject({ status: "complete", calls: [{ parse: { ok: false } }] });
    expect(trajectoryReward(trajectory)).toBe(-1);
  });

  test("the workflow throws, or never ends", async () => {
    expect(
      await fails(
        withEcho(async () => {
          throw new TypeError("undefined is not a function");
        }),
        "workflow",
        "E_WORKFLOW_THREW",
      ),
    ).toContain("undefined is not a function");
    const endless = withEcho(async ({ agents }) => {
      await agents.echo({ text: "a" });
    });
    const message = await fails(endless, "workflow", "E_EPISODE_DEADLINE", () => new Promise(() => {}), {
      deadlines: { episode: 0.02 },
    });
    expect(message).toContain('waiting for agent "echo" (call 0)');
  });

  test("a prompt throws, is empty, or does not fit the context", async () => {
    const thrower = agent("thrower", {
      prompt: (): string => {
        throw new Error("no question");
      },
    });
    await fails(
      workflow("w", { agents: { thrower } }, async ({ agents }) => agents.thrower()),
      "workflow",
      "E_PROMPT",
    );
    await fails(
      withEcho(async ({ agents }) => agents.echo({ text: "" })),
      "workflow",
      "E_PROMPT_EMPTY",
    );
    const message = await fails(
      withEcho(async ({ agents }) => agents.echo({ text: "x".repeat(100_000) })),
      "workflow",
      "E_PROMPT_TOO_LONG",
    );
    expect(message).toContain("100000 tokens");
  });

  test("an agent's policy is unknown", async () => {
    expect(
      await fails(asks, "workflow", "E_POLICY_UNKNOWN", undefined, { assignment: new Map([["echo", "q"]]) }),
    ).toContain('"q"');
  });
});

test("a workflow may go on after a tool or a model failed", async () => {
  const team = workflow(
    "w",
    {
      agents: { echo },
      tools: {
        look: () => {
          throw new Error("404");
        },
      },
    },
    async ({ tools, reward }) => {
      const found = await Promise.resolve(tools.look(undefined as never)).catch(() => "nothing");
      reward(1);
      return found;
    },
  );
  expect(await run(team)).toMatchObject({
    status: "complete",
    result: "nothing",
    tools: [{ status: "failed", failure: { boundary: "tool" } }],
  });
});

test("a stopped episode is cancelled, not failed, and its model call is told", async () => {
  const stop = new AbortController();
  let told = false;
  const team = withEcho(async ({ agents, reward }) => {
    await agents.echo({ text: "a" });
    reward(1);
  });
  const running = run(
    team,
    (_, { signal }) =>
      new Promise(() =>
        signal?.addEventListener("abort", () => {
          told = true;
        }),
      ),
    { signal: stop.signal },
  );
  await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort();
  expect(await running).toMatchObject({ status: "cancelled", calls: [{ status: "cancelled" }] });
  expect(told).toBe(true);
  expect(await run(team, undefined, { signal: AbortSignal.abort() })).toMatchObject({
    status: "cancelled",
    calls: [],
  });
});

test("a call that nobody waits for is cancelled at the end and cannot bring the process down", async () => {
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown) => rejections.push(reason);
  process.on("unhandledRejection", onRejection);
  const team = withEcho(async ({ agents, reward }) => {
    void agents.echo({ text: "slow" }).then((reply) => reply.text);
    await agents.echo({ text: "fast" });
    reward(1);
  });
  const trajectory = await run(team, (prompt) =>
    prompt === "fast" ? "ok" : new Promise((_, reject) => setTimeout(() => reject(new Error("late")), 10)),
  );
  await new Promise((resolve) => setTimeout(resolve, 30));
  process.off("unhandledRejection", onRejection);
  expect(trajectory.calls.map(({ status }) => status)).toEqual(["cancelled", "complete"]);
  expect(rejections).toEqual([]);
});

test("what an agent samples depends on its prompt and the episode, not on who came first", async () => {
  const policy = await tabularPolicy({ words: ["a", "b", "c", "d"] }).open({ name: "p", seed: 0 });
  const ask = (texts: readonly string[]) =>
    withEcho(async ({ agents, reward }) => {
      const replies = await Promise.all(texts.map((text) => agents.echo({ text })));
      reward(1);
      return Object.fromEntries(texts.map((text, i) => [text, replies[i]!.text]));
    });
  const options = { policies: new Map([["p", policy]]) };
  const forwards = await run(ask(["a", "b", "c"]), undefined, options);
  const backwards = await run(ask(["c", "b", "a"]), undefined, options);
  expect(backwards.result).toEqual(forwards.result);
  const other = await run(ask(["a", "b", "c"]), undefined, {
    ...options,
    identity: { ...identity, sample: 1 },
  });
  expect(other.result).not.toEqual(forwards.result);
  const repeated = await run(
    withEcho(async ({ agents, reward }) => {
      reward(1);
      const replies = [
        await agents.echo({ text: "a" }),
        await agents.echo({ text: "a" }),
        await agents.echo({ text: "a" }),
      ];
      return new Set(replies.map(({ text }) => text)).size;
    }),
    undefined,
    options,
  );
  expect(repeated.result).toBeGreaterThan(1);
});

test("faulty definitions are refused by name", () => {
  const twin = agent("echo", { prompt: () => "x" });
  expect(() => workflow("w", { agents: { echo, twin } }, async () => 1)).toThrow(
    /two agents of the name "echo": agents.echo and agents.twin/,
  );
  expect(() => workflow("w", { agents: {} }, async () => 1)).toThrow(/no agents/);
  expect(() => agent("", { prompt: () => "x" })).toThrow(/names/);
  expect(() => agent("a", { prompt: () => "x", maxTokens: 0 })).toThrow(/maxTokens 0/);
  expect(() => agent("a", { prompt: () => "x", stop: [""] })).toThrow(/empty stop/);
});
