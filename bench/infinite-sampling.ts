/**
 * @file What sampling a group on few slots costs and saves: 16 episodes of one prompt on 16 slots, in micro groups of 4,
 * and on 4 slots that are refilled, in several orders. The same tokens each time, or it throws. Lengths are drawn with a
 * long tail; orders by length are told them, so they show the most that a predictor could give.
 *   npx jiti bench/infinite-sampling.ts [--rounds 5] [--tiny]
 */

import { ModelFolder } from "../src/engine/local/checkpoint/index.ts";
import { decoderShapes, parameterTable } from "../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../src/engine/local/model/weights.ts";
import { openBackend } from "../src/engine/local/ort/open.ts";
import { DecodeSessions } from "../src/engine/local/sampling/decoder.ts";
import { Sampler, type SamplerStatistics } from "../src/engine/local/sampling/sampler.ts";
import { ModelTokenizer } from "../src/engine/local/tokenizer/index.ts";
import type { SampleResult } from "../src/engine/policy.ts";
import {
  type InfiniteSamplingSettings,
  infiniteSampling,
  type LengthPredictor,
  type PlannedSchedule,
  runInSchedule,
} from "../src/methods/schedule/index.ts";
import { key, stream } from "../src/random/stream.ts";
import { load, median } from "./alternate.ts";
import { makeModel } from "./make-model.ts";

const tiny = process.argv.includes("--tiny");
const rounds = tiny ? 1 : Number(process.argv[process.argv.indexOf("--rounds") + 1] || 5) || 5;
const size = tiny
  ? { layers: 2, hidden: 32, heads: 2, keyValueHeads: 1, intermediate: 64, vocabulary: 259, context: 160 }
  : {
      layers: 6,
      hidden: 384,
      heads: 6,
      keyValueHeads: 2,
      intermediate: 1024,
      vocabulary: 4096,
      context: 640,
    };
const [threads, group, promptTokens, most] = [2, 16, tiny ? 64 : 256, tiny ? 64 : 256];

/** Log-normal, cut at `most`. */
const lengths = Array.from({ length: group }, (_, sample) => {
  const drawn = (most / 4) * Math.exp(0.8 * stream("bench length", sample).normal());
  return Math.min(most, Math.max(4, Math.round(drawn)));
});
const told: LengthPredictor = {
  settings: {},
  predict: ({ task }) => lengths[Number(task)]!,
  observe: () => {},
  state: () => ({}),
  restore: () => {},
};
const schedules: readonly (readonly [string, InfiniteSamplingSettings])[] = [
  ["16 slots", { slots: group, order: "arrival" }],
  ["micro groups of 4", { slots: 4, mode: "waves", order: "arrival" }],
  ["micro groups of 4, like lengths together", { slots: 4, mode: "waves", order: "longest" }],
  ["continuous 4", { slots: 4, order: "arrival" }],
  ["continuous 4, shortest first", { slots: 4, order: "shortest" }],
  ["continuous 4, planned", { slots: 4, order: "plan" }],
];

const backend = await openBackend({ threads });
const folder = await ModelFolder.open((await makeModel(size)).folder);
const weights = new FlatTensors(backend, parameterTable(decoderShapes(folder.config)));
await folder.readWeights(weights.table, weights.flat);
const sessions = await DecodeSessions.create(backend, { config: folder.config, threads });
const tokenBytes = (await ModelTokenizer.load(folder.folder)).tokenBytes();
const prompt = Int32Array.from({ length: promptTokens }, (_, i) => (i * 7919) % size.vocabulary);

async function sampleGroup(schedule: PlannedSchedule) {
  const sampler = new Sampler({ sessions, weights, tokenBytes, endTokens: [], slots: schedule.slots });
  const started = performance.now();
  let stepping = false;
  const step = async () => {
    if (stepping) return;
    stepping = true;
    // Whoever was answered may ask for more before the next step.
    while (sampler.inFlight > 0) {
      sampler.step();
      await new Promise(setImmediate);
    }
    stepping = false;
  };
  const results = await runInSchedule(
    schedule,
    (place) =>
      new Promise<SampleResult>((onDone, onError) => {
        const request = { prompt, maxTokens: lengths[place]!, key: key("bench", "sample", place) };
        sampler.submit(place, request, { onDone, onError });
        void step();
      }),
  );
  const milliseconds = performance.now() - started;
  const stats: SamplerStatistics = sampler.stats;
  sampler.dispose();
  return { milliseconds, stats, tokens: JSON.stringify(results.map(({ tokens }) => [...tokens])) };
}

console.log(`Lengths ${lengths.join(" ")}; prompt ${promptTokens}; ${rounds} rounds.\n`);
console.log(
  "| schedule | decode steps | planned steps | prompt tokens computed | MB of keys and values | ms (min / median) |\n|---|---|---|---|---|---|",
);
const requests = lengths.map((_, place) => ({ task: `${place}`, group: 0 }));
const planned = schedules.map(([, settings]) =>
  infiniteSampling({ predictor: told, ...settings }).schedule(requests),
);
const times = schedules.map((): number[] => []);
const facts: SamplerStatistics[] = [];
let expected: string | undefined;
for (let round = 0; round < rounds; round++) {
  for (const [i, schedule] of planned.entries()) {
    const { milliseconds, stats, tokens } = await sampleGroup(schedule);
    expected ??= tokens;
    if (tokens !== expected) throw new Error(`"${schedules[i]![0]}" sampled other tokens.`);
    times[i]!.push(milliseconds);
    facts[i] = stats;
  }
}
for (const [i, [name]] of schedules.entries()) {
  const { decodeRuns, promptTokens: computed, cacheBytes } = facts[i]!;
  const speed = `${Math.min(...times[i]!).toFixed(0)} / ${median(times[i]!).toFixed(0)}`;
  console.log(
    `| ${name} | ${decodeRuns} | ${planned[i]!.makespan} | ${computed} | ${(cacheBytes / 1e6).toFixed(2)} | ${speed} |`,
  );
}
console.log(`\n(${load()})`);
process.exit(0);
