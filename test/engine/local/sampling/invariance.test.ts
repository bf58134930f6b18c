/**
 * @file The same key gives the same tokens and log-probs, to the bit, whatever else is in the batch and however the
 * prompt's keys and values came about. Model sizes are chosen where the matrix kernel changes its blocking.
 */

import { beforeAll, describe, expect, it } from "vitest";
import type { DecoderConfig } from "../../../../src/engine/local/model/config.ts";
import type { SampleRequest, SampleResult } from "../../../../src/engine/policy.ts";
import { tinyConfig } from "../model/fixtures.ts";
import { ask, type Model, prompt, sampleAll, tinyModel } from "./setup.ts";

const sizes: readonly (readonly [string, DecoderConfig])[] = [
  ["24 wide", tinyConfig("qwen3", { contextLength: 512 })],
  [
    "128 wide, 384 inside: two threads would split 128 columns into halves with wider blocks",
    tinyConfig("llama", {
      hiddenSize: 128,
      intermediateSize: 384,
      headSize: 32,
      vocabularySize: 512,
      contextLength: 512,
      layers: 4,
    }),
  ],
  [
    "160 wide, 96 inside",
    tinyConfig("qwen2", {
      hiddenSize: 160,
      intermediateSize: 96,
      headSize: 16,
      vocabularySize: 300,
      contextLength: 512,
    }),
  ],
  [
    "384 wide, head size 64, 2000 tokens",
    tinyConfig("llama", {
      hiddenSize: 384,
      intermediateSize: 1024,
      heads: 6,
      headSize: 64,
      vocabularySize: 2000,
      contextLength: 512,
    }),
  ],
];

const shape = ({ tokens, logprobs, plainLogprobs, text, stopReason }: SampleResult) => ({
  tokens,
  logprobs,
  plainLogprobs,
  text,
  stopReason,
});

describe.each(sizes)("%s", (_, config) => {
  let model: Model;
  const alone = (request: SampleRequest) => shape(sampleAll(model.sampler(), [request])[0]!);

  beforeAll(async () => {
    model = await tinyModel(config, 3, undefined, 0.2);
  }, 60_000);

  it("alone or in batches of any size, with prompts of any length beside it", () => {
    const requests = Array.from({ length: 70 }, (_, i) =>
      ask({ prompt: prompt(config, 1 + ((i * 37) % 70), i), maxTokens: 3 + (i % 6) }, i),
    );
    const probes = [0, 1, 5, 16, 17];
    const expected = new Map(probes.map((i) => [i, alone(requests[i]!)]));
    for (const count of [config.hiddenSize > 200 ? 35 : 70, 18, 2]) {
      const results = sampleAll(model.sampler({ slots: 40 }), requests.slice(0, count));
      for (const i of probes) if (i < count) expect(shape(results[i]!)).toEqual(expected.get(i));
    }
  });

  it("forked, continued from a kept prompt, or prefilled in pieces", () => {
    const long = prompt(config, 200);
    const fork = Array.from({ length: 5 }, (_, i) => ask({ prompt: long, maxTokens: 9 }, i));
    const expected = fork.map(alone);
    const forked = model.sampler();
    expect(sampleAll(forked, fork).map(shape)).toEqual(expected);
    expect(forked.stats).toMatchObject({ prefillRuns: 1, promptTokens: 200, sharedPromptTokens: 4 * 200 });

    // The beginning is kept from another request; again from an exact repeat.
    const continued = model.sampler();
    sampleAll(continued, [ask({ prompt: long.slice(0, 150), maxTokens: 3 }, 77)]);
    const [extended] = sampleAll(continued, [fork[0]!]);
    expect(extended!.sharedPromptTokens).toBe(150);
    expect(shape(extended!)).toEqual(expected[0]);
    const [repeated] = sampleAll(continued, [fork[1]!]);
    expect(repeated!.sharedPromptTokens).toBe(199);
    expect(shape(repeated!)).toEqual(expected[1]);

    const pieces = model.sampler({ prefillTokens: 33 });
    expect(sampleAll(pieces, fork.slice(0, 3)).map(shape)).toEqual(expected.slice(0, 3));
    expect(pieces.stats.prefillRuns).toBeGreaterThan(5);
  });

  it("whatever joins and leaves while it is sampled, also beside requests of other settings", () => {
    const probe = ask({ prompt: prompt(config, 21, "probe"), maxTokens: 40 }, 1234);
    const expected = alone(probe);
    const sampler = model.sampler({ slots: 7 });
    let result: SampleResult | undefined;
    sampler.submit(0, probe, {
      onDone: (done) => {
        result = done;
      },
      onError: (error) => {
        throw error;
      },
    });
    let id = 1;
    for (let step = 0; !result; step++) {
      if (step % 2 === 0) {
        const sampling = step % 3 === 0 ? { temperature: 0.5 + (step % 5), topP: 0.9 } : {};
        const other = { prompt: prompt(config, 1 + ((step * 13) % 50), step), maxTokens: 1 + (step % 11) };
        sampler.submit(id++, ask({ ...other, sampling }, step), { onDone: () => {}, onError: () => {} });
      }
      if (step % 7 === 3) sampler.cancel(id - 1);
      sampler.step();
    }
    expect(shape(result)).toEqual(expected);
  });
});
