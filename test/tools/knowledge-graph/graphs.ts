/** @file Random small graphs of triples, and brute-force counterparts of what the experts compute. */

import fc from "fast-check";
import type { Triple } from "../../../src/tools/index.ts";

const names = ["Ayo", "Bel", "Cor", "Dun", "Eck", "Fyr", "Gam", "Hol"];
const relations = ["borders", "capital", "language"];

/** Up to 24 triples over 8 entities: duplicates, self loops and parts that do not hang together included. */
export const triplesOf: fc.Arbitrary<readonly Triple[]> = fc.array(
  fc.record({
    subject: fc.constantFrom(...names),
    relation: fc.constantFrom(...relations),
    object: fc.constantFrom(...names),
  }),
  { maxLength: 24 },
);

export const edgesOf = (nodes: number): fc.Arbitrary<readonly [number, number][]> =>
  fc.array(fc.tuple(fc.integer({ min: 0, max: nodes - 1 }), fc.integer({ min: 0, max: nodes - 1 })), {
    maxLength: 14,
  });

export const keyOf = ({ subject, relation, object }: Triple): string => `${subject}|${relation}|${object}`;

/** Distances from `seeds` by relaxing every triple until nothing changes. */
export function distancesFrom(triples: readonly Triple[], seeds: readonly string[]): Map<string, number> {
  const distance = new Map(seeds.map((name) => [name, 0]));
  for (let changed = true; changed; ) {
    changed = false;
    for (const { subject, object } of triples) {
      for (const [from, to] of [
        [subject, object],
        [object, subject],
      ] as const) {
        const reached = (distance.get(from) ?? Number.POSITIVE_INFINITY) + 1;
        if (reached < (distance.get(to) ?? Number.POSITIVE_INFINITY)) {
          distance.set(to, reached);
          changed = true;
        }
      }
    }
  }
  return distance;
}

/** How many parts a graph of `nodes` falls into. */
export function parts(nodes: number, edges: readonly (readonly [number, number])[]): number {
  const label = Array.from({ length: nodes }, (_, node) => node);
  for (const [from, to] of edges) {
    const [old, now] = [label[from]!, label[to]!];
    for (let i = 0; i < nodes; i++) if (label[i] === old) label[i] = now;
  }
  return new Set(label).size;
}
