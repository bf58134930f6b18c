import { describe, expect, it } from "vitest";
import { testCountries } from "../../../examples/recommend/lands.ts";
import { letters, type Request } from "../../../examples/recommend/tasks.ts";
import { habits, readChoice, traceStream, writeHint } from "../../../examples/recommend/traces.ts";
import { stream } from "../../../src/index.ts";

const request: Request = {
  need: "subgraph",
  visited: ["Peru", "Chad", "Oman"],
  wish: "same language as Peru",
  candidates: letters.map((letter) => (letter === "C" ? "Spain" : `Land ${letter}`)),
  place: 2,
  fact: { relation: "language", value: "Spanish" },
};
const triples = [
  { subject: "Peru", relation: "language", object: "Spanish" },
  { subject: "Land D", relation: "region", object: "Africa" },
  { subject: "Spain", relation: "language", object: "Spanish" },
];

describe("writeHint", () => {
  it("follows its habit", () => {
    expect(writeHint("copy", request, triples)).toBe("language Spanish Peru");
    expect(writeHint("name", request, triples)).toBe("language Spanish Spain");
    expect(writeHint("value", request, triples)).toBe("language Spanish");
  });

  it("names what is there where the preference is not", () => {
    const other = { ...request, fact: { relation: "currency", value: "soles" } as const };
    expect(writeHint("name", other, triples)).toBe("region Africa Land D");
    expect(writeHint("name", other, triples.slice(0, 1))).toBe("language Spanish Peru");
    expect(writeHint("value", other, triples)).toBe("language Spanish");
  });
});

describe("readChoice", () => {
  const random = stream("test");

  it("finds the candidate that the hint ends with, whole names only", () => {
    expect(readChoice(request, "language Spanish Spain", random)).toBe(2);
    expect(readChoice(request, "language Spanish NewSpain", random)).toBeUndefined();
    expect(readChoice(request, "language Spanish Peru", random)).toBeUndefined();
    expect(readChoice(request, undefined, random)).toBeUndefined();
  });

  it("is torn between wish and hint where both name one", () => {
    const both = { ...request, need: "none" } as const;
    expect(readChoice(both, undefined, random)).toBe(2);
    const drawn = Array.from({ length: 400 }, () => readChoice(both, "region Africa Land D", random));
    expect(new Set(drawn)).toEqual(new Set([2, 3]));
    const byHint = drawn.filter((place) => place === 3).length / drawn.length;
    expect(byHint).toBeCloseTo(habits.followsHint, 1);
  });
});

describe("traceStream", () => {
  const drills = 400 * 24;
  const take = (seed: number, count: number) => {
    const traces = traceStream(seed);
    return Array.from({ length: count }, () => traces.next().value);
  };
  const all = take(7, drills + 600);
  const traces = all.slice(drills);

  it("depends on the seed alone", () => {
    expect(take(7, 50)).toEqual(all.slice(0, 50));
    expect(take(8, 50)).not.toEqual(all.slice(0, 50));
  });

  it("names no held-out country", () => {
    const named = traces.flatMap(({ prompt }) =>
      [...prompt.matchAll(/^(?:Visited: (.*)|(.*)[A-T])$/gmu)].flatMap(([, visited, candidate]) =>
        visited === undefined ? [candidate!] : visited.split(", "),
      ),
    );
    expect(named.length).toBeGreaterThan(3000);
    expect(named.filter((name) => testCountries.has(name))).toEqual([]);
  });

  it("begins with look-ups in short lists, which grow", () => {
    const lengths = all.slice(0, drills).map(({ prompt }) => prompt.split("\n").length - 1);
    expect(Math.max(...lengths.slice(0, 240))).toBe(4);
    expect(Math.min(...lengths)).toBe(2);
    expect(Math.max(...lengths)).toBeGreaterThan(17);
    for (const { prompt, completion } of all.slice(0, 50)) {
      expect(completion.split("; ")).toHaveLength(12);
      for (const line of completion.trim().split("; ")) expect(`\n${prompt}`).toContain(`\n${line}\n`);
    }
  });

  it("has hints, choices and drills, whose letters are those of the list", () => {
    const hints = traces.filter(({ prompt }) => prompt.endsWith("\nHint:"));
    const choices = traces.filter(({ prompt }) => !/\n(?:Hint|Again):$/.test(prompt));
    const drills = traces.filter(({ prompt }) => prompt.endsWith("\nAgain:"));
    expect(hints.length + choices.length + drills.length).toBe(traces.length);
    for (const group of [hints, choices, drills]) expect(group.length).toBeGreaterThan(80);
    for (const { completion } of choices) expect(letters).toContain(completion);
    for (const { prompt, completion } of drills)
      for (const line of completion.trim().split("; ")) expect(`\n${prompt}`).toContain(`\n${line}\n`);
  });
});
