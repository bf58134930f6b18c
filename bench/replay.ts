/**
 * @file Replay of a recorded episode of 10 calls against sampling it: the same workflow function, once with the atlas
 * model on the local engine, once from the record. Ten episodes, each sampled alone and replayed 200 times; once with
 * outputs as the model ends them, and once with 64 tokens each (the end token forbidden).
 *
 *     npm run build && npx jiti bench/replay.ts
 */

import { fileURLToPath } from "node:url";
import { openLocalPolicy } from "../src/engine/local/index.ts";
import { agent } from "../src/workflow/agent.ts";
import { runEpisode } from "../src/workflow/episode.ts";
import { replayEpisode } from "../src/workflow/replay.ts";
import { readTrajectory, trajectoryLine } from "../src/workflow/trajectory-json.ts";
import { workflow } from "../src/workflow/workflow.ts";

const folder = fileURLToPath(new URL("../examples/atlas/assets/atlas-small", import.meta.url));
let forbidden: Record<number, number> = {};
const writer = agent("writer", {
  prompt: (v: { place: string; so_far: string }) =>
    `Question: What is there to say about ${v.place}?\n${v.so_far}Search:`,
  maxTokens: 64,
});
const tenCalls = workflow("ten", { agents: { writer } }, async ({ task, agents, reward }) => {
  let soFar = "";
  for (let turn = 0; turn < 10; turn++) {
    const sampling = { logitBias: forbidden };
    soFar = (await agents.writer({ place: String(task), so_far: soFar }, { sampling })).text;
  }
  reward(soFar.length);
  return soFar;
});

const policy = await openLocalPolicy("small", folder, { trainable: false });
const policies = new Map([["small", policy]]);
const assignment = new Map([["writer", "small"]]);
const sample = (sample: number) =>
  runEpisode({
    workflow: tenCalls,
    task: ["Peru", "Chile", "Kenya", "Japan", "Malta"][sample % 5]!,
    policies,
    assignment,
    stage: "train",
    identity: { purpose: "bench", step: 0, group: 0, task: 0, sample },
    seed: 1,
  });

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

async function measure(name: string): Promise<void> {
  const ratios: number[] = [];
  const sampling: number[] = [];
  const replaying: number[] = [];
  let tokens = 0;
  for (let i = 0; i < 10; i++) {
    const began = performance.now();
    const trajectory = await sample(i);
    const sampled = performance.now() - began;
    tokens += trajectory.calls.reduce((sum, { output }) => sum + output.length, 0);
    const read = readTrajectory(trajectoryLine(trajectory));
    const times: number[] = [];
    for (let round = 0; round < 200; round++) {
      const start = performance.now();
      await replayEpisode({ workflow: tenCalls, trajectory: read });
      times.push(performance.now() - start);
    }
    const replayed = median(times);
    sampling.push(sampled);
    replaying.push(replayed);
    ratios.push(sampled / replayed);
  }
  console.log(
    `${name}: 10 calls, ${(tokens / 10).toFixed(0)} sampled tokens: sampling ${median(sampling).toFixed(1)} ms, replay ${median(replaying).toFixed(3)} ms, ratio ${median(ratios).toFixed(0)}× (${Math.min(...ratios).toFixed(0)}–${Math.max(...ratios).toFixed(0)})`,
  );
}

await sample(99);
// The first round is for the compiler.
await measure("warm-up");
await measure("as the model ends");
forbidden = Object.fromEntries(policy.tokenizer.endTokens.map((token) => [token, -1000]));
await measure("64 tokens a call");
await policy.close();
