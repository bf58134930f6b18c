/** Where episodes branch. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RewardedEpisode, SamplingView } from "../../../src/methods/method.ts";
import { branching } from "../../../src/methods/sampler/branching.ts";
import { stream } from "../../../src/random/stream.ts";

const chain = (id: string, ...nodes: readonly string[]): RewardedEpisode => ({
  id,
  reward: 0,
  calls: nodes.map((node, i) => ({ agent: node[0]!, reward: 0, node, id: i })),
});
const view = (episodes: readonly RewardedEpisode[], wave = 1, seed = 0): SamplingView => ({
  step: 1,
  wave,
  tasksPerStep: 1,
  groups: [{ task: "t", dataset: "", episodes, dropped: false }],
  remembered: () => [],
  random: stream(seed, "branching"),
});
const two = [chain("e0", "a0", "b0", "c0"), chain("e1", "a1", "b1", "c1")];

describe("drawn", () => {
  test("N branches a tree and round; M (1 + L N) episodes in all", () => {
    const sampler = branching({ groupSize: 2, branches: 3, rounds: 2 });
    const first = sampler.next(view(two));
    expect(first).toHaveLength(6);
    expect(first.slice(0, 3).every((request) => "episode" in request && request.episode === 0)).toBe(true);
    expect(sampler.next(view(two, 2))).toHaveLength(6);
    expect(sampler.next(view(two, 3))).toEqual([]);
    expect(sampler).toMatchObject({ samples: "tree", groupSize: 2 });
  });

  test("places are drawn evenly, a shared call once", () => {
    // The branch e0@1.1 shares a0 and has b and c of its own: places are before a, before b, before c0 and before c2.
    const episodes = [chain("e0", "a0", "b0", "c0"), chain("e0@1.1", "a0", "b2", "c2")];
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 400; seed++) {
      for (const request of branching({ branches: 2 }).next(view(episodes, 1, seed))) {
        const place = JSON.stringify(request);
        counts.set(place, (counts.get(place) ?? 0) + 1);
      }
    }
    expect(
      [...counts.keys()]
        .map((place) => JSON.parse(place))
        .sort((x, y) => x.episode - y.episode || x.at - y.at),
    ).toEqual([
      { kind: "branch", group: 0, episode: 0, at: 0 },
      { kind: "branch", group: 0, episode: 0, at: 1 },
      { kind: "branch", group: 0, episode: 0, at: 2 },
      { kind: "branch", group: 0, episode: 1, at: 2 },
    ]);
    for (const count of counts.values()) expect(Math.abs(count - 200)).toBeLessThan(50);
  });

  test("only the calls of the agents that are named", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 }), (seed) => {
        for (const request of branching({ agents: ["b"] }).next(view(two, 1, seed)))
          expect(request).toMatchObject({ kind: "branch", at: 1 });
      }),
    );
    expect(branching({ agents: ["z"] }).next(view(two))).toEqual([]);
  });

  test("remembered episodes and empty ones are not branched off", () => {
    const episodes = [{ ...chain("e0", "a0"), recalled: true }, chain("e1")];
    expect(branching().next(view(episodes))).toEqual([]);
  });
});

test("every: N − 1 branches at each call, once", () => {
  const sampler = branching({ at: "every", branches: 3, agents: ["a", "c"] });
  const places = sampler.next(view(two)).map((request) => JSON.stringify(request));
  expect(places).toHaveLength(8);
  expect(new Set(places).size).toBe(4);
  expect(sampler.next(view(two, 2))).toEqual([]);
});

test("every call of one agent is a place, also where samplings have no names", () => {
  const turns = [0, 1, 2].map(() => ({ agent: "a", reward: 0 }));
  const places = branching({ at: "every" }).next(view([{ reward: 0, calls: turns }]));
  expect(places.map((place) => "at" in place && place.at)).toEqual([0, 1, 2]);
});

test("settings are checked", () => {
  expect(() => branching({ groupSize: 0 })).toThrow(/groupSize 0/);
  expect(() => branching({ branches: 1.5 })).toThrow(/branches 1.5/);
  expect(() => branching({ at: "all" as "every" })).toThrow(/"drawn" or "every"/);
  expect(() => branching({ agents: [] })).toThrow(/at least one agent/);
});
