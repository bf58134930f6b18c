/** @file Every sampler, with nodes that fail in every way at random places: trees stay trees, and go on after a kill. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { key, Stream } from "../../src/random/stream.ts";
import { abMcts } from "../../src/search/ab-mcts.ts";
import { bestOfN } from "../../src/search/best-of-n.ts";
import { c3po } from "../../src/search/c3po.ts";
import { optima } from "../../src/search/optima-pairs.ts";
import { gaussian } from "../../src/search/posterior.ts";
import { type SearchPlan, search } from "../../src/search/search.ts";
import { root, type TreeView, treeStatistics } from "../../src/search/tree.ts";
import { treeGrpo } from "../../src/search/tree-grpo.ts";
import { nodeLine, readTree, treeLines } from "../../src/search/tree-lines.ts";
import { treeRpo } from "../../src/search/tree-rpo.ts";

type Chain = readonly string[];
type Grown = TreeView<Chain, unknown>;

interface Run {
  readonly seed: number;
  /** Share of nodes that fail. */
  readonly failing: number;
  readonly concurrency: number;
  /** Lines of a search that was killed. */
  readonly from?: string;
  readonly journal?: (line: string) => void;
}

const ways = ["throws", "fails", "value throws", "no value"] as const;

/** What becomes of a node follows from the seed and its index, so that a resumed search meets the same. */
function fate({ seed, failing }: Run, index: number): (typeof ways)[number] | "complete" {
  const random = new Stream(key(seed, "fate", index));
  return random.uniform() < failing ? random.pick(ways) : "complete";
}

const turns = (chain: Chain) => chain.length;
const text = (chain: Chain, turn: number) => chain[turn]!;
const write = (chain: Chain) => chain;
const read = (value: unknown) => value as Chain;

/** Chains of three turns, named after the node that said them. */
function sampler<Action>(plan: SearchPlan<Chain, Action>) {
  return (run: Run): Promise<Grown> =>
    search<Chain, Action>({
      ...plan,
      expand: async ({ index, action, parent }) => {
        for (let i = 0; i < (index * 7 + run.seed) % 5; i++) await null;
        const { at = 0, edit } = action as { readonly at?: number; readonly edit?: string };
        const kept = parent?.state.slice(0, at) ?? [];
        const own = [...kept, ...["x", "y", "z"].slice(kept.length).map((letter) => `${letter}${index}`)];
        if (edit !== undefined) own[at] = edit;
        const what = fate(run, index);
        if (what === "throws") throw new Error("no engine");
        if (what === "fails")
          return { status: "failed", failure: { code: "E_MODEL", message: "late" }, state: own.slice(0, 1) };
        return { status: "complete", state: own };
      },
      value: (_, { index }) => {
        const what = fate(run, index);
        if (what === "value throws") throw new Error("no judge");
        return what === "no value" ? Number.NaN : (index * 5 + run.seed) % 2;
      },
      key: key(run.seed, "search"),
      concurrency: run.concurrency,
      ...(run.from === undefined ? {} : { tree: readTree<Chain, Action>(run.from, read) }),
      onNode: (node) => run.journal?.(nodeLine(node, write)),
    });
}

const participants = ["A", "B", "C"];
const whoeverEndsFirst = {
  "AB-MCTS": sampler(abMcts<Chain>({ nodes: 18, participants })),
  "AB-MCTS, UCB": sampler(abMcts<Chain>({ nodes: 18, participants, strategy: "ucb", pending: "loss" })),
  "AB-MCTS, stack": sampler(
    abMcts<Chain>({ nodes: 18, participants, strategy: "stack", posterior: gaussian(), pending: "mean" }),
  ),
};
/** They wait where a choice depends on what is in flight. */
const anyOrder = {
  "best of N": sampler(bestOfN<Chain>(9)),
  "Tree-GRPO": sampler(treeGrpo<Chain>({ trees: 2, expansions: 3, rounds: 2, turns })),
  TreeRPO: sampler(treeRpo<Chain>({ samples: 2, depth: 3, turns })),
  Optima: sampler(optima<Chain>({ iterations: 4, turns, text })),
};
const all = Object.entries({
  ...whoeverEndsFirst,
  ...anyOrder,
  "C-3PO": sampler(c3po<Chain>({ strategies: ["p", "q"], nodes: 14, turns })),
});

const runs = fc.record({
  seed: fc.nat(1e6),
  failing: fc.constantFrom(0, 0.1, 0.4, 0.8),
  concurrency: fc.integer({ min: 1, max: 6 }),
});

function checkTree(tree: Grown, run: Run): void {
  expect(tree.pending).toBe(0);
  const order = tree.nodes.map((node) => (node.status === "pending" ? -1 : node.settled));
  expect([...order].sort((a, b) => a - b)).toEqual(order.map((_, i) => i));
  for (const node of tree.nodes) {
    const { index, parent, status } = node;
    expect(status).toBe(fate(run, index) === "complete" ? "complete" : "failed");
    expect(parent).toBeLessThan(index);
    if (parent !== root) expect(tree.nodes[parent]!.status).toBe("complete");
    if (status === "failed") expect(tree.children(index)).toEqual([]);
    if (status === "failed") expect(node.failure.code).toMatch(/^E_(EXPAND_THREW|MODEL|NODE_VALUE)$/);
  }
  const { complete, failed, failures } = treeStatistics(tree);
  expect(complete + failed).toBe(tree.nodes.length);
  expect(Object.values(failures).reduce((sum, count) => sum + count, 0)).toBe(failed);
  expect(tree.below(root).count).toBe(complete);
  expect(treeLines(readTree<Chain, unknown>(treeLines(tree, write), read), write)).toBe(
    treeLines(tree, write),
  );
}

const outline = (tree: Grown) => tree.nodes.map(({ parent, action, status }) => [parent, action, status]);

describe.each(all)("%s", (_, grow) => {
  test("failures of single nodes leave a tree", async () => {
    await fc.assert(
      fc.asyncProperty(runs, async (run) => checkTree(await grow(run), run)),
      { numRuns: 15 },
    );
  });

  test("killed after any line, torn ones too: with one in flight it goes on to the same tree", async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.nat(99), fc.nat(60), async (some, at, torn) => {
        const run = { ...some, concurrency: 1 };
        const lines: string[] = [];
        const whole = await grow({ ...run, journal: (line) => lines.push(line) });
        const cut = at % (lines.length + 1);
        const rest = (lines[cut] ?? "").slice(0, torn);
        const from = `${lines
          .slice(0, cut)
          .map((line) => `${line}\n`)
          .join("")}${rest}`;
        expect(treeLines(await grow({ ...run, from }), write)).toBe(treeLines(whole, write));
      }),
      { numRuns: 12 },
    );
  });

  test("killed with several in flight: what had ended stays as it was, and the rest is made", async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.nat(99), async (run, at) => {
        const lines: string[] = [];
        await grow({ ...run, journal: (line) => lines.push(line) });
        const from = lines.slice(0, at % (lines.length + 1)).join("\n");
        const before = readTree<Chain, unknown>(from, read);
        const resumed = await grow({ ...run, from });
        checkTree(resumed, run);
        for (const node of before.nodes) {
          const now = resumed.nodes[node.index]!;
          if (node.status === "pending") expect([now.parent, now.action]).toEqual([node.parent, node.action]);
          else expect(now).toEqual(node);
        }
      }),
      { numRuns: 12 },
    );
  });
});

test.each(Object.entries(anyOrder))(
  "%s: the same tree with any number in flight, killed or not",
  async (_, grow) => {
    await fc.assert(
      fc.asyncProperty(runs, fc.nat(99), async (run, at) => {
        const lines: string[] = [];
        const alone = await grow({ ...run, concurrency: 1 });
        const several = await grow({ ...run, journal: (line) => lines.push(line) });
        expect(outline(several)).toEqual(outline(alone));
        const from = lines.slice(0, at % (lines.length + 1)).join("\n");
        expect(outline(await grow({ ...run, from }))).toEqual(outline(alone));
      }),
      { numRuns: 12 },
    );
  },
);
