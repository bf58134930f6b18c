/** The check of samplers finds what it is for: each sampler here breaks one rule. */

import { expect, test } from "vitest";
import type { GroupSampler, SamplingRequest, SamplingView } from "../../src/methods/method.ts";
import { checkSampler } from "../../src/testing/index.ts";

const sampler = (
  next: (view: SamplingView) => readonly SamplingRequest[],
  more: Partial<GroupSampler> = {},
): GroupSampler => ({ name: "made up", groupSize: 2, next, ...more });
const once =
  (...requests: readonly SamplingRequest[]) =>
  ({ wave }: SamplingView) =>
    wave === 1 ? requests : [];
const memory = {
  capacity: 2,
  keep: ({ episodes }: { readonly episodes: readonly unknown[] }) => episodes.map(() => true),
};

test("what is asked for is sampled", () => {
  const sizes = (requests: readonly SamplingRequest[], more?: Partial<GroupSampler>) =>
    checkSampler(sampler(once(...requests), more), { steps: 1, groups: 2 })[0]!.map(
      ({ episodes }) => episodes.length,
    );
  expect(sizes([])).toEqual([2, 2]);
  expect(sizes([{ kind: "episodes", group: 1, count: 3 }])).toEqual([2, 5]);
  expect(sizes([{ kind: "task" }])).toEqual([2, 2, 2]);
  expect(sizes([{ kind: "drop", group: 0 }, { kind: "task" }])).toEqual([2, 2]);
  expect(sizes([{ kind: "omit", group: 0, episode: 1 }])).toEqual([1, 2]);
  expect(sizes([{ kind: "branch", group: 0, episode: 0, at: 1 }])).toEqual([3, 2]);
});

test("a branch shares the calls before it", () => {
  const [[group]] = checkSampler(sampler(once({ kind: "branch", group: 0, episode: 1, at: 2 })), {
    steps: 1,
  }) as unknown as [[{ episodes: { calls: { node: string }[] }[] }]];
  const nodes = group.episodes.map(({ calls }) => calls.map(({ node }) => node));
  expect(nodes[2]!.slice(0, 2)).toEqual(nodes[1]!.slice(0, 2));
  expect(nodes[2]![2]).not.toBe(nodes[1]![2]);
});

test("what is remembered can be recalled in a later step, up to the capacity", () => {
  const recalling = sampler(
    ({ wave, groups, remembered }) =>
      wave > 1
        ? []
        : groups.flatMap(({ task }, group) =>
            remembered(task).map(({ id }) => ({ kind: "recall", group, episode: id }) as const),
          ),
    { memory },
  );
  const steps = checkSampler(recalling, { steps: 6, groups: 2 });
  const recalled = steps.flat().map(({ episodes }) => episodes.filter((one) => one.recalled).length);
  expect(Math.max(...recalled)).toBe(2);
  expect(recalled.slice(0, 2)).toEqual([0, 0]);
});

test.each<[string, GroupSampler, RegExp]>([
  ["no end", sampler(() => [{ kind: "episodes", group: 0, count: 1 }]), /asks for more after 100 waves/],
  ["no such group", sampler(once({ kind: "drop", group: 9 })), /there is no such group/],
  ["no such episode", sampler(once({ kind: "omit", group: 0, episode: 2 })), /there is no such episode/],
  ["no such call", sampler(once({ kind: "branch", group: 0, episode: 0, at: 40 })), /there is no such call/],
  ["no number", sampler(once({ kind: "episodes", group: 0, count: 0 })), /not a number of episodes/],
  ["not remembered", sampler(once({ kind: "recall", group: 0, episode: "x" }), { memory }), /not remembered/],
])("finds %s", (_, wrong, says) => {
  expect(() => checkSampler(wrong)).toThrow(says);
});

test("finds a sampler that remembers what it was asked", () => {
  let asked = 0;
  const counting = sampler(({ wave }) =>
    wave === 1 && asked++ % 2 === 0 ? [{ kind: "episodes", group: 0, count: 1 }] : [],
  );
  expect(() => checkSampler(counting)).toThrow(/asked twice in wave 1 it answers differently/);
});
