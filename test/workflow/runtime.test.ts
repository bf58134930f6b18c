/** Gates, deadlines on a virtual clock, the watchdog, ten thousand episodes, and a day of them. */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { VirtualClock } from "../../src/testing/virtual-clock.ts";
import { agent } from "../../src/workflow/agent.ts";
import { systemClock } from "../../src/workflow/clock.ts";
import { type EpisodeOptions, runEpisode } from "../../src/workflow/episode.ts";
import { Gate, Gates } from "../../src/workflow/gate.ts";
import { PromptCache } from "../../src/workflow/prompt-cache.ts";
import { Watchdog } from "../../src/workflow/watchdog.ts";
import { workflow } from "../../src/workflow/workflow.ts";

const say = agent("say", { prompt: (v: { text: string }) => v.text });
const twoCalls = workflow(
  "two",
  { agents: { say }, tools: { wait: ({ on }: { on: string }) => on } },
  async ({ task, agents, tools, reward }) => {
    const { text } = await agents.say({ text: String(task) });
    await tools.wait({ on: text });
    reward(1);
    return (await agents.say({ text: `${text}!` })).text;
  },
);

async function options(
  answer: (prompt: string) => string | Promise<string>,
  over: Partial<EpisodeOptions<unknown>> = {},
): Promise<EpisodeOptions<unknown>> {
  return {
    workflow: twoCalls,
    task: "t",
    policies: new Map([["p", await scriptedPolicy({ answer }).open({ name: "p", seed: 0 })]]),
    assignment: new Map([["say", "p"]]),
    stage: "train",
    identity: { purpose: "train", step: 1, group: 0, task: 0, sample: 0 },
    seed: 1,
    ...over,
  };
}

describe("gates", () => {
  test("never let more in than the limit, first come first served, whatever comes and goes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.constantFrom("enter", "leave", "close", "open"), { maxLength: 80 }),
        (limit, events) => {
          const gate = new Gate("g", limit);
          const entered: number[] = [];
          let asked = 0;
          let left = 0;
          let closed = false;
          for (const event of events) {
            const before = entered.length;
            if (event === "enter") {
              const turn = asked++;
              gate.enter(() => entered.push(turn));
            } else if (event === "leave" && entered.length > left) {
              left++;
              gate.leave();
            } else if (event === "close") {
              closed = true;
              void gate.close();
            } else if (event === "open") {
              closed = false;
              gate.open();
            }
            if (closed) expect(entered.length).toBe(before);
            expect(gate.inside).toBe(entered.length - left);
            expect(gate.inside).toBeLessThanOrEqual(limit);
            expect(gate.waiting).toBe(asked - entered.length);
            if (!closed && gate.waiting > 0) expect(gate.inside).toBe(limit);
          }
          expect(entered).toEqual(entered.map((_, i) => i));
        },
      ),
    );
  });

  test("closing waits for those inside", async () => {
    const gate = new Gate("g");
    gate.enter(() => {});
    let closed = false;
    const closing = gate.close().then(() => {
      closed = true;
    });
    await Promise.resolve();
    expect(closed).toBe(false);
    gate.leave();
    await closing;
  });

  test("let go of thousands that left their places in the queue, without a call within a call", () => {
    const gate = new Gate("g", 1);
    gate.enter(() => {});
    for (let i = 0; i < 50_000; i++) gate.enter(() => gate.leave());
    gate.leave();
    expect([gate.inside, gate.waiting]).toEqual([0, 0]);
  });

  test("tell everybody who closes them", async () => {
    const gate = new Gate("g");
    gate.enter(() => {});
    const closings = [gate.close(), gate.close()];
    gate.leave();
    await Promise.all(closings);
  });

  test("bound what is in flight over all episodes", async () => {
    let inFlight = 0;
    let most = 0;
    const gates = new Gates({ policies: { p: 3 } });
    const given = await options(
      async (prompt) => {
        most = Math.max(most, ++inFlight);
        await new Promise((go) => setImmediate(go));
        inFlight--;
        return prompt;
      },
      { gates },
    );
    const all = await Promise.all(Array.from({ length: 20 }, () => runEpisode(given)));
    expect(all.every(({ status }) => status === "complete")).toBe(true);
    expect(most).toBe(3);
    expect(gates.busy()).toEqual([]);
  });

  test("time spent waiting counts in the deadline, and the message says so", async () => {
    const clock = new VirtualClock();
    const gates = new Gates({ policies: { p: 1 } });
    const given = await options(() => clock.sleep(1e9).then(() => "late"), {
      gates,
      clock,
      deadlines: { call: 10 },
    });
    const running = [runEpisode({ ...given, deadlines: { call: 20 } }), runEpisode(given)];
    await clock.advance(20_000);
    const [first, second] = await Promise.all(running);
    expect(first!.failure!.message).toContain('had no answer from policy "p" after 20 s');
    expect(second!.failure!.message).toContain("waited 10 s for its turn");
    expect(second!.failure!.message).toContain("1 of at most 1 calls in flight");
    expect(gates.policy("p").inside).toBe(0);
  });
});

describe("deadlines", () => {
  test.each([
    ["call", { call: 5 }, "model", "E_CALL_DEADLINE"],
    ["tool", { tool: 5 }, "tool", "E_TOOL_DEADLINE"],
    ["episode", { episode: 5 }, "workflow", "E_EPISODE_DEADLINE"],
  ] as const)("of a %s", async (what, deadlines, boundary, code) => {
    const clock = new VirtualClock();
    const never = clock.sleep(1e9).then(() => "x");
    const slow = workflow(
      "slow",
      { agents: { say }, tools: { wait: () => (what === "tool" ? never : "x") } },
      async ({ agents, tools, reward }) => {
        await (tools.wait as (input: unknown) => Promise<unknown>)({});
        await agents.say({ text: "x" });
        reward(1);
      },
    );
    const running = runEpisode(
      await options(() => (what === "tool" ? "x" : never), { workflow: slow, clock, deadlines }),
    );
    await clock.advance(4_999);
    await clock.advance(2);
    const trajectory = await running;
    expect(trajectory.failure).toMatchObject({ boundary, code });
    // Nothing but the sleeping answer is left of it.
    expect(clock.pending).toBe(1);
  });

  test("the workflow's own seconds hold when they are shorter", async () => {
    const clock = new VirtualClock();
    const running = runEpisode(
      await options(() => clock.sleep(1e9).then(() => ""), { clock, limits: { seconds: 2 } }),
    );
    await clock.advance(2_001);
    expect((await running).failure).toMatchObject({ code: "E_EPISODE_DEADLINE" });
  });

  test("cancelled timers do not keep a process alive", async () => {
    const script = `
      import { systemClock } from ${JSON.stringify(new URL("../../dist/workflow/clock.js", import.meta.url).href)};
      systemClock.after(60_000, () => {}).cancel();
      const kept = systemClock.after(60_000, () => {});
      systemClock.after(60_000, () => {}).cancel();
      kept.cancel();
    `;
    const began = performance.now();
    await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
    expect(performance.now() - began).toBeLessThan(20_000);
  });

  test("the system's clock rings no earlier than asked", async () => {
    const began = systemClock.now();
    await new Promise<void>((ring) => systemClock.after(15, ring));
    expect(systemClock.now() - began).toBeGreaterThanOrEqual(15);
  });
});

test("the watchdog says who waits for what, and is silent while something moves", async () => {
  const clock = new VirtualClock();
  const gates = new Gates({ policies: { p: 1 } });
  const said: string[] = [];
  const watchdog = new Watchdog({ seconds: 60, gates, clock, warn: (text) => said.push(text) });
  const given = await options(() => clock.sleep(200_000).then(() => "x"), {
    gates,
    clock,
    watchdog,
    deadlines: { call: 1e6, episode: 1e6 },
  });
  const running = Promise.all([runEpisode(given), runEpisode(given), runEpisode(given)]);
  await clock.advance(125_000);
  expect(said).toHaveLength(1);
  expect(said[0]).toContain("nothing has moved for 60 s; 3 episodes are in flight");
  expect(said[0]).toContain('2 × agent "say", still at its gate');
  expect(said[0]).toContain('1 × agent "say"; the longest for 120 s');
  expect(said[0]).toContain('policy "p": 1 in flight of at most 1, 2 waiting');
  await clock.advance(2_000_000);
  await running;
  expect(clock.pending).toBe(0);
});

test("the watchdog is silent while episodes of equal length follow each other", async () => {
  const clock = new VirtualClock();
  const said: string[] = [];
  const watchdog = new Watchdog({ gates: new Gates(), clock, warn: (text) => said.push(text) });
  const given = await options(() => clock.sleep(40_000).then(() => "x"), { clock, watchdog });
  const once = workflow("once", { agents: { say } }, async ({ agents, reward }) => {
    await agents.say({ text: "a" });
    reward(1);
  });
  const lane = async (delay: number) => {
    await clock.sleep(delay);
    for (let i = 0; i < 20; i++) await runEpisode({ ...given, workflow: once });
  };
  const lanes = Promise.all([lane(0), lane(20_000)]);
  await clock.advance(1_000_000);
  await lanes;
  expect(said).toEqual([]);
});

test("ten thousand episodes are in flight in one process", async () => {
  let waiting: (() => void)[] = [];
  const given = await options((prompt) =>
    prompt.endsWith("!") ? prompt : new Promise((answer) => waiting.push(() => answer(prompt))),
  );
  const prompts = new PromptCache();
  const running = Array.from({ length: 10_000 }, (_, sample) =>
    runEpisode({ ...given, prompts, identity: { ...given.identity, sample } }),
  );
  while (waiting.length < 10_000) await new Promise((go) => setImmediate(go));
  const all = waiting;
  waiting = [];
  for (const go of all) go();
  const trajectories = await Promise.all(running);
  expect(trajectories.every(({ status, result }) => status === "complete" && result === "t!")).toBe(true);
  expect(new Set(trajectories.map(({ id }) => id)).size).toBe(10_000);
});

test("24 hours of episodes leave no memory behind", async () => {
  const script = fileURLToPath(new URL("soak.mjs", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", script]);
  const { hours, episodes, failed, firstKilobytes, lastKilobytes, pending } = JSON.parse(stdout);
  expect(hours).toBe(24);
  expect(episodes).toBeGreaterThan(20_000);
  expect(failed).toBeGreaterThan(100);
  expect(pending).toBe(0);
  // Noise of the heap is some hundred kilobytes; a hundred bytes an episode would be two thousand.
  expect(lastKilobytes - firstKilobytes).toBeLessThan(700);
}, 60_000);
