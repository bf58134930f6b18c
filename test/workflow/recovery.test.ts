/** What a replay and a recovery give back is what the workflow saw, also where something failed, was stopped or was equal. */

import { expect, test } from "vitest";
import type { ChatMessage, SampleRequest } from "../../src/engine/policy.ts";
import { uniformAt } from "../../src/random/stream.ts";
import { type ScriptedPolicyOptions, scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { agent } from "../../src/workflow/agent.ts";
import type { Effect } from "../../src/workflow/effect.ts";
import { type EpisodeOptions, runEpisode } from "../../src/workflow/episode.ts";
import { forkEpisode } from "../../src/workflow/fork.ts";
import type { MemoryStore } from "../../src/workflow/memory.ts";
import { replayEpisode } from "../../src/workflow/replay.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { readTrajectory, trajectoryLine } from "../../src/workflow/trajectory-json.ts";
import { type AnyWorkflow, workflow } from "../../src/workflow/workflow.ts";

const say = agent("say", { prompt: (v: { text: string }) => v.text });
const talk = agent("talk", { prompt: (v: { messages: ChatMessage[] }) => v.messages });
const count = agent("count", { prompt: () => "count", parse: (text) => BigInt(text.length) });
const agents = { say, talk, count };
type Run = Parameters<typeof workflow<typeof agents>>[2];
const made = (run: Run): AnyWorkflow => workflow("w", { agents }, run);
const assignment = new Map(Object.keys(agents).map((name) => [name, "p"]));

type Answer = ScriptedPolicyOptions["answer"];
const policiesOf = async (answer: Answer) =>
  new Map([["p", await scriptedPolicy({ answer, contextLength: 1000 }).open({ name: "p", seed: 0 })]]);

async function record(
  of: AnyWorkflow,
  answer: Answer = (prompt) => prompt,
  over: Partial<EpisodeOptions<unknown>> = {},
): Promise<Trajectory> {
  const trajectory = await runEpisode({
    workflow: of,
    task: "t",
    policies: await policiesOf(answer),
    assignment,
    stage: "train",
    identity: { purpose: "train", step: 1, group: 0, task: 0, sample: 0 },
    seed: 1,
    ...over,
  });
  expect(trajectory.failure).toBeUndefined();
  return trajectory;
}

async function expectReplay(of: AnyWorkflow, trajectory: Trajectory): Promise<void> {
  const replayed = await replayEpisode({ workflow: of, trajectory, seconds: 1 });
  expect(replayed.result).toEqual(trajectory.result);
  const read = readTrajectory(trajectoryLine(trajectory));
  await replayEpisode({ workflow: of, trajectory: read, seconds: 1 });
}

const letters = ({ key }: SampleRequest) =>
  Array.from({ length: 6 }, (_, i) => "abcdefgh"[Math.floor(uniformAt(key, i) * 8)]).join("");

const later = (milliseconds: number) => new Promise<void>((go) => setTimeout(go, milliseconds));

test("a call that the workflow itself stopped, and awaits, is stopped again", async () => {
  const of = made(async ({ agents: { say: ask }, reward }) => {
    const stop = new AbortController();
    const loser = ask({ text: "slow" }, { signal: stop.signal });
    const early = ask({ text: "never" }, { signal: AbortSignal.abort(new Error("at once")) });
    await ask({ text: "fast" });
    stop.abort(new Error("not needed"));
    reward(1);
    return Promise.all([loser, early].map((call) => call.catch((error: Error) => error.message)));
  });
  const trajectory = await record(of, (prompt, { signal }) =>
    prompt === "slow"
      ? new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)))
      : "quick",
  );
  expect(trajectory.result).toEqual([
    expect.stringContaining("not needed"),
    expect.stringContaining("at once"),
  ]);
  await expectReplay(of, trajectory);
});

test("a prompt that was refused is refused again, without a tokenizer", async () => {
  const of = made(async ({ agents: { say: ask }, reward }) => {
    reward(1);
    const refused = await ask({ text: "x".repeat(5000) }).catch((error: { code: string }) => error.code);
    return [refused, (await ask({ text: "short" })).text];
  });
  const trajectory = await record(of);
  expect(trajectory.result).toEqual(["E_PROMPT_TOO_LONG", "short"]);
  expect(trajectory.calls).toMatchObject([
    { id: 0, status: "failed", failure: { boundary: "workflow", code: "E_PROMPT_TOO_LONG" } },
    { id: 1, status: "complete" },
  ]);
  await expectReplay(of, trajectory);
});

test("memories that failed fail again", async () => {
  const full: MemoryStore = {
    get: () => "kept",
    put: () => {
      throw new Error("disk full");
    },
    keys: () => [],
  };
  const of = made(async ({ memory, reward }) => {
    reward(1);
    const cycle: Record<string, unknown> = {};
    cycle.itself = cycle;
    const puts = [1, Number.NaN, cycle].map((value) => memory.put("k", value));
    const ends = await Promise.allSettled(puts);
    return [
      await memory.get("k"),
      ...ends.map((end) => (end.status === "rejected" ? end.reason.message : end)),
    ];
  });
  const trajectory = await record(of, undefined, { memory: full });
  expect(trajectory.result).toEqual([
    "kept",
    expect.stringContaining("disk full"),
    expect.stringContaining("it is NaN"),
    expect.stringContaining("contains itself"),
  ]);
  await expectReplay(of, trajectory);
});

test("a list of messages that the workflow goes on writing to stays what it was when it was sent", async () => {
  const of = made(async ({ agents: { talk: chat }, reward }) => {
    const messages: ChatMessage[] = [{ role: "user", content: "hi" }];
    for (let turn = 0; turn < 3; turn++) {
      const { text } = await chat({ messages });
      messages.push({ role: "assistant", content: text }, { role: "user", content: `${turn}` });
    }
    Object.assign(messages[0]!, { content: "changed" });
    reward(1);
  });
  const trajectory = await record(of, () => "ok");
  expect(trajectory.calls.map(({ input }) => input.length)).toEqual([1, 3, 5]);
  expect(trajectory.calls[0]!.input).toEqual([{ role: "user", content: "hi" }]);
  await expectReplay(of, trajectory);
});

test("the seconds of the meter are those that were seen", async () => {
  const of = made(async ({ agents: { say: ask }, meter, reward }) => {
    await ask({ text: "a" });
    reward(1);
    return meter().seconds > 0.005 && { ...meter() };
  });
  const trajectory = await record(of, () => later(10).then(() => "x"));
  expect(trajectory.result).toMatchObject({ calls: 1, outputTokens: 2 });
  expect(trajectory.draws.map(({ kind }) => kind)).toEqual(["seconds", "seconds"]);
  await expectReplay(of, trajectory);
});

test("calls that are late in the same tick settle one at a time", async () => {
  const of = made(async ({ agents: { say: ask }, reward }) => {
    const order: string[] = [];
    const after = async (text: string, promises: number) => {
      await ask({ text }).catch(() => {});
      for (let i = 0; i < promises; i++) await undefined;
      order.push(text);
    };
    await Promise.all([after("a", 20), after("b", 0)]);
    reward(1);
    return order.join("");
  });
  const trajectory = await record(of, () => new Promise(() => {}), { deadlines: { call: 0.01 } });
  expect(trajectory.result).toBe("ab");
  await expectReplay(of, trajectory);
});

test("a tool that throws at once, and one that answers at once, settle like all others", async () => {
  const of: AnyWorkflow = workflow(
    "w",
    {
      agents,
      tools: {
        bad: (_: object) => {
          throw new Error("no");
        },
        fine: (_: object) => 1,
      },
    },
    async ({ tools, reward }) => {
      const order: string[] = [];
      const after = async (name: "bad" | "fine", promises: number) => {
        await tools[name]({}).catch(() => {});
        for (let i = 0; i < promises; i++) await undefined;
        order.push(name);
      };
      await Promise.all([after("fine", 0), after("bad", 30)]);
      reward(1);
      return order.join();
    },
  );
  const trajectory = await record(of);
  // In whatever order, 30 promises later or none: each has been reacted to before the next.
  const settled = [...trajectory.tools].sort((left, right) => left.settled - right.settled);
  expect(trajectory.result).toBe(settled.map(({ tool }) => tool).join());
  await expectReplay(of, trajectory);
});

test("of equal requests at once, each finds its own record, whichever the journal has", async () => {
  const of = made(async ({ agents: { say: ask }, reward }) => {
    const replies = await Promise.all([0, 1, 2].map(() => ask({ text: "q" })));
    reward(1);
    return replies.map(({ text }) => text);
  });
  let asked = 0;
  // The last one is the fastest.
  const answer: Answer = (_, request) => later(20 - 8 * asked++).then(() => letters(request));
  const effects: Effect[] = [];
  const whole = await record(of, answer, { onEffect: (effect) => effects.push(effect) });
  expect(effects.map(({ record: { issued } }) => issued)).toEqual([2, 1, 0]);
  for (let cut = 0; cut <= 3; cut++) {
    asked = 0;
    const recovered = await record(of, answer, { recorded: effects.slice(0, cut) });
    expect(asked).toBe(3 - cut);
    expect(recovered.result).toEqual(whole.result);
    expect(recovered.calls.map(({ id, text }) => [id, text])).toEqual(
      whole.calls.map(({ id, text }) => [id, text]),
    );
  }
});

test("a fork keeps the right one of equal requests, where another was stopped", async () => {
  const of = made(async ({ agents: { say: ask }, reward }) => {
    const stop = new AbortController();
    const first = ask({ text: "q" }, { signal: stop.signal }).catch(() => ({ text: "stopped" }));
    const second = await ask({ text: "q" });
    stop.abort(new Error("enough"));
    const third = await ask({ text: `then ${second.text}` });
    reward(1);
    return [(await first).text, second.text, third.text];
  });
  let asked = 0;
  const answer: Answer = (_, request) => (asked++ === 0 ? new Promise<string>(() => {}) : letters(request));
  const trajectory = await record(of, answer);
  asked = 0;
  const forked = await forkEpisode({
    workflow: of,
    trajectory,
    at: 2,
    branch: 1,
    policies: await policiesOf(answer),
    assignment,
  });
  expect(forked.failure).toBeUndefined();
  const [stopped, second] = forked.result as string[];
  expect([stopped, second]).toEqual(["stopped", (trajectory.result as string[])[1]]);
  expect(forked.calls[2]!.text).not.toBe(trajectory.calls[2]!.text);
});

test("a result or a parsed value that JSON cannot hold costs no episode", async () => {
  const of = made(async ({ agents: { count: counted }, reward }) => {
    const { parsed } = await counted();
    reward(1);
    return { length: parsed };
  });
  const trajectory = await record(of, () => "four");
  expect(JSON.parse(trajectoryLine(trajectory))).toMatchObject({
    result: "{ length: 4n }",
    calls: [{ parse: { ok: true, value: "4n" } }],
  });
  await expectReplay(of, trajectory);
});

test("a reward that is not given any more is a difference; those of the run's own terms are none", async () => {
  const pays = (...values: readonly number[]) =>
    made(async ({ agents: { say: ask }, reward }) => {
      await ask({ text: "a" });
      for (const value of values) reward(value);
    });
  const trajectory = await record(pays(1, 2));
  await expect(replayEpisode({ workflow: pays(1), trajectory })).rejects.toThrow(
    /gives reward nothing; recorded is "reward" 2/,
  );
  await expect(replayEpisode({ workflow: pays(1, 2, 3), trajectory })).rejects.toThrow(
    /gives reward "reward" 3; recorded is nothing/,
  );
  const more = {
    ...trajectory,
    rewards: [...trajectory.rewards, { name: "f1", value: 0.5 }],
    ownRewards: 2,
  };
  await expectReplay(pays(1, 2), more);
});

test("a replay that diverges in a loop which catches everything ends at once", async () => {
  const trajectory = await record(
    made(async ({ agents: { say: ask }, reward }) => {
      await ask({ text: "a" });
      reward(1);
    }),
  );
  const endless = made(async ({ agents: { say: ask } }) => {
    for (;;) await ask({ text: "b" }).catch(() => {});
  });
  await expect(replayEpisode({ workflow: endless, trajectory })).rejects.toThrow(/recorded "a", now "b"/);
});

test("children whose names differ in slashes alone have scopes of their own", async () => {
  const [slash, dash] = ["a/b", "a-b"].map((name) =>
    workflow(name, { agents: { say } }, async ({ agents: { say: ask }, scope, reward }) => {
      reward(1);
      return [scope, (await ask({ text: "same" })).text];
    }),
  );
  const of = made(async ({ spawn }) => Promise.all([spawn(slash!, 0), spawn(dash!, 0)]));
  const trajectory = await record(of, (_, request) => letters(request));
  const [one, two] = trajectory.result as readonly (readonly string[])[];
  expect([one![0], two![0]]).toEqual(["a-b#0", "a-b#1"]);
  expect(one![1]).not.toBe(two![1]);
});
