import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { childMeans, leafMeans } from "../../src/methods/tree/tree-mean.ts";
import { key } from "../../src/random/stream.ts";
import { type C3poAction, c3po, withoutProbe } from "../../src/search/c3po.ts";
import { similar, withinEdits } from "../../src/search/edit-distance.ts";
import { chatTree, minePairs, optima } from "../../src/search/optima-pairs.ts";
import { type Expand, type SearchPlan, search } from "../../src/search/search.ts";
import { root, Tree, type TreeView } from "../../src/search/tree.ts";
import { keepLeaves, treeGrpo } from "../../src/search/tree-grpo.ts";
import { treeRpo } from "../../src/search/tree-rpo.ts";
import { type BranchAction, mergeSiblings, turnTree } from "../../src/search/turn-tree.ts";

/** A chain of turns; a branch keeps the first `at` of its parent's. */
type Chain = readonly string[];
const turns = (chain: Chain) => chain.length;
const text = (chain: Chain, turn: number) => chain[turn]!;

/** Later expansions of seven end earlier. */
const after = async (index: number) => {
  for (let i = 0; i < 3 * (7 - (index % 7)); i++) await null;
};

/** Chains of `length` turns, each turn named after the node that said it. */
const chains =
  <Action extends BranchAction>(length: (index: number) => number, broken: readonly number[] = []) =>
  async ({ index, action, parent }: Parameters<Expand<Chain, Action>>[0]) => {
    await after(index);
    if (broken.includes(index)) throw new Error("broken");
    const kept = parent?.state.slice(0, action.at) ?? [];
    const { edit } = action as BranchAction & { readonly edit?: string };
    const own = Array.from({ length: length(index) - kept.length }, (_, i) =>
      i === 0 && edit !== undefined ? edit : `${index}.${kept.length + i}`,
    );
    return { status: "complete" as const, state: [...kept, ...own] };
  };

const grow = <Action extends BranchAction>(
  plan: SearchPlan<Chain, Action>,
  {
    length = () => 3,
    broken = [],
    concurrency = 1,
    seed = 0,
    value = (chain) => (chain.join().length * 7) % 2,
  }: {
    length?: (index: number) => number;
    broken?: readonly number[];
    concurrency?: number;
    seed?: number;
    value?: (chain: Chain) => number;
  } = {},
): Promise<TreeView<Chain, Action>> =>
  search({ ...plan, expand: chains<Action>(length, broken), value, key: key(seed), concurrency });

const outline = (tree: TreeView<Chain, BranchAction>) =>
  tree.nodes.map(({ index, parent, action }) => [index, parent, action.at]);

describe("Tree-GRPO", () => {
  test("M·(1 + L·N) chains: one a tree, then rounds of N from drawn turns of that tree", async () => {
    const tree = await grow(treeGrpo<Chain>({ turns }));
    expect(tree.nodes.map(({ action }) => action.tree)).toEqual([0, 1, 0, 0, 1, 1]);
    for (const { parent, action } of tree.nodes) {
      if (parent === root) expect(action.at).toBe(0);
      else {
        expect(tree.nodes[parent]!.action.tree).toBe(action.tree);
        // After a turn that is not the last: 1 or 2 of three.
        expect([1, 2]).toContain(action.at);
      }
    }
  });

  test("all places are drawn, about equally often", async () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 600; seed++) {
      const tree = await grow(treeGrpo<Chain>({ trees: 1, expansions: 1, turns }), { seed });
      const { parent, action } = tree.nodes[1]!;
      const place = `${parent}@${action.at}`;
      counts.set(place, (counts.get(place) ?? 0) + 1);
    }
    expect([...counts.keys()].sort()).toEqual(["-1@0", "0@1", "0@2"]);
    for (const count of counts.values()) expect(Math.abs(count - 200)).toBeLessThan(60);
  });

  test("any concurrency and any failure: the same places", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(999), fc.integer({ min: 2, max: 9 }), async (seed, concurrency) => {
        const plan = treeGrpo<Chain>({ trees: 3, expansions: 2, rounds: 3, turns });
        const more = { seed, broken: [1, 7] };
        const alone = await grow(plan, more);
        expect(outline(await grow(plan, { ...more, concurrency }))).toEqual(outline(alone));
        expect(alone.nodes).toHaveLength(21);
        expect(alone.nodes.every(({ parent }) => parent !== 1 && parent !== 7)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  test("keeps at most K leaves a tree", async () => {
    const tree = await grow(treeGrpo<Chain>({ rounds: 2, turns }), { broken: [3] });
    const kept = keepLeaves(tree, { leaves: 3, key: key(1) });
    expect(kept).toHaveLength(6);
    expect(kept).not.toContain(3);
    expect(kept.filter((index) => tree.nodes[index]!.action.tree === 0)).toHaveLength(3);
    expect(keepLeaves(tree, { leaves: 3, key: key(1) })).toEqual(kept);
    expect(keepLeaves(tree, { leaves: 99, key: key(1) })).toHaveLength(9);
  });
});

describe("TreeRPO", () => {
  test("N^D chains; every turn above the depth has N siblings", async () => {
    const tree = await grow(treeRpo<Chain>({ samples: 3, depth: 3, turns }));
    expect(tree.nodes).toHaveLength(27);
    const { children, rootChildren, turns: all } = turnTree(tree, { turns });
    expect(rootChildren).toHaveLength(3);
    for (const [i, { turn }] of all.entries()) expect(children[i]).toHaveLength(turn < 2 ? 3 : 0);
    expect(all).toHaveLength(3 + 9 + 27);
  });

  test("short chains make smaller trees; turns beyond the depth are sampled once", async () => {
    const plan = treeRpo<Chain>({ samples: 2, depth: 2, turns });
    expect((await grow(plan, { length: () => 1 })).nodes).toHaveLength(2);
    expect((await grow(plan, { length: () => 5 })).nodes).toHaveLength(4);
  });

  test("the same tree with several in flight", async () => {
    const plan = treeRpo<Chain>({ samples: 3, depth: 3, turns });
    const alone = outline(await grow(plan, { broken: [2, 4] }));
    for (const concurrency of [2, 5, 27])
      expect(outline(await grow(plan, { broken: [2, 4], concurrency }))).toEqual(alone);
  });
});

describe("turn trees", () => {
  /** Chains a-b-c (1), a-b-d (0), a-e-f (1), g-h-i (1), and a failed one. */
  const byHand = () => {
    const tree = new Tree<Chain, BranchAction>();
    const add = (parent: number, at: number, state: Chain, value: number) =>
      tree.settle(tree.add(parent, { at }).index, { status: "complete", state, value });
    add(root, 0, ["a", "b", "c"], 1);
    add(0, 2, ["a", "b", "d"], 0);
    tree.settle(tree.add(0, { at: 1 }).index, { status: "failed", failure: { code: "E_X", message: "" } });
    add(1, 1, ["a", "e", "f"], 1);
    add(root, 0, ["g", "h", "i"], 1);
    return tree;
  };

  test("shared turns are one turn, and means climb", () => {
    const tree = byHand();
    const chat = turnTree(tree, { turns });
    const said = chat.turns.map(({ node, turn }) => {
      const owner = tree.nodes[node]!;
      return owner.status === "complete" ? owner.state[turn] : undefined;
    });
    expect(said).toEqual(["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
    expect(chat.parents).toEqual([-1, 0, 1, 1, 0, 4, -1, 6, 7]);
    expect(chat.turns[3]).toEqual({ node: 1, turn: 2 });
    const leaf = leafMeans(chat);
    expect(leaf.values.slice(0, 5)).toEqual([expect.closeTo(2 / 3, 9), 0.5, 1, 0, 1]);
    expect(leaf.root).toBe(0.75);
    expect(childMeans(chat).values[0]).toBe(0.75);
  });

  test("a chain that goes on from its parent's end leaves an outcome inside", () => {
    const tree = new Tree<Chain, BranchAction>();
    tree.settle(tree.add(root, { at: 0 }).index, { status: "complete", state: ["a"], value: 0 });
    tree.settle(tree.add(0, { at: 1 }).index, { status: "complete", state: ["a", "b"], value: 1 });
    const chat = turnTree(tree, { turns });
    expect(chat.parents).toEqual([-1, 0]);
    expect(chat.outcomes).toEqual([[0], [1]]);
    expect(leafMeans(chat).values).toEqual([0.5, 1]);
  });

  test("nodes that do not count lend their prefix alone", () => {
    const tree = byHand();
    const chat = turnTree(tree, { turns, include: (node) => node !== 0 });
    expect(chat.turns).toEqual([
      { node: 0, turn: 0 },
      { node: 0, turn: 1 },
      { node: 1, turn: 2 },
      { node: 3, turn: 1 },
      { node: 3, turn: 2 },
      { node: 4, turn: 0 },
      { node: 4, turn: 1 },
      { node: 4, turn: 2 },
    ]);
    expect(chat.parents).toEqual([-1, 0, 1, 0, 3, -1, 5, 6]);
  });

  test("the same siblings become one, with all that follows them", () => {
    const tree = byHand();
    const merged = mergeSiblings(turnTree(tree, { turns }), ({ turn }) => turn === 0);
    // a and g are one: its outcomes are c, d, f, i.
    expect(merged.turns[0]).toEqual({ node: 0, turn: 0 });
    expect(merged.rootChildren).toEqual([0]);
    expect(merged.children[0]).toHaveLength(3);
    expect(leafMeans(merged).values[0]).toBe(0.75);
    expect(merged.positions[6]).toBe(0);
  });
});

describe("C-3PO", () => {
  const strategies = ["[No Retrieval]", "[Retrieval]", "[Planning]"];

  test("every strategy once, then two of each later turn; credit without the probe", async () => {
    const plan = c3po<Chain>({ strategies, nodes: 99, turns, depth: 3 });
    const tree = await grow(plan, { concurrency: 3 });
    expect(tree.nodes[0]!.action).toEqual({ at: 0, probe: true });
    const edits = tree.nodes.slice(1, 4);
    expect(edits.map(({ action }) => action.edit)).toEqual(strategies);
    // Three strategies × 2 × 2 leaves, and the probe.
    expect(tree.nodes).toHaveLength(13);
    const credit = turnTree(tree, { turns, include: withoutProbe });
    expect(credit.rootChildren.map((i) => credit.turns[i]!.node)).toEqual([1, 2, 3]);
    expect(credit.outcomes.flat()).toHaveLength(12);
    expect(tree.children(0)).toEqual([1, 2, 3]);
  });

  test("a probe that fails is made again; the budget ends a tree that never begins", async () => {
    const plan = (nodes: number) => c3po<Chain>({ strategies, nodes, turns, depth: 2 });
    const tree = await grow<C3poAction>(plan(20), { broken: [0] });
    expect(tree.nodes[1]!.action.probe).toBe(true);
    expect(tree.nodes).toHaveLength(2 + 3 * 2);
    expect((await grow(plan(4), { broken: [0, 1, 2, 3] })).nodes).toHaveLength(4);
  });

  test("a router later in the chain keeps what comes before it", async () => {
    const tree = await grow(c3po<Chain>({ strategies, router: 1, nodes: 5, turns }));
    const second = tree.nodes[2]!;
    expect(second.status === "complete" && second.state.slice(0, 2)).toEqual(["0.0", "[Retrieval]"]);
  });
});

describe("Optima", () => {
  const chat = { turns, text };

  test("the root first; then eligible turns, three expansions each", async () => {
    const tree = await grow(optima<Chain>(chat), { length: () => 4, concurrency: 3 });
    expect(tree.nodes).toHaveLength(24);
    for (let first = 0; first < 24; first += 3) {
      const places = outline(tree)
        .slice(first, first + 3)
        .map(([, parent, at]) => `${parent}@${at}`);
      expect(new Set(places).size).toBe(1);
    }
    expect(outline(tree).slice(0, 3)).toEqual([
      [0, -1, 0],
      [1, -1, 0],
      [2, -1, 0],
    ]);
    // Chosen turns had grandchildren when they were chosen: of four turns the first or second.
    for (const [, parent, at] of outline(tree).slice(3)) if (parent !== root) expect([1, 2]).toContain(at);
  });

  test("turns like those chosen before are out, and the root is in again when nothing is left", async () => {
    const same: Expand<Chain, BranchAction> = async () => ({
      status: "complete",
      state: ["hello there", "hello there", "hello there"],
    });
    const tree = await search({ ...optima<Chain>(chat), expand: same, value: () => 1, key: key(0) });
    const places = outline(tree).filter((_, i) => i % 3 === 0);
    expect(places.map(([, parent]) => parent)).toEqual([-1, 0, -1, -1, -1, -1, -1, -1]);
  });

  test("the same tree with several in flight", async () => {
    const plan = optima<Chain>(chat);
    const alone = outline(await grow(plan, { length: () => 4 }));
    for (const concurrency of [2, 3, 9])
      expect(outline(await grow(plan, { length: () => 4, concurrency }))).toEqual(alone);
  });

  test("of the best one, the best", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const tree = await grow(optima<Chain>({ ...chat, best: 1, iterations: 2 }), {
        seed,
        value: (chain) => (chain[0] === "1.0" ? 1 : 0),
      });
      expect(tree.nodes[3]!.parent).toBe(1);
    }
  });

  test("the softmax prefers what is worth more", async () => {
    let better = 0;
    for (let seed = 0; seed < 200; seed++) {
      const tree = await grow(optima<Chain>({ ...chat, iterations: 2, expansions: 2 }), {
        seed,
        length: () => 3,
        value: (chain) => (chain[0] === "0.0" ? 3 : 0),
      });
      if (tree.nodes[2]!.parent === 0) better++;
    }
    // e³ / (e³ + 1) = .953
    expect(better).toBeGreaterThan(180);
    expect(better).toBeLessThan(200);
  });

  test("pairs: best against worst of the same context, if they differ enough; the better half is kept", () => {
    const tree = new Tree<Chain, BranchAction>();
    const add = (parent: number, at: number, state: Chain, value: number) =>
      tree.settle(tree.add(parent, { at }).index, { status: "complete", state, value });
    add(root, 0, ["first question", "yes"], 1);
    add(0, 1, ["first question", "no"], 0.1);
    add(0, 1, ["first question", "perhaps"], 0.6);
    add(root, 0, ["another beginning", "so"], 0.3);
    // Within a tenth of "another beginning": one turn with it.
    add(root, 0, ["another beginning!", "oh"], 0.3);
    const all = minePairs(chatTree(tree, chat), { keep: 1 });
    expect(all).toEqual([
      {
        after: { node: 0, turn: 0 },
        chosen: { node: 0, turn: 1 },
        rejected: { node: 1, turn: 1 },
        chosenValue: 1,
        rejectedValue: 0.1,
      },
      {
        after: undefined,
        chosen: { node: 0, turn: 0 },
        rejected: { node: 3, turn: 0 },
        chosenValue: expect.closeTo(1.7 / 3, 9),
        rejectedValue: 0.3,
      },
    ]);
    expect(minePairs(chatTree(tree, chat))).toEqual([all[0]]);
    expect(minePairs(chatTree(tree, chat), { leastValue: 0.99, leastGap: 0.8 })).toEqual([all[0]]);
    expect(minePairs(chatTree(tree, chat), { leastGap: 0.95 })).toEqual([]);
  });
});

describe("edit distance", () => {
  const distance = (left: string, right: string): number => {
    const table = Array.from({ length: left.length + 1 }, (_, i) => [i]);
    for (let j = 1; j <= right.length; j++) table[0]![j] = j;
    for (let i = 1; i <= left.length; i++)
      for (let j = 1; j <= right.length; j++)
        table[i]![j] = Math.min(
          table[i - 1]![j]! + 1,
          table[i]![j - 1]! + 1,
          table[i - 1]![j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1),
        );
    return table[left.length]![right.length]!;
  };

  test("equals the full table, at every limit", () => {
    const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 9 });
    fc.assert(
      fc.property(word, word, fc.integer({ min: 0, max: 10 }), (left, right, limit) => {
        expect(withinEdits(left, right, limit)).toBe(distance(left, right) <= limit);
      }),
      { numRuns: 400 },
    );
  });

  test("the share is strict, of the longer text plus one", () => {
    // 1 of 4 = .25 is not less than .25.
    expect(similar("abc", "abd", 0.25)).toBe(false);
    expect(similar("abcd", "abce", 0.25)).toBe(true);
    expect(similar("", "", 0.1)).toBe(true);
  });
});
