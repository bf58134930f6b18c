import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { siblingAdvantages } from "../../../src/methods/tree/sibling-advantage.ts";
import { standardised } from "../../../src/methods/tree/standardise.ts";
import { treeAdvantages } from "../../../src/methods/tree/tree-advantage.ts";
import { treeGrpoAdvantages } from "../../../src/methods/tree/tree-grpo.ts";
import { childMeans, leafMeans } from "../../../src/methods/tree/tree-mean.ts";
import { shapedRewards, type TreeShaping } from "../../../src/methods/tree/tree-shaping.ts";

const close = (actual: readonly number[], expected: readonly number[]) =>
  expect(actual).toEqual(expected.map((value) => expect.closeTo(value, 5)));

describe("MARS² on the tree of the specification", () => {
  const parents = [-1, -1, 0, 0, 2, 1];
  const rewards = [0, 1, 1, 0, 1, 0];

  test.each<[TreeShaping, number[]]>([
    [{}, [-0.5, 1.5, 1.5, -0.25, 1.0, -0.5]],
    [{ gamma: 0.3 }, [-0.3, 1.3, 1.3, -0.15, 1.0, -0.3]],
    [{ form: "inPlace" }, [-0.5, 1.5, 1.625, -0.125, 0.6875, -0.75]],
    [{ form: "inPlace", gamma: 0.3 }, [-0.3, 1.3, 1.345, -0.105, 0.8965, -0.39]],
    [{ gamma: 0 }, rewards],
  ])("shaping %j", (options, expected) => close(shapedRewards(parents, rewards, options), expected));

  test("λ = 0 ignores siblings except under the root", () => {
    const shaped = shapedRewards(parents, rewards, { lambda: 0 });
    const others = shapedRewards(parents, [0, 1, 1, 7, 1, 0], { lambda: 0 });
    expect(shaped[2]).toBe(others[2]);
    expect(shaped[0]).not.toBe(shapedRewards(parents, [0, 7, 1, 0, 1, 0], { lambda: 0 })[0]);
  });

  test("a lone node under the root keeps its reward", () => {
    expect(shapedRewards([-1], [0.7])).toEqual([0.7]);
    close(shapedRewards([-1, 0], [0, 1]), [0, 1.5]);
  });

  test("group advantage over all nodes", () => {
    close(
      treeAdvantages(shapedRewards(parents, rewards)),
      [-0.977883, 1.062916, 1.062916, -0.722783, 0.552716, -0.977883],
    );
    close(treeAdvantages(rewards), [-0.912871, 0.912871, 0.912871, -0.912871, 0.912871, -0.912871]);
    close(treeAdvantages([1, 0]), [Math.SQRT1_2, -Math.SQRT1_2]);
    expect(treeAdvantages([1, 1, 1])).toEqual([0, 0, 0]);
    expect(treeAdvantages([1])).toEqual([0]);
    // One of 200: √199 ≈ 14.1 without the limit.
    expect(Math.max(...treeAdvantages([1, ...Array.from({ length: 199 }, () => 0)]))).toBe(10);
  });

  test("invariants: ΣÂ = 0; adding a constant to all rewards changes no advantage", () => {
    const tree = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 4 })), {
      minLength: 2,
      maxLength: 30,
    });
    fc.assert(
      fc.property(tree, fc.integer({ min: -3, max: 3 }), (nodes, constant) => {
        const above = nodes.map(([pick], i) => (pick % (i + 1)) - 1);
        const raw = nodes.map(([, reward]) => reward / 4);
        const advantages = treeAdvantages(shapedRewards(above, raw), { clip: 100 });
        expect(advantages.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 6);
        const moved = raw.map((reward) => reward + constant);
        close(treeAdvantages(shapedRewards(above, moved), { clip: 100 }), advantages);
      }),
    );
  });
});

describe("tree mean", () => {
  // C-3PO: none {0}, single {1, 0}, multi {1, 1, 0}
  const parents = [-1, -1, -1, 0, 1, 1, 2, 2, 2];
  const outcomes = [[], [], [], [0], [1], [0], [1], [1], [0]];

  test("leaf mean and child mean of the specification", () => {
    const { values, root } = leafMeans({ parents, outcomes });
    close(values.slice(0, 3), [0, 0.5, 0.666667]);
    expect(root).toBeCloseTo(0.5, 9);
    expect(childMeans({ parents, outcomes }).root).toBeCloseTo(0.388889, 6);
  });

  test("an outcome inside of the tree counts", () => {
    const inner = { parents: [-1, 0, 0], outcomes: [[1], [0], [0, 0]] };
    expect(leafMeans(inner)).toEqual({ values: [0.25, 0, 0], root: 0.25 });
    close(childMeans(inner).values, [1 / 3, 0, 0]);
  });

  test("a tree without outcomes has no value", () => {
    expect(leafMeans({ parents: [], outcomes: [] }).root).toBeNaN();
  });
});

test("Tree-GRPO: inter-tree and intra-tree", () => {
  const trees = ["A", "A", "B", "B"];
  close(treeGrpoAdvantages(trees, [1, 0, 1, 1], { epsilon: 0 }), [1.207107, -2.207107, 0.5, 0.5]);
  close(treeGrpoAdvantages(trees, [1, 0, 1, 1], { epsilon: 0, form: "nested" }), [
    Math.SQRT1_2,
    -Math.SQRT1_2,
    0,
    0,
  ]);
  // A tree of one leaf: 0, or the reward itself.
  close(treeGrpoAdvantages(["A", "B"], [1, 0], { epsilon: 0 }), [Math.SQRT1_2, -Math.SQRT1_2]);
  close(treeGrpoAdvantages(["A", "B"], [1, 0], { epsilon: 0, single: "raw" }), [1.707107, -Math.SQRT1_2]);
});

describe("TreeRPO", () => {
  const tree = { parents: [-1, -1, 0, 0, 1, 1], outcomes: [[], [], [1], [1], [1], [0]] };
  const { values, root } = childMeans(tree);

  test("golden values", () => {
    close(values, [1, 0.5, 1, 1, 1, 0]);
    expect(root).toBe(0.75);
    close(siblingAdvantages(tree.parents, values).advantages, [0.25, -0.25, 0, 0, 0.5, -0.5]);
    close(
      siblingAdvantages(tree.parents, values, { norm: "bernoulli" }).advantages,
      [0.57735, -0.57735, 0, 0, 1, -1],
    );
    close(siblingAdvantages(tree.parents, values, { norm: "deviation" }).advantages, [1, -1, 0, 0, 1, -1]);
  });

  test("siblings without spread are marked, and only children", () => {
    expect(siblingAdvantages(tree.parents, values).hasSignal).toEqual([true, true, false, false, true, true]);
    expect(siblingAdvantages([-1, 0], [0.3, 0.3]).hasSignal).toEqual([false, false]);
  });

  test("Bernoulli refuses values outside [0, 1]", () => {
    expect(() => siblingAdvantages([-1, -1], [2, 0], { norm: "bernoulli" })).toThrow(/from 0 to 1/);
  });
});

test("noise of floats is no spread", () => {
  expect(standardised([0.1 + 0.2, 0.3], { ddof: 1, epsilon: 0, single: "zero" })).toEqual([0, 0]);
});
