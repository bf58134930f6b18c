/** However an episode ends, it leaves one typed outcome, and nothing else: no sample, timer, place at a gate or rejection. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Policy, SampleResult } from "../../src/engine/policy.ts";
import { grpo } from "../../src/methods/grpo.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { VirtualClock } from "../../src/testing/virtual-clock.ts";
import type { TrainSettings } from "../../src/trainer/config.ts";
import { creditGroup } from "../../src/trainer/credit-groups.ts";
import { agent } from "../../src/workflow/agent.ts";
import { type EpisodeOptions, runEpisode } from "../../src/workflow/episode.ts";
import { Gates } from "../../src/workflow/gate.ts";
import type { MemoryStore } from "../../src/workflow/memory.ts";
import { callReward, type Trajectory } from "../../src/workflow/trajectory.ts";
import { workflow } from "../../src/workflow/workflow.ts";

const rejections: unknown[] = [];
const note = (reason: unknown) => rejections.push(reason);
let others: NodeJS.UnhandledRejectionListener[] = [];
beforeAll(() => {
  others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", note);
});
afterAll(() => {
  process.off("unhandledRejection", note);
  for (const other of others) process.on("unhandledRejection", other);
});
beforeEach(() => {
  rejections.length = 0;
});

const ask = agent("ask", { prompt: (v: { text: string }) => v.text, maxTokens: 4 });
const judge = agent("judge", {
  prompt: () => "x",
  maxTokens: 4,
  parse: (): number => {
    throw new Error("no number");
  },
});
const faulty = agent("faulty", {
  prompt: (): string => {
    throw new Error("no question");
  },
});
const agents = { ask, judge, faulty };
const silent = new Promise<never>(() => {});
const failingStore: MemoryStore = {
  get: () => silent,
  put: () => {
    throw new Error("disk full");
  },
  keys: () => silent as never,
};
const tools = {
  broken: (_: object) => {
    throw new Error("404");
  },
  silent: (_: object) => silent,
  instant: (_: object) => 1,
  dated: (_: object) => ({ when: new Date(0) }),
  cyclic: (_: object) => {
    const value: Record<string, unknown> = {};
    value.itself = value;
    return value;
  },
};
const parts = { agents, tools };
type Run = Parameters<typeof workflow<typeof agents, typeof tools>>[2];

/** A trainable policy whose answers pass through `change`. */
async function policyOf(change: (result: SampleResult) => unknown = (result) => result): Promise<Policy> {
  const honest = await tabularPolicy({ words: ["x", "y"] }).open({ name: "p", seed: 0 });
  return new Proxy(honest, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (name === "sample")
        return async (request: never) => change(await target.sample(request)) as SampleResult;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

interface Ended {
  readonly trajectory: Trajectory;
  readonly policies: ReadonlyMap<string, Policy>;
}

/** Runs to the end on a virtual clock, and checks what is left behind. */
async function end(
  run: Run,
  change?: (result: SampleResult) => unknown,
  over: Partial<EpisodeOptions<unknown>> = {},
): Promise<Ended> {
  const clock = new VirtualClock();
  const gates = new Gates({ policies: { p: 2 } });
  const policies = new Map([["p", await policyOf(change)]]);
  let ended = false;
  const running = runEpisode({
    workflow: workflow("w", parts, run),
    task: "x",
    policies,
    assignment: new Map(Object.keys(agents).map((name) => [name, "p"])),
    stage: "train",
    identity: { purpose: "train", step: 1, group: 0, task: 0, sample: 0 },
    seed: 1,
    clock,
    gates,
    ...over,
  }).finally(() => {
    ended = true;
  });
  for (let i = 0; i < 50 && !ended; i++) await new Promise((go) => setImmediate(go));
  if (!ended) await clock.advance(1_000_000);
  const trajectory = await running;
  await new Promise((go) => setTimeout(go, 1));
  expect(clock.pending).toBe(0);
  expect(gates.busy()).toEqual([]);
  expect(rejections).toEqual([]);
  return { trajectory, policies };
}

const good: Run = async ({ agents: { ask: say }, reward }) => {
  await say({ text: "x" });
  reward(1);
};

const settings = { method: grpo(), teams: new Map() } as unknown as TrainSettings<unknown>;
const samplesOf = (policies: Ended["policies"], ...trajectories: readonly Trajectory[]) =>
  creditGroup({ task: "x", index: 0, trajectories }, { settings, policies }).calls;

describe("each boundary has its code, and an episode that failed there leaves no sample", () => {
  const asks: Run = good;
  const faults: readonly (readonly [
    what: string,
    boundary: string,
    code: string,
    run: Run,
    change?: ((result: SampleResult) => unknown) | undefined,
    over?: Partial<EpisodeOptions<unknown>>,
  ])[] = [
    [
      "a model that throws",
      "model",
      "E_MODEL_CALL",
      asks,
      () => {
        throw new Error("out of memory");
      },
    ],
    ["a model that is late", "model", "E_CALL_DEADLINE", asks, () => silent],
    [
      "log-probs that are NaN",
      "model",
      "E_TOKEN_MISMATCH",
      asks,
      (result) => ({ ...result, logprobs: result.logprobs.map(() => Number.NaN) }),
    ],
    [
      "log-probs that are −∞",
      "model",
      "E_TOKEN_MISMATCH",
      asks,
      (result) => ({ ...result, plainLogprobs: result.logprobs.map(() => Number.NEGATIVE_INFINITY) }),
    ],
    [
      "log-probs that are too few",
      "model",
      "E_TOKEN_MISMATCH",
      asks,
      (result) => ({ ...result, plainLogprobs: new Float32Array(0) }),
    ],
    [
      "a tool that throws",
      "tool",
      "E_TOOL",
      async ({ agents: { ask: say }, tools: { broken }, reward }) => {
        await say({ text: "x" });
        reward(1);
        await broken({});
      },
    ],
    [
      "a tool that is late",
      "tool",
      "E_TOOL_DEADLINE",
      async ({ tools: { silent: never } }) => {
        await never({});
      },
    ],
    [
      "a tool that gives a Date",
      "tool",
      "E_TOOL_OUTPUT",
      async ({ tools: { dated } }) => {
        await dated({});
      },
    ],
    [
      "a tool that gives a cycle",
      "tool",
      "E_TOOL_OUTPUT",
      async ({ tools: { cyclic } }) => {
        await cyclic({});
      },
    ],
    [
      "a tool that is asked with a function",
      "tool",
      "E_TOOL_INPUT",
      async ({ tools: { instant } }) => {
        await instant({ how: () => 1 });
      },
    ],
    [
      "a memory that is full",
      "tool",
      "E_MEMORY",
      async ({ memory }) => {
        await memory.put("k", 1);
      },
      undefined,
      { memory: failingStore },
    ],
    [
      "a memory that is late",
      "tool",
      "E_MEMORY",
      async ({ memory }) => {
        await memory.get("k");
      },
      undefined,
      { memory: failingStore },
    ],
    [
      "a reward that is NaN",
      "reward",
      "E_REWARD_NOT_FINITE",
      async (context) => {
        await good(context);
        context.reward(Number.NaN);
      },
    ],
    [
      "a reward for another's agent",
      "reward",
      "E_REWARD_PLACE",
      async (context) => {
        await good(context);
        context.reward(1, { agent: "nobody" });
      },
    ],
    [
      "a reward for a call that is not there",
      "reward",
      "E_REWARD_PLACE",
      async (context) => {
        await good(context);
        context.reward(1, { call: 7 });
      },
    ],
    [
      "no reward",
      "reward",
      "E_REWARD_MISSING",
      async ({ agents: { ask: say } }) => {
        await say({ text: "x" });
      },
    ],
    [
      "no reward for one call",
      "reward",
      "E_REWARD_MISSING",
      async ({ agents: { ask: say }, reward }) => {
        const { call } = await say({ text: "x" });
        await say({ text: "y" });
        reward(1, { call });
      },
    ],
    [
      "a parser that refuses",
      "parser",
      "E_PARSE",
      async ({ agents: { judge: read }, reward }) => {
        reward((await read()).parsed);
      },
    ],
    [
      "a prompt that throws",
      "workflow",
      "E_PROMPT",
      async ({ agents: { faulty: other } }) => {
        await other();
      },
    ],
    [
      "a prompt that is empty",
      "workflow",
      "E_PROMPT_EMPTY",
      async ({ agents: { ask: say } }) => {
        await say({ text: "" });
      },
    ],
    [
      "a prompt that is too long",
      "workflow",
      "E_PROMPT_TOO_LONG",
      async ({ agents: { ask: say } }) => {
        await say({ text: "x ".repeat(100_000) });
      },
    ],
    [
      "too many calls",
      "workflow",
      "E_EPISODE_LIMIT",
      async ({ agents: { ask: say }, reward }) => {
        reward(1);
        for (;;) await say({ text: "x" });
      },
    ],
    [
      "too many tokens",
      "workflow",
      "E_EPISODE_LIMIT",
      async ({ agents: { ask: say }, reward }) => {
        reward(1);
        for (;;) await say({ text: "x" });
      },
      undefined,
      { limits: { tokens: 9 } },
    ],
    [
      "a workflow that throws",
      "workflow",
      "E_WORKFLOW_THREW",
      async (context) => {
        await good(context);
        throw new TypeError("undefined is not a function");
      },
    ],
    [
      "an episode that is late in its own code",
      "workflow",
      "E_EPISODE_DEADLINE",
      async (context) => {
        await good(context);
        await silent;
      },
    ],
  ];

  for (const [what, boundary, code, run, change, over] of faults) {
    test(what, async () => {
      const { trajectory, policies } = await end(run, change, over);
      expect(trajectory).toMatchObject({ status: "failed", failure: { boundary, code } });
      const { trajectory: fine } = await end(good);
      expect(samplesOf(policies, trajectory)).toEqual([]);
      expect(samplesOf(policies, fine, trajectory, fine).map((one) => one.trajectory)).toEqual([fine, fine]);
    });
  }

  test("stopped from outside: cancelled, and no sample either", async () => {
    const stop = new AbortController();
    const { trajectory, policies } = await end(
      async (context) => {
        await good(context);
        stop.abort();
        await silent;
      },
      undefined,
      { signal: stop.signal },
    );
    expect(trajectory.status).toBe("cancelled");
    expect(trajectory.failure).toBeUndefined();
    expect(samplesOf(policies, trajectory)).toEqual([]);
  });
});

describe("an end in the middle of branches does not go on in user code", () => {
  const branches: Run = async ({ agents: { ask: say }, tools: { silent: never }, memory, reward }) => {
    const branch = async (work: Promise<unknown>) => {
      await work;
    };
    void memory.get("k").then(() => {});
    const all = [branch(never({})), branch(say({ text: "x" }).then(() => never({}))), branch(never({}))];
    for (const one of all) await one;
    reward(1);
  };

  test.each([
    ["late", { deadlines: { episode: 5 } }],
    ["late in each", { deadlines: { episode: 5, tool: 900 }, memory: failingStore }],
  ] as const)("%s", async (_, over) => {
    const { trajectory } = await end(branches, undefined, over);
    expect(trajectory.failure?.code).toBe("E_EPISODE_DEADLINE");
    expect(trajectory.tools.map(({ status }) => status)).toEqual(["cancelled", "cancelled", "cancelled"]);
  });

  test("thrown", async () => {
    const { trajectory } = await end(async (context) => {
      void branches(context).catch(() => {});
      await context.agents.ask({ text: "y" });
      throw new Error("enough");
    });
    expect(trajectory.failure?.code).toBe("E_WORKFLOW_THREW");
  });

  test("stopped, and what is asked for afterwards stays unanswered", async () => {
    const stop = new AbortController();
    let caught = 0;
    const { trajectory } = await end(
      async ({ agents: { ask: say }, tools: { silent: never } }) => {
        stop.abort();
        // Rejected once and again, this loop would never let go of the process.
        for (;;) {
          try {
            await never({});
            await say({ text: "x" });
          } catch {
            caught++;
          }
        }
      },
      undefined,
      { signal: stop.signal },
    );
    expect(trajectory.status).toBe("cancelled");
    expect(caught).toBe(0);
  });

  test("a memory that nobody awaits may fail", async () => {
    const { trajectory } = await end(
      async (context) => {
        void context.memory.put("k", 1);
        await good(context);
      },
      undefined,
      { memory: failingStore },
    );
    expect(trajectory).toMatchObject({ status: "complete", memory: [{ status: "failed" }] });
  });
});

describe("a loop that does not end ends the episode, not the process", () => {
  test("over a tool that answers at once: its deadline comes", async () => {
    const trajectory = await runForReal(
      async ({ tools: { instant } }) => {
        for (;;) await instant({});
      },
      { deadlines: { episode: 0.03 } },
    );
    expect(trajectory.failure?.code).toBe("E_EPISODE_DEADLINE");
  });

  test("over calls beyond the limit that are caught", async () => {
    const trajectory = await runForReal(
      async ({ agents: { ask: say } }) => {
        for (;;) await say({ text: "x" }).catch(() => {});
      },
      { limits: { calls: 3 } },
    );
    expect(trajectory.failure).toMatchObject({ code: "E_EPISODE_LIMIT" });
    expect(trajectory.calls).toHaveLength(3);
  });

  test("over a prompt that cannot be made", async () => {
    const trajectory = await runForReal(async ({ agents: { faulty: other } }) => {
      for (;;) await other().catch(() => {});
    });
    expect(trajectory.failure).toMatchObject({ code: "E_PROMPT" });
  });
});

async function runForReal(run: Run, over: Partial<EpisodeOptions<unknown>> = {}): Promise<Trajectory> {
  return runEpisode({
    workflow: workflow("w", parts, run),
    task: "x",
    policies: new Map([["p", await policyOf()]]),
    assignment: new Map(Object.keys(agents).map((name) => [name, "p"])),
    stage: "train",
    identity: { purpose: "train", step: 1, group: 0, task: 0, sample: 0 },
    seed: 1,
    ...over,
  });
}

test("every trainable call of a complete episode has a reward, and is credited once", async () => {
  const { trajectory, policies } = await end(async ({ agents: { ask: say, judge: read }, reward }) => {
    const [first] = await Promise.all([say({ text: "x" }), say({ text: "x" }), read()]);
    reward(0.5, { agent: "judge" });
    reward(1, { agent: "ask" });
    reward(2, { call: first.call });
    void say({ text: "y" });
  });
  expect(trajectory.status).toBe("complete");
  const complete = trajectory.calls.filter(({ status }) => status === "complete");
  expect(complete.map((call) => callReward(trajectory, call))).toEqual([3, 1, 0.5]);
  expect(samplesOf(policies, trajectory).map(({ call }) => call.id)).toEqual([0, 1, 2]);
  expect(trajectory.calls[3]!.status).toBe("cancelled");
});
