import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { key, Stream } from "../../src/random/stream.ts";
import {
  type AbMctsOptions,
  abMcts,
  depthPenalty,
  type ParticipantAction,
} from "../../src/search/ab-mcts.ts";
import { beta, gaussian } from "../../src/search/posterior.ts";
import { type Expand, search } from "../../src/search/search.ts";
import { root, type SearchNode, Tree, type TreeView } from "../../src/search/tree.ts";

type Node = SearchNode<number, ParticipantAction>;
const rewards = [0, 1, 0, 0, 1, 0, 1, 0];
const scripted: Expand<number, ParticipantAction> = async ({ index }) => ({
  status: "complete",
  state: rewards[index % rewards.length]!,
});
const itself = (state: number) => state;
const shape = (tree: TreeView<number, ParticipantAction>) =>
  tree.nodes.map(({ index, parent, action }) => [index, parent, action.participant]);

const run = (options: Partial<AbMctsOptions>, more: { concurrency?: number; seed?: number } = {}) =>
  search({
    ...abMcts<number>({ nodes: 8, participants: ["A", "B"], ...options }),
    expand: scripted,
    value: itself,
    key: key(more.seed ?? 0, "search"),
    ...(more.concurrency === undefined ? {} : { concurrency: more.concurrency }),
  });

describe("the deterministic search of the specification", () => {
  test("Beta: indexes, parents, participants, and the root's means", async () => {
    const tree = await run({ estimate: "mean" });
    expect(shape(tree)).toEqual([
      [0, -1, "A"],
      [1, 0, "B"],
      [2, 0, "B"],
      [3, 0, "B"],
      [4, 1, "B"],
      [5, 1, "B"],
      [6, 1, "B"],
      [7, 1, "B"],
    ]);
    const posterior = beta();
    const cont = tree.below(0);
    expect(posterior.mean({ count: 1, mean: 0, squares: 0 })).toBeCloseTo(0.25, 6);
    expect(posterior.mean(cont)).toBeCloseTo(0.4375, 6);
    expect(posterior.mean(tree.below(root))).toBeCloseTo(0.388889, 6);
  });

  test("Gaussian: the prior's mean of 0 never beats GEN, so all are children of the root", async () => {
    const tree = await run({ estimate: "mean", posterior: gaussian() });
    expect(shape(tree)).toEqual(rewards.map((_, index) => [index, -1, "A"]));
    expect(gaussian().mean(tree.below(root))).toBeCloseTo(3 / 9, 6);
  });

  test("uses no random number", async () => {
    const other = await run({ estimate: "mean" }, { seed: 1 });
    expect(shape(other)).toEqual(shape(await run({ estimate: "mean" })));
  });
});

/** A tree by hand: [parent, participant, value], or pending without a value. */
function treeFrom(nodes: readonly (readonly [number, string, number?])[]): Tree<number, ParticipantAction> {
  const tree = new Tree<number, ParticipantAction>();
  for (const [parent, participant, value] of nodes) {
    const { index } = tree.add(parent, { participant });
    if (value !== undefined) tree.settle(index, { status: "complete", state: value, value });
  }
  return tree;
}

const choose = (tree: TreeView<number, ParticipantAction>, options: Partial<AbMctsOptions>) =>
  abMcts<number>({ nodes: 99, participants: ["A", "B"], estimate: "mean", ...options }).select(tree, {
    index: tree.nodes.length,
    random: new Stream(key(0)),
  });

describe("who makes the next node", () => {
  test("UCB: who has none comes first, then mean plus √2·√(ln N / n)", () => {
    const first = choose(treeFrom([[-1, "A", 1]]), { strategy: "ucb" });
    expect(first).toEqual({ parent: -1, action: { participant: "B" } });
    // A: 1 + √2·√(ln 4 / 3) = 1.961; B: 0 + √2·√(ln 4 / 1) = 1.665
    const tree = treeFrom([
      [-1, "A", 1],
      [-1, "A", 1],
      [-1, "A", 1],
      [-1, "B", 0],
    ]);
    expect(choose(tree, { strategy: "ucb" })?.action.participant).toBe("A");
    // A: 0.5 + √2·√(ln 4 / 3) = 1.461
    const poorer = treeFrom([
      [-1, "A", 1],
      [-1, "A", 0.5],
      [-1, "A", 0],
      [-1, "B", 0],
    ]);
    expect(choose(poorer, { strategy: "ucb" })?.action.participant).toBe("B");
  });

  test("UCB counts what failed as a try, so an engine that is down is not chosen for ever", async () => {
    const tree = await search({
      ...abMcts<number>({ nodes: 30, participants: ["A", "B"], strategy: "ucb" }),
      expand: async ({ index, action }) => {
        if (action.participant === "B") throw new Error("down");
        return { status: "complete", state: index % 2 };
      },
      value: itself,
      key: key(0),
    });
    expect(tree.nodes.filter(({ action }) => action.participant === "A").length).toBeGreaterThan(10);
  });

  test("UCB counts pending nodes as tries", () => {
    const tree = treeFrom([
      [-1, "A", 0],
      [-1, "B"],
      [-1, "B"],
    ]);
    // A: 0 + √2·√(ln 3) = 1.482; B: .5 + √2·√(ln 3 / 2) = 1.548
    expect(choose(tree, { strategy: "ucb" })?.action.participant).toBe("B");
    const more = treeFrom([
      [-1, "A", 0],
      [-1, "B"],
      [-1, "B"],
      [-1, "B"],
      [-1, "B"],
    ]);
    expect(choose(more, { strategy: "ucb" })?.action.participant).toBe("A");
  });

  test("stack: participant first, then its own GEN or CONT, then its own children", () => {
    const tree = treeFrom([
      [-1, "A", 0],
      [-1, "B", 1],
      [1, "A", 1],
      [1, "A", 1],
    ]);
    // At the root B (1, 1, 1) beats A (0). B's GEN saw one 1 (.75), its CONT two (.8333): down to node 1. There A has
    // (1, 1), GEN .8333 against CONT .5: it widens.
    expect(choose(tree, { strategy: "stack" })).toEqual({ parent: 1, action: { participant: "A" } });
    // The same with poor refinements: B's CONT (0, 0) = .1667 loses against GEN .75; B still beats A's .25 with .375.
    const poor = treeFrom([
      [-1, "A", 0],
      [-1, "B", 1],
      [1, "A", 0],
      [1, "A", 0],
    ]);
    expect(choose(poor, { strategy: "stack" })).toEqual({ parent: -1, action: { participant: "B" } });
  });

  test("stack: another participant's child is not descended into, however good", () => {
    // A: three children of (1; 1, 1) each: union .95, GEN .875, CONT .9286, arms .875. B: one child, arm .9.
    const tree = treeFrom([
      [-1, "B", 1],
      [0, "B", 1],
      [0, "B", 1],
      [0, "B", 1],
      ...[4, 5, 6].map(() => [-1, "A", 1] as const),
      ...[4, 4, 5, 5, 6, 6].map((parent) => [parent, "A", 0.99] as const),
    ]);
    expect(choose(tree, { strategy: "stack" })).toEqual({ parent: 4, action: { participant: "A" } });
    expect(choose(tree, { strategy: "thompson" })?.parent).toBe(0);
  });

  test("one participant: choosing it takes no random number", () => {
    const tree = treeFrom([[-1, "A"]]);
    const counted = new (class extends Stream {
      draws = 0;
      override uniform() {
        this.draws++;
        return super.uniform();
      }
    })(key(0));
    const { select } = abMcts<number>({ nodes: 9, participants: ["A"] });
    expect(select(tree, { index: 1, random: counted })).toEqual({ parent: -1, action: { participant: "A" } });
    expect(counted.draws).toBe(0);
    abMcts<number>({ nodes: 9, participants: ["A", "B"] }).select(tree, { index: 1, random: counted });
    expect(counted.draws).toBeGreaterThan(0);
  });

  test("refuses no participants and the same one twice", () => {
    expect(() => abMcts({ nodes: 1, participants: [] })).toThrow(/at least one/);
    expect(() => abMcts({ nodes: 1, participants: ["A", "A"] })).toThrow(/each once/);
  });
});

describe("pending and failed nodes", () => {
  test("nothing is expanded from a pending or a failed node", () => {
    const tree = treeFrom([[-1, "A"]]);
    tree.settle(0, { status: "failed", failure: { code: "E_X", message: "x" } });
    const { index } = tree.add(root, { participant: "A" });
    expect(choose(tree, {})?.parent).toBe(root);
    tree.settle(index, { status: "complete", state: 0, value: 0 });
    // GEN .25 against CONT .5: down, but never into the failed one.
    expect(choose(tree, {})?.parent).toBe(index);
  });

  test("a virtual loss turns away from where expansions are in flight", () => {
    const tree = treeFrom([
      [-1, "A", 1],
      [-1, "A", 1],
      [0, "A", 1],
      [0, "A", 1],
      [0, "A", 1],
      [0, "A"],
      [0, "A"],
      [0, "A"],
    ]);
    // CONT (1, 1, 1) = .875 beats GEN (1, 1) = .8333; node 0's arm (4 × 1) = .9 beats node 1's .75.
    expect(choose(tree, { pending: "ignore" })?.parent).toBe(0);
    expect(choose(tree, { pending: "mean" })?.parent).toBe(0);
    // With three losses CONT is 3.5/7 = .5, so the root is widened.
    expect(choose(tree, { pending: "loss" })?.parent).toBe(root);
  });
});

test("T+: the depth penalty is γ^c of the depth that GEN would widen", () => {
  const weight = depthPenalty();
  for (const [c, expected] of [1, 0.98, 0.9604, 0.941192, 0.922368, 0.903921].entries())
    expect(weight(1, c)).toBeCloseTo(expected, 6);
  // GEN (0, 1) = .5 ties with CONT's prior .5 and widens; any penalty makes it descend.
  const tree = treeFrom([
    [-1, "A", 0],
    [-1, "A", 1],
  ]);
  expect(choose(tree, {})?.parent).toBe(root);
  expect(choose(tree, { genWeight: depthPenalty() })?.parent).toBe(1);
});

test("Beta refuses rewards outside [0, 1]; Gaussian takes them", async () => {
  const plan = { nodes: 3, participants: ["A"] };
  const outside: Expand<number, ParticipantAction> = async () => ({ status: "complete", state: 7 });
  const options = { expand: outside, value: itself, key: key(0) };
  await expect(search({ ...abMcts<number>(plan), ...options })).rejects.toMatchObject({
    code: "E_SEARCH_REWARD_RANGE",
  });
  const tree = await search({ ...abMcts<number>({ ...plan, posterior: gaussian() }), ...options });
  expect(tree.nodes).toHaveLength(3);
});

test("invariants of sampled trees, with several expansions in flight", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.nat(1e6),
        nodes: fc.integer({ min: 1, max: 24 }),
        concurrency: fc.integer({ min: 1, max: 6 }),
        strategy: fc.constantFrom("thompson" as const, "ucb" as const, "stack" as const),
        pending: fc.constantFrom("ignore" as const, "mean" as const, "loss" as const),
        posterior: fc.constantFrom(beta(), gaussian()),
      }),
      async ({ seed, nodes, concurrency, ...options }) => {
        const tree = await search({
          ...abMcts<number>({ nodes, participants: ["A", "B", "C"], ...options }),
          expand: async ({ index }) => {
            // Ends out of order.
            for (let i = 0; i < (index * 7 + seed) % 5; i++) await null;
            if ((index + seed) % 6 === 5) throw new Error("broken");
            return { status: "complete", state: (index + seed) % 2 };
          },
          value: itself,
          key: key(seed),
          concurrency,
        });
        checkInvariants(tree, nodes);
      },
    ),
    { numRuns: 60 },
  );
});

function checkInvariants(tree: TreeView<number, ParticipantAction>, nodes: number): void {
  expect(tree.nodes).toHaveLength(nodes);
  expect(tree.pending).toBe(0);
  const settled = tree.nodes.map((node) => (node.status === "pending" ? -1 : node.settled));
  expect([...settled].sort((a, b) => a - b)).toEqual(settled.map((_, i) => i));
  const complete = (list: readonly Node[]) => list.filter(({ status }) => status === "complete");
  const descendants = (index: number): Node[] =>
    tree.children(index).flatMap((child) => [tree.nodes[child]!, ...descendants(child)]);
  for (const { index, parent, depth } of tree.nodes) {
    expect(parent).toBeLessThan(index);
    expect(depth).toBe((tree.nodes[parent]?.depth ?? 0) + 1);
    if (parent !== root) expect(tree.nodes[parent]!.status).toBe("complete");
  }
  for (let index = root; index < nodes; index++) {
    const children = complete(tree.children(index).map((child) => tree.nodes[child]!));
    const all = complete(descendants(index));
    expect(tree.below(index).count).toBe(all.length);
    // CONT has seen #descendants − #children.
    const cont = children.reduce((sum, child) => sum + tree.below(child.index).count, 0);
    expect(cont).toBe(all.length - children.length);
    const values = all.map((node) => (node.status === "complete" ? node.value : Number.NaN));
    const sum = values.reduce((total, value) => total + value, 0);
    expect(tree.below(index).mean * values.length).toBeCloseTo(sum, 9);
  }
}
