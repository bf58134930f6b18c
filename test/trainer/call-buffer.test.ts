/** Calls that wait: multiples, order, links, remainders in checkpoints. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { CallBuffer } from "../../src/trainer/call-buffer.ts";
import type { CreditedCall } from "../../src/trainer/credit-groups.ts";
import { runEpisode } from "../../src/workflow/episode.ts";
import { toyTasks, toyTeam, words } from "./toy-team.ts";

const episode = await runEpisode({
  workflow: toyTeam,
  task: toyTasks[0]!,
  policies: new Map([["p", await tabularPolicy({ words }).open({ name: "p", seed: 0 })]]),
  assignment: new Map([
    ["planner", "p"],
    ["answerer", "p"],
  ]),
  stage: "train",
  identity: { purpose: "train", step: 1, group: 0, task: 0, sample: 0 },
  seed: 0,
});

const credited = (id: number, link?: string): CreditedCall => ({
  trajectory: { ...episode, id: `episode ${id}` },
  call: { ...episode.calls[0]!, id },
  advantage: id / 10,
  ...(link === undefined ? {} : { link }),
});

test("multiples are given, oldest first, nothing is lost and nothing given twice", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 7 }),
      fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 12 }),
      (size, counts) => {
        const buffer = new CallBuffer(size);
        let made = 0;
        const given: number[] = [];
        for (const count of counts) {
          const calls = Array.from({ length: count }, () => credited(made++));
          const now = buffer.take("p", calls);
          expect(now.length % size).toBe(0);
          given.push(...now.map(({ call }) => call.id));
          expect(buffer.waiting("p")).toBe(made - given.length);
          expect(buffer.waiting("p")).toBeLessThan(size);
        }
        expect(given).toEqual(Array.from({ length: given.length }, (_, i) => i));
      },
    ),
  );
});

test("what waited says so, and what did not does not", () => {
  const buffer = new CallBuffer(2);
  expect(buffer.take("p", [credited(0), credited(1), credited(2)]).map(({ carried }) => carried)).toEqual([
    undefined,
    undefined,
  ]);
  expect(buffer.take("p", [credited(3)]).map(({ carried }) => carried)).toEqual([true, undefined]);
});

test("policies wait apart, and one without a size does not wait", () => {
  const buffer = new CallBuffer({ a: 3 });
  expect(buffer.take("a", [credited(0)])).toEqual([]);
  expect(buffer.take("b", [credited(1)])).toHaveLength(1);
  expect(buffer.take("b", [credited(2)]).map(({ carried }) => carried)).toEqual([undefined]);
  expect([buffer.waiting("a"), buffer.waiting("b")]).toEqual([1, 0]);
  // Nothing is kept of one that does not wait.
  expect(Object.keys(buffer.state() as object)).toEqual(["a"]);
});

test("links are not cut apart", () => {
  const buffer = new CallBuffer(2);
  expect(
    buffer.take("p", [credited(0), credited(1, "x"), credited(2, "x")]).map(({ call }) => call.id),
  ).toEqual([0]);
  expect(buffer.waiting("p")).toBe(2);
});

test("what waits survives as JSON", () => {
  const buffer = new CallBuffer(4);
  buffer.take("p", [credited(0), credited(1, "x"), credited(2, "x")]);
  const other = new CallBuffer(4);
  other.restore(JSON.parse(JSON.stringify(buffer.state())));
  const left = buffer.take("p", [credited(3)]);
  const right = other.take("p", [credited(3)]);
  const content = ({ call, advantage, link, trajectory }: CreditedCall) => {
    const { startedAt: _, seconds: __, ...rest } = call;
    return { ...rest, advantage, link, episode: trajectory.id };
  };
  expect(right.map(content)).toEqual(left.map(content));
  expect(right).toHaveLength(4);
});

test("what was known of a call is known after a stop, and only that", () => {
  const rewarded = { agent: "planner", reward: 0.5, terms: { own: 2 } };
  const told = { task: "t", dataset: "d", rewarded } as unknown as NonNullable<CreditedCall["told"]>;
  const calls: readonly CreditedCall[] = [
    { ...credited(1), advantage: -1.5, given: "with log-probs", link: "x", told },
    { ...credited(2), given: "without log-probs" },
    { ...credited(3), recalled: true },
    credited(4),
  ];
  const buffer = new CallBuffer(5);
  buffer.take("p", calls);
  const other = new CallBuffer(5);
  other.restore(JSON.parse(JSON.stringify(buffer.state())));
  expect(other.waiting("p")).toBe(4);
  const facts = ({ trajectory: _, call: __, ...rest }: CreditedCall) => rest;
  const taken = other.take("p", [credited(5)]).map(facts);
  expect(taken).toEqual([...calls.map((call) => ({ ...facts(call), carried: true })), facts(credited(5))]);
});

test("a link that is longer than the number waits until it is whole", () => {
  const buffer = new CallBuffer(2);
  expect(buffer.take("p", [credited(0, "x"), credited(1, "x"), credited(2, "x")])).toEqual([]);
  const now = buffer.take("p", [credited(3, "y")]).map(({ call }) => call.id);
  expect(now).toEqual([0, 1, 2, 3]);
});
