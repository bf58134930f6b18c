import { describe, expect, it } from "vitest";
import { type Land, landsFor, practiceLands, testCountries } from "../../../examples/recommend/lands.ts";
import { retrieveFrom } from "../../../examples/recommend/retrieve.ts";
import {
  type Expert,
  experts,
  letters,
  type RecommendTask,
  type Request,
  Requester,
  recommendTasks,
} from "../../../examples/recommend/tasks.ts";
import { stream } from "../../../src/index.ts";

const byName = (lands: readonly Land[]) => new Map(lands.map((land) => [land.name, land]));
const has = (land: Land, fact: Request["fact"]) =>
  land.facts.some(({ relation, value }) => relation === fact?.relation && value === fact.value);
const requestsOf = (lands: readonly Land[], need: Expert, count: number) => {
  const requester = new Requester(lands);
  const random = stream("test", need);
  return Array.from({ length: count }, () => requester.request(need, random)).filter((r) => r !== undefined);
};

describe("recommendTasks", () => {
  const tasks = { train: recommendTasks("train", 200, 1), test: recommendTasks("test", 200, 1) };
  const answerOf = ({ candidates, answer }: RecommendTask) => candidates[letters.indexOf(answer)]!;

  it.each(["train", "test"] as const)(
    "gives twenty different candidates and three lands visited (%s)",
    (split) => {
      const known = byName(landsFor(split));
      for (const task of tasks[split]) {
        expect(new Set(task.candidates).size).toBe(20);
        expect(new Set(task.visited).size).toBe(3);
        for (const name of [...task.candidates, ...task.visited]) expect(known.has(name)).toBe(true);
        const both = task.visited.filter((name) => task.candidates.includes(name));
        expect(both).toEqual(task.need === "none" ? [answerOf(task)] : []);
      }
      for (const need of experts) expect(tasks[split].filter((task) => task.need === need)).toHaveLength(50);
    },
  );

  it("recommends held-out countries in the test, and shows none of them in training", () => {
    for (const task of tasks.test) expect(testCountries.has(answerOf(task))).toBe(true);
    for (const task of tasks.train) {
      const shown = JSON.stringify([task.visited, task.wish, task.candidates]);
      for (const name of testCountries) expect(shown).not.toContain(`"${name}"`);
    }
    for (const land of landsFor("train")) {
      expect(testCountries.has(land.name)).toBe(false);
      for (const { relation, value } of land.facts)
        if (relation === "borders") expect(testCountries.has(value)).toBe(false);
    }
  });

  it("depends on the seed alone, and spreads the answers over the letters", () => {
    expect(recommendTasks("test", 200, 1)).toEqual(tasks.test);
    expect(recommendTasks("test", 200, 2)).not.toEqual(tasks.test);
    expect(new Set(tasks.test.map(({ answer }) => answer)).size).toBe(20);
  });

  it("is answered best by another expert for each need", () => {
    const known = byName(landsFor("test"));
    const found = (need: Expert, expert: Expert) => {
      const some = tasks.test.filter((task) => task.need === need);
      const hits = some.filter((task) => {
        const evidence = retrieveFrom(known, { ...task, expert });
        // What a reader takes from it: the first land that was not visited.
        return evidence.find(({ subject }) => !task.visited.includes(subject))?.subject === answerOf(task);
      });
      return hits.length / some.length;
    };
    for (const need of ["triples", "subgraph", "connected"] as const) {
      const right = found(need, need);
      expect(right).toBeGreaterThan(0.5);
      for (const other of experts) if (other !== need) expect(found(need, other)).toBeLessThan(right - 0.1);
    }
    // The wish names it already; evidence can only lead away.
    for (const expert of experts) expect(found("none", expert)).toBe(0);
  });
});

describe("Requester", () => {
  const lands = practiceLands(stream("test", "practice"), 60);
  const known = byName(lands);

  it.each(["triples", "subgraph", "connected"] as const)(
    "has one candidate that fits the preference (%s)",
    (need) => {
      const requests = requestsOf(lands, need, 60);
      expect(requests.length).toBeGreaterThan(15);
      for (const { candidates, place, fact, visited } of requests) {
        const fitting = candidates.filter((name) => has(known.get(name)!, fact));
        expect(fitting).toEqual([candidates[place]]);
        const sharing = visited.filter((name) => has(known.get(name)!, fact));
        expect(sharing).toHaveLength(need === "triples" ? 0 : need === "subgraph" ? 1 : 3);
      }
    },
  );

  it("leaves one value that all visited lands share, where nothing is said", () => {
    for (const { visited, fact } of requestsOf(lands, "connected", 60)) {
      const [first, ...rest] = visited.map((name) => known.get(name)!);
      const shared = first!.facts.filter((other) => rest.every((land) => has(land, other)));
      expect(shared).toEqual([fact]);
    }
  });

  it("gives nothing where lands are too few for twenty candidates", () => {
    for (const need of experts) expect(requestsOf(lands.slice(0, 20), need, 20)).toEqual([]);
  });
});
