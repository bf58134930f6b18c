/**
 * @file A day of episodes on a virtual clock, in a process of its own: 6 at a time, calls and tools that take seconds,
 * some late, some failing, children, memory, a journal that listens. Prints the heap after the second and the last hour.
 */

import { scriptedPolicy, VirtualClock } from "../../dist/testing/index.js";
import { agent, Gates, runEpisode, Watchdog, workflow } from "../../dist/workflow/index.js";
import { PromptCache } from "../../dist/workflow/prompt-cache.js";

const clock = new VirtualClock();
const say = agent("say", { prompt: (v) => `say ${v.text}` });
const child = workflow("child", { agents: { say } }, async ({ task, agents, memory }) => {
  await memory.put("seen", task);
  return (await agents.say({ text: task })).text;
});
const day = workflow(
  "day",
  {
    agents: { say },
    tools: { look: ({ n }) => clock.sleep(n % 97 === 0 ? 100_000 : 3_000).then(() => [n]) },
    children: [child],
  },
  async ({ task, agents, tools, spawn, random, reward }) => {
    const [first, found] = await Promise.all([agents.say({ text: `${task}` }), tools.look({ n: task })]);
    const text = await spawn(child, `${first.text} ${found} ${random.integer(100)}`);
    if (task % 31 === 0) throw new Error("a bad day");
    reward(text.length);
    return text;
  },
);
const gates = new Gates({ policies: { p: 24 } });
const watchdog = new Watchdog({ gates, clock, warn: () => {} });
const prompts = new PromptCache(512);
const policy = await scriptedPolicy({
  answer: (prompt) => clock.sleep(5_000 + (prompt.length % 7) * 2_000).then(() => prompt.toUpperCase()),
}).open({ name: "p", seed: 0 });
const policies = new Map([["p", policy]]);
const assignment = new Map([["say", "p"]]);

let started = 0;
let episodes = 0;
let failed = 0;
let effects = 0;
const end = 24 * 3_600_000;

async function lane() {
  while (clock.now() < end) {
    const task = started++;
    const { status } = await runEpisode({
      workflow: day,
      task,
      policies,
      assignment,
      stage: "train",
      seed: 1,
      identity: { purpose: "soak", step: 0, group: 0, task, sample: 0 },
      clock,
      gates,
      watchdog,
      prompts,
      deadlines: { call: 60, tool: 30, episode: 300 },
      onEffect: () => effects++,
    });
    episodes++;
    if (status === "failed") failed++;
  }
}

const lanes = Array.from({ length: 6 }, lane);
let done = false;
void Promise.all(lanes).then(() => {
  done = true;
});
const kilobytes = () => {
  globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return Math.round((heapUsed + arrayBuffers) / 1024);
};
let firstKilobytes = 0;
while (!done) {
  if (firstKilobytes === 0 && clock.now() > 2 * 3_600_000) firstKilobytes = kilobytes();
  if (!(await clock.next())) await new Promise((go) => setImmediate(go));
}
// What slept on when its call was late.
while (await clock.next());
console.log(
  JSON.stringify({
    hours: 24,
    episodes,
    failed,
    effects,
    firstKilobytes,
    lastKilobytes: kilobytes(),
    pending: clock.pending,
  }),
);
