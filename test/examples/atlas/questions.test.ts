import { describe, expect, it } from "vitest";
import { articles } from "../../../examples/atlas/articles.ts";
import { asked, fill, frames, inverses, pairSplit } from "../../../examples/atlas/frames.ts";
import { searchWorld } from "../../../examples/atlas/prompts.ts";
import { Questioner } from "../../../examples/atlas/questions.ts";
import { atlasQuestions, atlasTasks } from "../../../examples/atlas/tasks.ts";
import { workThrough } from "../../../examples/atlas/traces.ts";
import {
  counterfactualWorld,
  listInWords,
  numberInWords,
  testCountries,
  trainingWorld,
  trueWorld,
} from "../../../examples/atlas/world.ts";
import { stream } from "../../../src/random/stream.ts";
import { tokenF1 } from "../../../src/rewards/text-match.ts";
import { foldText } from "../../../src/tools/bm25.ts";

const goodHabits = {
  planner: { hasty: 0, stepwise: 1, thorough: 0 },
  reader: { value: 1, sentence: 0 },
  answerer: { exact: 1, wordy: 0 },
} as const;

/** Everything that pretraining and reinforcement learning can see, sampled. */
function trainingTexts(): string[] {
  const random = stream("test", "worlds");
  const worlds = [
    trainingWorld(),
    ...Array.from({ length: 60 }, (_, i) => counterfactualWorld(random, `w${i}`, 40)),
  ];
  const texts = worlds.flatMap((world) =>
    articles(world).map((sentence) => `${sentence.title}: ${sentence.text}`),
  );
  return [...texts, ...atlasQuestions("train", 2000, 1).map((question) => question.question)];
}

describe("the split", () => {
  it("names only countries that exist, a quarter of them", () => {
    const names = new Set(trueWorld().countries.map((country) => country.name));
    expect([...testCountries].filter((name) => !names.has(name))).toEqual([]);
    expect(testCountries.size / names.size).toBeGreaterThan(0.2);
  });

  it("asks in the test about test countries only, and in training about none of them", () => {
    for (const { about } of atlasQuestions("test", 400, 1)) {
      for (const name of about) expect(testCountries.has(name)).toBe(true);
    }
    for (const { about, question } of atlasQuestions("train", 2000, 1)) {
      for (const name of about) expect(testCountries.has(name)).toBe(false);
      expect(question).not.toMatch(/Norway|Portugal|Kazakhstan/);
    }
  });

  it("shows training no name, capital or highest point of a test country", () => {
    const secrets = trueWorld()
      .countries.filter((country) => testCountries.has(country.name))
      .flatMap((country) => [country.name, country.values.capital, country.values.highestPoint])
      .filter((secret) => secret !== undefined)
      .map(foldText)
      .sort();
    // Other places of the same name: on Norfolk Island, American Samoa, Port of Spain, the dollars of Niue.
    const namesakes = ["kingston", "new zealand", "samoa", "spain"];
    const text = trainingTexts().map(foldText).join("\n");
    const leaks = secrets.filter((secret) =>
      new RegExp(`(?<![\\p{L}-])${secret}(?![\\p{L}-])`, "u").test(text),
    );
    expect(leaks).toEqual(namesakes);
  });

  it("shares no wording and no joined pair of relations", () => {
    for (const part of [
      "attribute",
      "description",
      "inverse",
      "comparison",
      "between",
      "neighbour",
    ] as const) {
      const seen = new Set(frames.train[part]);
      expect(frames.test[part].filter((frame) => seen.has(frame))).toEqual([]);
    }
    for (const attribute of asked) {
      const seen = new Set(frames.train.particular[attribute]);
      expect((frames.test.particular[attribute] ?? []).filter((frame) => seen.has(frame))).toEqual([]);
    }
    const pairs = asked.flatMap((outer) => inverses.map((inner) => pairSplit(outer, inner)));
    expect(pairs.filter((split) => split === "test").length).toBeGreaterThanOrEqual(10);
    expect(pairs.filter((split) => split === "train").length).toBeGreaterThanOrEqual(15);
    const questions = new Set(atlasTasks("train", 2000, 1).map((task) => task.question));
    expect(atlasTasks("test", 400, 1).filter((task) => questions.has(task.question))).toEqual([]);
  });

  it("is the same whenever it is drawn", () => {
    expect(atlasTasks("test", 50, 1)).toEqual(atlasTasks("test", 50, 1));
    expect(atlasTasks("test", 50, 1)).not.toEqual(atlasTasks("test", 50, 2));
  });
});

describe("questions", () => {
  it("are answered by their own plan through the real search, in both splits", () => {
    for (const split of ["train", "test"] as const) {
      const search = searchWorld(split === "test" ? trueWorld() : trainingWorld());
      const scores = atlasQuestions(split, 400, 1).map((question, i) => {
        const answer = workThrough(question, search, goodHabits, stream("test", i)).at(-1)!.completion;
        return tokenF1(answer, question.answer);
      });
      expect(scores.reduce((sum, score) => sum + score, 0) / scores.length).toBeGreaterThan(0.98);
    }
  });

  it("cannot be answered by one hasty search when they need two hops", () => {
    const search = searchWorld(trueWorld());
    const hasty = { ...goodHabits, planner: { hasty: 1, stepwise: 0, thorough: 0 } };
    const chains = atlasQuestions("test", 400, 1).filter((question) => question.kind === "chain");
    const scores = chains.map((question, i) =>
      tokenF1(workThrough(question, search, hasty, stream("test", i)).at(-1)!.completion, question.answer),
    );
    expect(chains.length).toBeGreaterThan(100);
    expect(scores.reduce((sum, score) => sum + score, 0) / scores.length).toBeLessThan(0.1);
  });

  it("have true answers: compared figures, common neighbours, described countries", () => {
    const world = trueWorld();
    const byName = new Map(world.countries.map((country) => [country.name, country]));
    const questioner = new Questioner(world);
    const random = stream("test", "truth");
    for (let i = 0; i < 3000; i++) {
      const comparison = questioner.ask("comparison", "train", random);
      if (comparison) {
        const { attribute, more, names } = comparison.compared!;
        const [x, y] = names.map((name) => byName.get(name)![attribute]) as [number, number];
        expect(comparison.answer).toBe(x > y === more ? names[0] : names[1]);
      }
      const between = questioner.ask("between", "train", random);
      if (between) {
        const [middle, x, y] = between.about.map((name) => byName.get(name)!);
        const common = x!.borders.filter((name) => y!.borders.includes(name));
        expect(common).toEqual([middle!.name]);
      }
      const chain = questioner.ask("chain", "train", random);
      const step = chain?.plan[0];
      if (chain && step?.find === "country") {
        const described = world.countries.filter((country) => country.values[step.attribute] === step.value);
        expect(described.map((country) => country.name)).toEqual(chain.about);
      }
    }
  });
});

describe("worlds and their texts", () => {
  it("states each fact of a country in exactly one passage, spelled as the answer", () => {
    for (const world of [trueWorld(), counterfactualWorld(stream("test", 1), "w", 60)]) {
      const passages = articles(world);
      for (const country of world.countries) {
        const own = passages.filter((passage) => passage.title === country.name);
        for (const [attribute, value] of Object.entries(country.values)) {
          const stating = own.filter((passage) => (passage.states as readonly string[]).includes(attribute));
          expect(stating.length, `${country.name} ${attribute}`).toBe(1);
          expect(stating[0]!.text).toContain(value);
        }
      }
    }
  });

  it("makes worlds that are not ours: facts are drawn anew", () => {
    const truth = new Map(trueWorld().countries.map((country) => [country.name, country.values.capital]));
    const random = stream("test", 2);
    let named = 0;
    let right = 0;
    for (let i = 0; i < 40; i++) {
      for (const country of counterfactualWorld(random, `w${i}`, 50).countries) {
        if (!truth.has(country.name)) continue;
        named++;
        if (country.values.capital === truth.get(country.name)) right++;
      }
    }
    expect(named).toBeGreaterThan(200);
    expect(right / named).toBeLessThan(0.05);
  });

  it("writes numbers and lists in words", () => {
    expect([5509733, 1415043270, 323802, 999999, 440, 61].map(numberInWords)).toEqual([
      "5.51 million",
      "1.42 billion",
      "324 thousand",
      "1 million",
      "440",
      "61",
    ]);
    expect([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(listInWords)).toEqual([
      "",
      "a",
      "a and b",
      "a, b and c",
    ]);
  });

  it("fills frames and refuses an empty slot", () => {
    expect(fill("{x} or {y}?", { x: "peru", y: "$& Chile" })).toBe("Peru or $& Chile?");
    expect(() => fill("{x} or {y}?", { x: "Peru" })).toThrow(/\{y\}/);
  });
});
