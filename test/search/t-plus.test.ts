import { describe, expect, test } from "vitest";
import { key } from "../../src/random/stream.ts";
import { depthPenalty } from "../../src/search/ab-mcts.ts";
import { type SearchOptions, search } from "../../src/search/search.ts";
import { type TPlusOptions, tPlus } from "../../src/search/t-plus.ts";
import { root, Tree } from "../../src/search/tree.ts";

type Action = { readonly participant: string };
type Options = SearchOptions<string, Action>;

/** A finished tree of children of the root, with a state each. */
function treeOf(values: readonly number[], parents: readonly number[] = values.map(() => root)) {
  const tree = new Tree<string, Action>();
  values.forEach((value, i) => {
    tree.add(parents[i]!, { participant: "A" });
    tree.settle(i, { status: "complete", state: `s${i}`, value });
  });
  return tree;
}

const plan = (options: Partial<TPlusOptions<string>> = {}) =>
  tPlus<string>({ participants: ["A", "B"], ...options });
/** Node k passes where k is in `right`. */
const grow = (
  options: Partial<TPlusOptions<string>>,
  right: readonly number[],
  more: Partial<Options> = {},
) =>
  search<string, Action>({
    ...plan(options),
    expand: async ({ index }) => ({ status: "complete", state: `s${index}` }),
    value: (state) => (right.includes(Number(state.slice(1))) ? 1 : 0.25),
    key: key(11),
    ...more,
  });

describe("the budget", () => {
  test("60 nodes, as in the paper", async () => {
    expect((await grow({}, [3, 5])).nodes).toHaveLength(60);
  });

  test("enough passers end the search before it", async () => {
    expect((await grow({ enough: 1 }, [3, 5])).nodes).toHaveLength(4);
    expect((await grow({ enough: 2 }, [3, 5])).nodes).toHaveLength(6);
    expect((await grow({ enough: 2, nodes: 5 }, [3, 5])).nodes).toHaveLength(5);
    // A score below the bar is no pass.
    expect((await grow({ enough: 1, nodes: 9, pass: 1.1 }, [3])).nodes).toHaveLength(9);
    expect((await grow({ enough: 1, nodes: 9, pass: 0.25 }, [])).nodes).toHaveLength(1);
  });

  test("what is in flight still ends, and the tree stays whole", async () => {
    const tree = await grow({ enough: 1 }, [0], { concurrency: 4 });
    expect(tree.nodes).toHaveLength(4);
    expect(tree.pending).toBe(0);
  });
});

describe("the depth-guided penalty", () => {
  test("γ^c of the specification", () => {
    const golden = [1, 0.98, 0.9604, 0.941192, 0.922368, 0.903921];
    for (const [c, value] of golden.entries()) expect(depthPenalty()(1, c)).toBeCloseTo(value, 6);
  });

  test("pushes the tree down: the smaller γ, the fewer nodes under the root", async () => {
    const under = async (gamma: number | ((depth: number) => number)) =>
      (await grow({ gamma, nodes: 40, estimate: "mean" }, [0, 1])).children(root).length;
    const [none, some, hard] = [await under(1), await under(0.9), await under(0.5)];
    expect(hard).toBeLessThan(some);
    expect(some).toBeLessThanOrEqual(none);
    // A function of the depth: none under the root, hard below.
    expect(await under((depth) => (depth === 1 ? 0.5 : 1))).toBe(hard);
  });
});

describe("the node that is handed out", () => {
  test("public scores [0, 1, 1, 0]: node 2, the latest of the best", async () => {
    expect((await plan().best(treeOf([0, 1, 1, 0]))).index).toBe(2);
  });

  test("the reward model ranks passers alone, once each, whatever their score above the bar", async () => {
    const asked: string[] = [];
    const rank = async (state: string) => {
      asked.push(state);
      await null;
      return state === "s1" ? 5 : 2;
    };
    expect((await plan({ rank }).best(treeOf([0, 1, 1, 0.9]))).index).toBe(1);
    expect(asked).toEqual(["s1", "s2"]);
    expect((await plan({ rank, pass: 0.5 }).best(treeOf([0.6, 0.5, 1, 0.4]))).index).toBe(1);
  });

  test("ranks that tie go to the latest", async () => {
    expect((await plan({ rank: () => 3 }).best(treeOf([1, 1, 0, 1, 0]))).index).toBe(3);
  });

  test("without two passers nobody is asked", async () => {
    const rank = () => {
      throw new Error("not asked");
    };
    expect((await plan({ rank }).best(treeOf([0.5, 0.9, 0.9, 0]))).index).toBe(2);
    expect((await plan({ rank }).best(treeOf([0.5, 1, 0.9]))).index).toBe(1);
  });

  test("a reward model that is down, or says no number, is an error; so is an empty tree", async () => {
    const tree = treeOf([1, 1]);
    const down = plan({
      rank: async () => {
        throw new Error("no engine");
      },
    });
    await expect(down.best(tree)).rejects.toThrow("no engine");
    await expect(plan({ rank: () => Number.NaN }).best(tree)).rejects.toMatchObject({ code: "E_NODE_VALUE" });
    await expect(plan().best(treeOf([]))).rejects.toMatchObject({ code: "E_SEARCH_EMPTY" });
  });
});

test("options are checked", () => {
  for (const wrong of [
    { gamma: 0 },
    { gamma: 1.1 },
    { enough: 0 },
    { pass: Number.NaN },
    { participants: [] },
  ])
    expect(() => plan(wrong)).toThrowError(expect.objectContaining({ code: "E_SEARCH_OPTION" }));
});
