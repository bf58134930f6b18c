/** The sampler of runs with `search`: it asks for nothing, and lets credit over trees compose. */

import { expect, test } from "vitest";
import { compose } from "../../../src/methods/compose.ts";
import { treeMean } from "../../../src/methods/credit/tree-mean.ts";
import { clipped } from "../../../src/methods/loss/clipped.ts";
import { searchTrees } from "../../../src/methods/sampler/search-trees.ts";

test("a method with it has no sampler of its own, so a run's search can give the episodes", () => {
  const method = compose({ sampler: searchTrees(6), credit: treeMean(), loss: clipped() });
  expect(method.sampler).toBeUndefined();
  expect(method.groupSize).toBe(6);
  expect(method.needs.trees).toBe(true);
  expect(method.settings).toMatchObject({ "sampler/search-trees": { groupSize: 6 } });
});

test.each([0, 1, -1, 1.5, Number.NaN])("a tree of %d nodes is refused", (nodes) => {
  expect(() => searchTrees(nodes)).toThrow(/groupSize/);
});
