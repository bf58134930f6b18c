/** @file What AB-MCTS has seen when it chooses (invariants ii and iii of the specification), and what pending nodes count for. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { key, Stream } from "../../src/random/stream.ts";
import { abMcts, type ParticipantAction, type PendingTreatment } from "../../src/search/ab-mcts.ts";
import type { Moments } from "../../src/search/moments.ts";
import { beta, type Posterior } from "../../src/search/posterior.ts";
import { search } from "../../src/search/search.ts";
import { root, Tree, type TreeView } from "../../src/search/tree.ts";

type View = TreeView<number, ParticipantAction>;
const participants = ["A", "B", "C"];

/** The Beta posterior, and the rewards behind each estimate that was asked of it. */
function recording(): { readonly posterior: Posterior; readonly asked: Moments[] } {
  const asked: Moments[] = [];
  const inner = beta();
  const sample = (moments: Moments, random: Stream) => {
    asked.push(moments);
    return inner.sample(moments, random);
  };
  return { posterior: { ...inner, sample }, asked };
}

const complete = (tree: View, index: number) =>
  tree.children(index).filter((child) => tree.nodes[child]!.status === "complete");

const descendants = (tree: View, index: number): number =>
  complete(tree, index).reduce((sum, child) => sum + 1 + descendants(tree, child), 0);

/** Estimates of a walk to `parent`, counted on the tree itself: GEN, CONT and the arms at each node, then who makes it. */
function expectedCounts(tree: View, parent: number): number[] {
  const path: number[] = [];
  for (let at = parent; at !== root; at = tree.nodes[at]!.parent) path.unshift(at);
  path.unshift(root);
  const counts = path.flatMap((at) => {
    const open = complete(tree, at);
    if (open.length === 0) return [];
    const own = [open.length, descendants(tree, at) - open.length];
    // One arm alone is not estimated.
    const descends = at !== parent && open.length > 1;
    return descends ? [...own, ...open.map((child) => 1 + descendants(tree, child))] : own;
  });
  const made = (name: string) =>
    tree.nodes.filter(({ status, action }) => status === "complete" && action.participant === name).length;
  return [...counts, ...participants.map(made)];
}

const trees = fc.record({
  seed: fc.nat(1e6),
  nodes: fc.integer({ min: 1, max: 24 }),
  concurrency: fc.integer({ min: 1, max: 5 }),
});

test("GEN has seen the children, CONT what is below them, an arm its subtree, participants every node", async () => {
  await fc.assert(
    fc.asyncProperty(trees, async ({ seed, nodes, concurrency }) => {
      const { posterior, asked } = recording();
      const plan = abMcts<number>({ nodes, participants, posterior });
      let walks = 0;
      const tree = await search<number, ParticipantAction>({
        nodes,
        select: (view, context) => {
          asked.length = 0;
          const choice = plan.select(view, context)!;
          const seen = asked.map(({ count }) => count);
          expect(seen).toEqual(expectedCounts(view, choice.parent));
          const all = seen.slice(-participants.length).reduce((sum, count) => sum + count, 0);
          expect(all).toBe(view.nodes.filter(({ status }) => status === "complete").length);
          walks++;
          return choice;
        },
        expand: async ({ index }) => {
          for (let i = 0; i < (index * 7 + seed) % 4; i++) await null;
          if ((index + seed) % 7 === 6) throw new Error("broken");
          return { status: "complete", state: (index * 3 + seed) % 2 };
        },
        value: (state) => state,
        key: key(seed),
        concurrency,
      });
      expect(walks).toBe(nodes);
      expect(tree.nodes.map(({ index }) => index)).toEqual(tree.nodes.map((_, i) => i));
    }),
    { numRuns: 60 },
  );
});

/** Random trees, some of whose nodes are still in flight. */
function halfGrown(seed: number, nodes: number, inFlight: boolean): View {
  const random = new Stream(key(seed, "half grown"));
  const tree = new Tree<number, ParticipantAction>();
  for (let i = 0; i < nodes; i++) {
    const open = tree.nodes.filter(({ status }) => status === "complete");
    const parent = random.uniform() < 0.4 || open.length === 0 ? root : random.pick(open).index;
    const { index } = tree.add(parent, { participant: random.pick(participants) });
    if (inFlight && random.uniform() < 0.4) continue;
    const value = random.uniform() < 0.5 ? 1 : 0;
    tree.settle(index, { status: "complete", state: value, value });
  }
  return tree;
}

const chosen = (tree: View, pending: PendingTreatment, seed: number) =>
  abMcts<number>({ nodes: 99, participants, pending }).select(tree, {
    index: tree.nodes.length,
    random: new Stream(key(seed, "choice")),
  });

test("nothing in flight: every treatment of pending nodes chooses alike", () => {
  fc.assert(
    fc.property(fc.nat(1e6), fc.integer({ min: 0, max: 20 }), (seed, nodes) => {
      const tree = halfGrown(seed, nodes, false);
      const ignored = chosen(tree, "ignore", seed);
      expect(chosen(tree, "mean", seed)).toEqual(ignored);
      expect(chosen(tree, "loss", seed)).toEqual(ignored);
    }),
  );
});

test("in flight: `mean` narrows a belief and moves it nowhere, a loss pulls it down", () => {
  let narrowed = 0;
  for (let seed = 0; seed < 200; seed++) {
    const tree = halfGrown(seed, 12, true);
    const open = complete(tree, root);
    if (open.length === 0) continue;
    // GEN and CONT of the root are what every choice asks for first.
    const beliefs = (pending: PendingTreatment) => {
      const { posterior, asked } = recording();
      const plan = abMcts<number>({ nodes: 99, participants, posterior, pending });
      plan.select(tree, { index: tree.nodes.length, random: new Stream(key(seed, "choice")) });
      return asked.slice(0, 2).map((moments) => ({ count: moments.count, mean: posterior.mean(moments) }));
    };
    const inChildren = tree.children(root).filter((child) => tree.nodes[child]!.status === "pending").length;
    const pending = [inChildren, tree.pending - inChildren];
    const [ignored, likely, lost] = [beliefs("ignore"), beliefs("mean"), beliefs("loss")];
    for (const [arm, { count, mean }] of ignored.entries()) {
      const more = count + pending[arm]!;
      expect([likely[arm]!.count, lost[arm]!.count]).toEqual([more, more]);
      expect(likely[arm]!.mean).toBeCloseTo(mean, 12);
      expect(lost[arm]!.mean).toBeCloseTo((mean * (count + 1)) / (more + 1), 12);
      narrowed += pending[arm]!;
    }
  }
  expect(narrowed).toBeGreaterThan(100);
});
