/** A replay that comes out differently names the first difference; one that looks behind its context is caught at it. */

import { describe, expect, test } from "vitest";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { agent } from "../../src/workflow/agent.ts";
import { runEpisode } from "../../src/workflow/episode.ts";
import { ReplayDivergenceError } from "../../src/workflow/errors.ts";
import { forkEpisode } from "../../src/workflow/fork.ts";
import { replayEpisode } from "../../src/workflow/replay.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { type AnyWorkflow, workflow } from "../../src/workflow/workflow.ts";

const asker = agent("asker", { prompt: (v: { text: string }) => `Ask about ${v.text}` });
const teller = agent("teller", { prompt: (v: { text: string }) => `Tell of ${v.text}` });
const look = ({ text }: { text: string }) => ({ found: text.toUpperCase() });
const parts = { agents: { asker, teller }, tools: { look } };
type Run = Parameters<typeof workflow<typeof parts.agents, typeof parts.tools>>[2];
const made = (run: Run): AnyWorkflow => workflow("told", parts, run);

const original: Run = async ({ task, agents, tools, reward }) => {
  const asked = await agents.asker({ text: task });
  const { found } = await tools.look({ text: asked.text });
  const told = await agents.teller({ text: found });
  reward(told.text.length);
  return told.text;
};

async function record(run: Run, answer = (prompt: string) => `<${prompt}>`): Promise<Trajectory> {
  const policy = await scriptedPolicy({ answer }).open({ name: "p", seed: 0 });
  const trajectory = await runEpisode({
    workflow: made(run),
    task: "rain",
    policies: new Map([["p", policy]]),
    assignment: new Map([
      ["asker", "p"],
      ["teller", "p"],
    ]),
    stage: "train",
    identity: { purpose: "train", step: 1, group: 0, task: 0, sample: 0 },
    seed: 1,
  });
  expect(trajectory.failure).toBeUndefined();
  return trajectory;
}

const divergence = async (trajectory: Trajectory, run: Run): Promise<ReplayDivergenceError> => {
  const error: unknown = await replayEpisode({ workflow: made(run), trajectory }).catch((cause) => cause);
  expect(error).toBeInstanceOf(ReplayDivergenceError);
  return error as ReplayDivergenceError;
};

describe("the first difference is named", () => {
  test("a changed prompt: effect, agent, and the place in the text", async () => {
    const error = await divergence(await record(original), async ({ task, agents, tools, reward }) => {
      const asked = await agents.asker({ text: task });
      const { found } = await tools.look({ text: asked.text });
      const told = await agents.teller({ text: `${found}!` });
      reward(1);
      return told.text;
    });
    expect(error.message).toContain('agent "teller"');
    expect(error.message).toMatch(/at character 24: recorded ".*RAIN>", now ".*RAIN>!"/);
  });

  test("a request that the record does not have", async () => {
    const error = await divergence(await record(original), async (context) => {
      const told = await original(context);
      await context.agents.asker({ text: "more" });
      return told;
    });
    expect(error.message).toContain('agent "asker": the recorded episode made no such request any more');
  });

  test("a request that is missing now", async () => {
    const error = await divergence(await record(original), async ({ task, agents, reward }) => {
      const asked = await agents.asker({ text: task });
      reward(1);
      return asked.text;
    });
    expect(error.message).toContain('without asking for effect 2, tool "look"');
  });

  test("another result, and another reward", async () => {
    const trajectory = await record(original);
    const other = await divergence(trajectory, async (context) => `${await original(context)}.`);
    expect(other.message).toMatch(/returns ".*>\."; recorded is ".*>"/);
    const paid = await divergence(trajectory, async (context) => {
      const told = await original({ ...context, reward: () => context.reward(-1) });
      return told;
    });
    expect(paid.message).toContain('gives reward "reward" -1; recorded is "reward" 26');
  });

  test("a catch in the workflow does not hide it", async () => {
    const error = await divergence(await record(original), async (context) => {
      await context.agents.asker({ text: "other" }).catch(() => {});
      return original(context);
    });
    expect(error.message).toContain("at character 10");
  });

  test("a failure that was caught is caught again", async () => {
    const catching: Run = async ({ task, agents, reward }) => {
      const asked = await agents.asker({ text: task }).catch((error: Error) => ({ text: error.name }));
      reward(1);
      return asked.text;
    };
    const trajectory = await record(catching, () => {
      throw new Error("down");
    });
    expect(trajectory.result).toBe("ModelCallError");
    expect((await replayEpisode({ workflow: made(catching), trajectory })).result).toBe("ModelCallError");
  });

  test("one that waits for what never settled is given up, not waited for", async () => {
    const trajectory = await record(async ({ task, agents, reward }) => {
      void agents.asker({ text: task });
      reward(1);
      return "";
    });
    const waiting = made(async ({ task, agents, reward }) => {
      await agents.asker({ text: task });
      reward(1);
      return "";
    });
    const unsettled = { ...trajectory, calls: trajectory.calls.map((call) => ({ ...call, settled: -1 })) };
    await expect(replayEpisode({ workflow: waiting, trajectory: unsettled, seconds: 0.1 })).rejects.toThrow(
      /E_EPISODE_DEADLINE.*agent "asker"/s,
    );
  });

  test("a stopped episode has no end to replay", async () => {
    const trajectory = { ...(await record(original)), status: "cancelled" as const };
    await expect(replayEpisode({ workflow: made(original), trajectory })).rejects.toThrow(
      /was stopped before its end/,
    );
  });
});

describe("inputs behind the context's back", () => {
  const uses: readonly [string, () => unknown][] = [
    ["Math.random", () => Math.random()],
    ["Date.now", () => Date.now() + performance.timeOrigin],
    ["new Date", () => new Date().toISOString()],
    ["performance.now", () => performance.now()],
  ];
  test.each(uses)("%s is named, with its line", async (name, draw) => {
    const run: Run = async ({ agents, reward }) => {
      await new Promise((go) => setTimeout(go, 2));
      const asked = await agents.asker({ text: String(draw()) });
      reward(1);
      return asked.text;
    };
    const error = await divergence(await record(run), run);
    expect(error.message).toContain(`The workflow used ${name} at `);
    expect(error.message).toContain("divergence.test.ts:");
    expect(error.hint).toContain("ctx.random");
  });

  test("the globals are themselves again afterwards, and other code is not accused", async () => {
    const before = [Math.random, Date, performance.now];
    const changed: Run = async (context) => {
      await context.agents.asker({ text: "other" });
      return original(context);
    };
    const trajectory = await record(original);
    const outside = setInterval(() => Math.random(), 0);
    const errors = await Promise.all([divergence(trajectory, changed), divergence(trajectory, changed)]);
    clearInterval(outside);
    for (const { message } of errors) expect(message).not.toContain("Math.random");
    expect([Math.random, Date, performance.now]).toEqual(before);
  });

  test("through the context they are recorded, and replay", async () => {
    const run: Run = async ({ agents, random, now, reward }) => {
      const asked = await agents.asker({ text: `${random.uniform()} ${now()} ${random.normal()}` });
      reward(1);
      return asked.text;
    };
    const trajectory = await record(run);
    await new Promise((go) => setTimeout(go, 3));
    expect((await replayEpisode({ workflow: made(run), trajectory })).result).toBe(trajectory.result);
    expect(trajectory.draws.map(({ kind }) => kind)).toEqual(["random", "now", "random", "random"]);
  });
});

describe("forks", () => {
  const policies = async () =>
    new Map([
      ["p", await scriptedPolicy({ answer: (prompt) => `<${prompt}>` }).open({ name: "p", seed: 0 })],
    ]);
  const assignment = new Map([
    ["asker", "p"],
    ["teller", "p"],
  ]);

  test("an edited answer takes the call's place, goes on from there, and is in no batch", async () => {
    const trajectory = await record(original);
    const forked = await forkEpisode({
      workflow: made(original),
      trajectory,
      at: 0,
      branch: 1,
      edit: { text: "sun" },
      policies: await policies(),
      assignment,
    });
    expect(forked.calls[0]).toMatchObject({ text: "sun", origin: "edited", status: "complete" });
    expect([...forked.calls[0]!.mask]).toEqual([0, 0, 0]);
    expect(forked.tools[0]!.output).toEqual({ found: "SUN" });
    expect(forked.result).toBe("<Tell of SUN>");
    expect(forked.id).toBe("train/000001/000/00@0.1");
  });

  test("a prefix that is not asked for again fails the fork", async () => {
    const trajectory = await record(original);
    const forked = await forkEpisode({
      workflow: made(async ({ agents, reward }) => {
        reward(1);
        return (await agents.teller({ text: "else" })).text;
      }),
      trajectory,
      at: 1,
      branch: 1,
      policies: await policies(),
      assignment,
    });
    expect(forked.failure).toMatchObject({ code: "E_REPLAY_DIVERGED" });
    expect(forked.failure!.message).toContain('agent "asker"');
  });

  test("a call that is not there", async () => {
    await expect(
      forkEpisode({
        workflow: made(original),
        trajectory: await record(original),
        at: 7,
        branch: 0,
        policies: await policies(),
        assignment,
      }),
    ).rejects.toThrow(/has no call 7/);
  });
});
