/** @file Whatever the schedule, the same tokens: on the local engine's sampler and on the tabular policy. And failures. */

import { beforeAll, describe, expect, it } from "vitest";
import type { SampleRequest, SampleResult } from "../../../src/engine/policy.ts";
import { infiniteSampling } from "../../../src/methods/schedule/infinite-sampling.ts";
import type { LengthPredictor } from "../../../src/methods/schedule/length-predictor.ts";
import { type EpisodeSchedule, runInSchedule } from "../../../src/methods/schedule/run-schedule.ts";
import { key, stream } from "../../../src/random/stream.ts";
import { TabularPolicy } from "../../../src/testing/tabular-policy.ts";
import { tinyConfig } from "../../engine/local/model/fixtures.ts";
import { type Model, prompt, tinyModel } from "../../engine/local/sampling/setup.ts";

const group = 16;

/** By place, so that plans are of any order. */
const shuffling: LengthPredictor = {
  settings: {},
  predict: ({ task }) => 1 + stream("length", task).integer(50),
  observe: () => {},
  state: () => ({}),
  restore: () => {},
};

const schedules: readonly EpisodeSchedule[] = (["waves", "continuous"] as const).flatMap((mode) =>
  (["plan", "arrival", "shortest", "longest"] as const).flatMap((order) =>
    [1, 4, 16].map((slots) =>
      infiniteSampling({ slots, mode, order, predictor: shuffling }).schedule(
        Array.from({ length: group }, (_, sample) => ({ task: `${sample}`, group: 0 })),
      ),
    ),
  ),
);

describe("runInSchedule", () => {
  it("has no more in flight than slots, starts in order, and waits for waves", async () => {
    for (const { mode, inFlight } of [
      { mode: "continuous", inFlight: 3 },
      { mode: "waves", inFlight: 3 },
    ] as const) {
      const plan = infiniteSampling({ slots: 3, mode, order: "longest", predictor: shuffling }).schedule(
        Array.from({ length: 8 }, (_, i) => ({ task: `${i}`, group: 0 })),
      );
      const started: number[] = [];
      const ended = new Set<number>();
      let most = 0;
      const results = await runInSchedule(plan, async (place) => {
        if (mode === "waves") {
          const wave = plan.waves!.findIndex((places) => places.includes(place));
          for (const earlier of plan.waves!.slice(0, wave).flat()) expect(ended).toContain(earlier);
        }
        started.push(place);
        most = Math.max(most, started.length - ended.size);
        for (let i = 0; i <= (place * 5) % 7; i++) await Promise.resolve();
        ended.add(place);
        return place * 10;
      });
      expect(results).toEqual([0, 10, 20, 30, 40, 50, 60, 70]);
      expect(started).toEqual(plan.order);
      expect(most).toBe(inFlight);
    }
  });

  it("starts nothing after a failure, and throws it when all has ended", async () => {
    const started: number[] = [];
    let ended = 0;
    const failing = runInSchedule({ order: [0, 1, 2, 3], slots: 2 }, async (place) => {
      started.push(place);
      if (place === 0) throw new Error("the first failed");
      await new Promise((resolve) => setTimeout(resolve, 5));
      ended++;
      return place;
    });
    await expect(failing).rejects.toThrow("the first failed");
    expect(started).toEqual([0, 1]);
    expect(ended).toBe(1);
    await expect(runInSchedule({ order: [0], slots: 0 }, async () => 0)).rejects.toThrow(/slots 0/);
    expect(await runInSchedule({ order: [], slots: 1 }, async () => 0)).toEqual([]);
  });

  it("samples the same of the tabular policy in any schedule", async () => {
    const policy = new TabularPolicy("toy", { words: ["a", "b", "c", "d"] });
    const sample = (place: number) =>
      policy.sample({
        prompt: policy.tokenizer.encode("a b"),
        maxTokens: 12,
        key: key(1, "sample", 0, place),
      });
    const expected = await Promise.all(Array.from({ length: group }, (_, place) => sample(place)));
    expect(new Set(expected.map(({ tokens }) => tokens.join())).size).toBeGreaterThan(8);
    for (const schedule of schedules) expect(await runInSchedule(schedule, sample)).toEqual(expected);
  });
});

describe("on the local engine", () => {
  const config = tinyConfig("llama", { contextLength: 96 });
  let model: Model;

  beforeAll(async () => {
    model = await tinyModel(config, 3);
  }, 60_000);

  /** Episodes of one prompt; lengths differ, as keys do. */
  const request = (place: number): SampleRequest => ({
    prompt: prompt(config, 40),
    maxTokens: 30,
    stopTokens: [3, 4, 5],
    key: key(1, "sample", 0, place),
  });

  async function sampled(schedule: EpisodeSchedule, slots: number) {
    const sampler = model.sampler({ slots });
    let stepping = false;
    // Steps while there is work, and lets results start what comes next in between.
    const drive = async () => {
      if (stepping) return;
      stepping = true;
      for (let more = true; more; ) {
        more = sampler.step();
        for (let i = 0; i < 4; i++) await Promise.resolve();
        more ||= sampler.inFlight > 0;
      }
      stepping = false;
    };
    const results = await runInSchedule(
      schedule,
      (place) =>
        new Promise<SampleResult>((onDone, onError) => {
          sampler.submit(place, request(place), { onDone, onError });
          queueMicrotask(() => void drive());
        }),
    );
    const { stats } = sampler;
    sampler.dispose();
    return { results: results.map(({ sharedPromptTokens: _, ...rest }) => rest), stats };
  }

  it("the same tokens and log-probs, to the bit, in any order and on any number of slots", async () => {
    const all = { order: Array.from({ length: group }, (_, i) => i), slots: group };
    const { results: expected } = await sampled(all, group);
    expect(new Set(expected.map(({ tokens }) => tokens.length)).size).toBeGreaterThan(3);
    for (const schedule of schedules) {
      const { results } = await sampled(schedule, Math.max(2, schedule.slots));
      expect(results).toEqual(expected);
    }
  });

  it("a quarter of the slots takes a quarter of the keys and values, and one prompt is computed a group", async () => {
    const everything = await sampled({ order: schedules[0]!.order, slots: group }, group);
    const plan = infiniteSampling({ slots: 4, order: "arrival" }).schedule(
      Array.from({ length: group }, () => ({ task: "one" })),
    );
    const few = await sampled(plan, 4);
    // Two rows more than slots are the sampler's own.
    expect(few.stats.cacheBytes / everything.stats.cacheBytes).toBeCloseTo(6 / 18, 10);
    // The whole prompt once; then its last token, whose hidden state is needed, with every wave that joins.
    expect(everything.stats.promptTokens).toBe(40);
    expect(few.stats.promptTokens).toBeLessThanOrEqual(40 + group);
  });
});
