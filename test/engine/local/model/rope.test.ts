/** @file Frequencies against transformers' ROPE_INIT_FUNCTIONS (test/fixtures/make_checkpoints.py). */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { RopeSettings } from "../../../../src/engine/local/model/config.ts";
import { ConfigReader } from "../../../../src/engine/local/model/config-reader.ts";
import { readRope } from "../../../../src/engine/local/model/rope.ts";

interface RopeCase {
  readonly name: string;
  readonly parameters: Readonly<Record<string, unknown>> & { readonly rope_theta: number };
  readonly headSize: number;
  readonly contextLength: number;
  readonly inverseFrequencies: readonly number[];
  readonly attentionFactor: number;
  readonly longInverseFrequencies?: readonly number[];
}

const cases: readonly RopeCase[] = JSON.parse(
  readFileSync(new URL("../../../fixtures/rope.json", import.meta.url), "utf8"),
);

function read(fields: object, { headSize, contextLength }: RopeCase, used = contextLength): RopeSettings {
  return readRope(new ConfigReader(fields, "config.json"), {
    headSize,
    trainedContext: contextLength,
    contextLength: used,
  });
}

/** Where transformers has other rounding steps (a library's pow), the last float32 bit may differ. */
const lastBit = 2 ** -23;

function expectEqual(rope: RopeSettings, wanted: RopeCase): void {
  expect(rope.inverseFrequencies.length).toBe(wanted.headSize / 2);
  wanted.inverseFrequencies.forEach((frequency, i) => {
    expect(Math.abs(rope.inverseFrequencies[i]! / frequency - 1), `frequency ${i}`).toBeLessThanOrEqual(
      2 * lastBit,
    );
  });
  expect(Math.abs(rope.attentionFactor - wanted.attentionFactor)).toBeLessThan(1e-12);
}

const within = (wanted: RopeCase) =>
  wanted.parameters.rope_type === "longrope"
    ? Number(wanted.parameters.original_max_position_embeddings)
    : wanted.contextLength;

describe.each(cases)("$name", (wanted) => {
  test("the spelling of transformers 5", () => {
    expectEqual(read({ rope_parameters: wanted.parameters }, wanted, within(wanted)), wanted);
  });

  test("the spelling of transformers 4", () => {
    const { rope_theta, rope_type, ...scaling } = wanted.parameters;
    const fields = {
      rope_theta,
      rope_scaling: rope_type === "default" ? null : { ...scaling, type: rope_type },
    };
    expectEqual(read(fields, wanted, within(wanted)), wanted);
  });
});

test("every variant has a case", () => {
  expect(new Set(cases.map((wanted) => wanted.parameters.rope_type))).toEqual(
    new Set(["default", "linear", "dynamic", "llama3", "yarn", "longrope"]),
  );
});

test("the fixtures tell the variants apart", () => {
  const plain = cases.find(({ name }) => name === "default")!;
  for (const wanted of cases.filter(
    ({ parameters }) => !["default", "dynamic"].includes(String(parameters.rope_type)),
  )) {
    const unscaled = read({ rope_theta: wanted.parameters.rope_theta }, wanted);
    const same = wanted.inverseFrequencies.every(
      (frequency, i) => frequency === unscaled.inverseFrequencies[i],
    );
    expect(same, wanted.name).toBe(false);
  }
  expect(read({}, plain).inverseFrequencies).toEqual(read({ rope_theta: 10_000 }, plain).inverseFrequencies);
});

test("longrope beyond its original context is refused with the context that works", () => {
  const wanted = cases.find(({ name }) => name === "longrope")!;
  expect(() => read({ rope_parameters: wanted.parameters }, wanted)).toThrow(/4096 or less/);
});

test.each([
  [
    "mrope",
    { rope_scaling: { type: "mrope", mrope_section: [8, 12, 12] } },
    /rope_scaling.rope_type is "mrope"/,
  ],
  ["partial rotary", { partial_rotary_factor: 0.5 }, /partial_rotary_factor is 0.5/],
  [
    "partial rotary, nested",
    { rope_parameters: { partial_rotary_factor: 0.5 } },
    /partial_rotary_factor is 0.5/,
  ],
  ["no factor", { rope_scaling: { type: "linear" } }, /rope_scaling.factor is missing/],
  [
    "factor of 0",
    { rope_scaling: { type: "linear", factor: 0 } },
    /rope_scaling.factor is 0; expected a positive/,
  ],
  ["not an object", { rope_scaling: "linear" }, /\(rope_scaling\) is not a JSON object/],
  [
    "llama3 the wrong way round",
    { rope_scaling: { type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 1 } },
    /high_freq_factor is 1; expected greater than low_freq_factor \(4\)/,
  ],
])("refused by name: %s", (_name, fields, message) => {
  expect(() => read(fields, cases[0]!)).toThrow(message);
});
