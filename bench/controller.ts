/**
 * @file What the controller itself costs: CPU and live memory per model call, with an engine that answers at once, at
 * 100, 1,000 and 10,000 concurrent episodes of 8 calls. No peer has a comparable part to run beside it, so the figures
 * are absolute ones of this machine; the growth from 100 to 10,000 is a ratio within one run.
 *
 *     node --expose-gc dist-bench/controller.js   (see bench/README.md)
 */

import { availableParallelism, cpus } from "node:os";
import type { Policy, SampleRequest, SampleResult } from "../src/engine/policy.ts";
import { agent } from "../src/workflow/agent.ts";
import { runEpisode } from "../src/workflow/episode.ts";
import { Gates } from "../src/workflow/gate.ts";
import { PromptCache } from "../src/workflow/prompt-cache.ts";
import { workflow } from "../src/workflow/workflow.ts";

const callsPerEpisode = 8;
const promptTokens = 64;
const outputTokens = 16;

/** Answers in the next microtask, or holds the last call of each episode until told. */
class InstantPolicy implements Policy {
  readonly name = "instant";
  readonly version = 0;
  readonly contextLength = 4096;
  /** Tokenising is not what is measured: any text is the same 64 ids. */
  readonly tokenizer = {
    vocabularySize: 256,
    endTokens: [0],
    encode: () => new Int32Array(promptTokens).fill(7),
    decode: () => "an answer of sixteen tokens",
    encodeChat: () => new Int32Array(promptTokens).fill(7),
  };
  #held: (() => void)[] = [];
  hold = false;

  get held(): number {
    return this.#held.length;
  }

  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const resolve of held) resolve();
  }

  async sample(request: SampleRequest): Promise<SampleResult> {
    // A real engine looks at the signal of every request.
    request.signal?.throwIfAborted();
    if (this.hold && lastCalls.has(request)) await new Promise<void>((resolve) => this.#held.push(resolve));
    return {
      tokens: new Int32Array(outputTokens).fill(9),
      logprobs: new Float32Array(outputTokens).fill(-1),
      plainLogprobs: new Float32Array(outputTokens).fill(-1),
      text: "an answer of sixteen tokens",
      stopReason: "end",
      version: 0,
      sharedPromptTokens: 0,
    };
  }

  async close(): Promise<void> {}
}

/** Requests with the last call's own maxTokens. */
const lastCalls = { has: ({ maxTokens }: SampleRequest) => maxTokens === 17 };

const solver = agent("solver", {
  prompt: (v: { turn: number; task: number }) => `task ${v.task} turn ${v.turn}`,
  maxTokens: 16,
});
const eightCalls = workflow("eight", { agents: { solver } }, async ({ task, agents, reward }) => {
  let last = "";
  for (let turn = 0; turn < callsPerEpisode; turn++) {
    const reply = await agents.solver(
      { turn, task: task as number },
      turn === callsPerEpisode - 1 ? { maxTokens: 17 } : {},
    );
    last = reply.text;
  }
  reward(1);
  return last;
});

const policy = new InstantPolicy();
const assignment = new Map([["solver", "instant"]]);
const policies = new Map([["instant", policy]]);

async function episodes(count: number): Promise<{ microseconds: number; kilobytes: number }> {
  const gates = new Gates();
  const prompts = new PromptCache();
  const run = (hold: boolean) => {
    policy.hold = hold;
    return Array.from({ length: count }, (_, task) =>
      runEpisode({
        workflow: eightCalls,
        task,
        policies,
        assignment,
        stage: "train",
        identity: { purpose: "bench", step: 0, group: 0, task, sample: 0 },
        seed: 0,
        gates,
        prompts,
      }),
    );
  };
  const calls = count * callsPerEpisode;
  const before = process.cpuUsage();
  await Promise.all(run(false));
  const { user, system } = process.cpuUsage(before);

  // Everything that is live while all episodes wait for their last call.
  globalThis.gc!();
  const empty = process.memoryUsage();
  const running = run(true);
  while (policy.held < count) await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc!();
  const full = process.memoryUsage();
  policy.release();
  await Promise.all(running);
  const bytes = full.heapUsed + full.arrayBuffers - empty.heapUsed - empty.arrayBuffers;
  return { microseconds: (user + system) / calls, kilobytes: bytes / calls / 1024 };
}

/** The same requests without a controller: what the stand-in engine costs by itself. */
async function engineAlone(calls: number): Promise<number> {
  policy.hold = false;
  const before = process.cpuUsage();
  const kept: SampleResult[] = new Array(calls);
  await Promise.all(
    Array.from({ length: calls }, async (_, i) => {
      const controller = new AbortController();
      kept[i] = await policy.sample({
        prompt: policy.tokenizer.encode(),
        maxTokens: 16,
        key: [i, 0],
        signal: controller.signal,
      });
    }),
  );
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

await episodes(1000);
console.log(`${cpus()[0]?.model}, ${availableParallelism()} processors, Node ${process.version}`);
console.log("episodes | µs CPU per call | KB live per call");
for (const count of [100, 1000, 10_000]) {
  const rounds: { microseconds: number; kilobytes: number }[] = [];
  for (let i = 0; i < 5; i++) rounds.push(await episodes(count));
  const median = (of: (round: (typeof rounds)[number]) => number) => rounds.map(of).sort((a, b) => a - b)[2]!;
  console.log(
    `${count} | ${median((r) => r.microseconds).toFixed(1)} | ${median((r) => r.kilobytes).toFixed(2)}`,
  );
}
const alone: number[] = [];
for (let i = 0; i < 5; i++) alone.push(await engineAlone(80_000));
console.log(
  `engine alone: ${alone.sort((a, b) => a - b)[2]!.toFixed(1)} µs CPU per call (in the figures above)`,
);
