import { describe, expect, test } from "vitest";
import { key } from "../../src/random/stream.ts";
import { abMcts, type ParticipantAction } from "../../src/search/ab-mcts.ts";
import { bestOfN } from "../../src/search/best-of-n.ts";
import { searchScores, selectNode } from "../../src/search/metrics.ts";
import { type Expand, type SearchOptions, search } from "../../src/search/search.ts";
import { root, type SearchNode, Tree, treeOf, treeStatistics } from "../../src/search/tree.ts";
import { nodeLine, readTree, treeLines } from "../../src/search/tree-lines.ts";
import { Gate } from "../../src/workflow/gate.ts";

type Action = ParticipantAction;
type Options = SearchOptions<number, Action>;
const itself = (state: number) => state;
const coin: Expand<number, Action> = async ({ index }) => ({
  status: "complete",
  state: (index * 5) % 3 ? 0 : 1,
});
const plan = (nodes: number) => abMcts<number>({ nodes, participants: ["A", "B"] });
const options = (nodes: number, more: Partial<Options> = {}): Options => ({
  ...plan(nodes),
  expand: coin,
  value: itself,
  key: key(7),
  ...more,
});
const numbers = { write: itself, read: (value: unknown) => value as number };
const lines = (tree: Parameters<typeof treeLines<number, Action>>[0]) => treeLines(tree, numbers.write);
const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await null;
};

describe("failures are nodes", () => {
  const failing: Expand<number, Action> = async ({ index }) => {
    if (index === 1) throw new Error("no engine");
    if (index === 2)
      return { status: "failed", failure: { code: "E_MODEL", message: "late", boundary: "model" } };
    return { status: "complete", state: index === 3 ? Number.NaN : 0.5 };
  };

  test("thrown, returned, and without a value; the tree goes on and counts them", async () => {
    const tree = await search(options(6, { expand: failing }));
    expect(tree.nodes.map(({ status }) => status)).toEqual([
      "complete",
      "failed",
      "failed",
      "failed",
      "complete",
      "complete",
    ]);
    expect(tree.nodes.flatMap((node) => (node.status === "failed" ? [node.failure] : []))).toEqual([
      { code: "E_EXPAND_THREW", message: "Node 1: no engine" },
      { code: "E_MODEL", message: "late", boundary: "model" },
      {
        code: "E_NODE_VALUE",
        message: "Node 3 has the value NaN; a value is a finite number.",
        hint: expect.stringContaining("throw"),
      },
    ]);
    expect(tree.below(root)).toEqual({ count: 3, mean: 0.5, squares: 0 });
    expect(treeStatistics(tree)).toMatchObject({
      nodes: 6,
      complete: 3,
      failed: 3,
      pending: 0,
      best: 0.5,
      failures: { E_EXPAND_THREW: 1, E_MODEL: 1, E_NODE_VALUE: 1 },
    });
  });

  test("a value function that throws fails its node, which keeps what it holds", async () => {
    const tree = await search(
      options(2, {
        value: (state, { index }) => {
          if (index === 0) throw new Error("no judge");
          return state;
        },
      }),
    );
    expect(tree.nodes[0]).toMatchObject({
      status: "failed",
      state: 1,
      failure: { code: "E_NODE_VALUE", message: "Node 0: no judge" },
    });
  });

  test("a tree without an answer has no scores", async () => {
    const tree = await search(
      options(2, {
        expand: async () => {
          throw new Error("down");
        },
      }),
    );
    expect(() => selectNode(tree)).toThrow(
      /None of the tree's 2 nodes is complete; they failed with E_EXPAND_THREW/,
    );
  });

  test("bugs of the plan and of the listener end the search", async () => {
    const select = () => ({ parent: 5, action: { participant: "A" } });
    await expect(search(options(2, { select }))).rejects.toMatchObject({ code: "E_SEARCH_PARENT" });
    const onNode = ({ status }: SearchNode<number, Action>) => {
      if (status === "complete") throw new Error("disk full");
    };
    await expect(search(options(9, { onNode, concurrency: 4 }))).rejects.toThrow("disk full");
    await expect(search(options(0))).rejects.toMatchObject({ code: "E_SEARCH_OPTION" });
    await expect(search(options(2, { concurrency: 1.5 }))).rejects.toMatchObject({ code: "E_SEARCH_OPTION" });
  });
});

test("each selection has random numbers of its own, named by the key and the index", async () => {
  const drawn = async (seed: number) => {
    const uniforms: number[] = [];
    await search(
      options(5, {
        key: key(seed),
        select: (_, { random }) => {
          uniforms.push(random.uniform());
          return { parent: root, action: { participant: "A" } };
        },
      }),
    );
    return uniforms;
  };
  const first = await drawn(1);
  expect(new Set(first).size).toBe(5);
  expect(await drawn(1)).toEqual(first);
  expect(await drawn(2)).not.toEqual(first);
});

describe("several expansions in flight", () => {
  test("as many as asked for, and the budget exactly", async () => {
    let inside = 0;
    let most = 0;
    const expand: Expand<number, Action> = async ({ index }) => {
      most = Math.max(most, ++inside);
      await turns((index * 3) % 7);
      inside--;
      return { status: "complete", state: index % 2 };
    };
    const tree = await search(options(20, { expand, concurrency: 4 }));
    expect(tree.nodes).toHaveLength(20);
    expect(most).toBe(4);
    most = 0;
    await search(options(20, { expand }));
    expect(most).toBe(1);
  });

  test("256 trees at once share a gate, stay apart, and equal trees grown alone", async () => {
    const gate = new Gate("expansions", 32);
    let most = 0;
    const expand: Expand<number, Action> = async ({ index }) => {
      most = Math.max(most, gate.inside);
      await turns(index % 3);
      return { status: "complete", state: (index * 5) % 3 ? 0 : 1 };
    };
    const grow = (tree: number, more: Partial<Options> = {}) =>
      search(options(16, { expand, key: key(7, tree), ...more }));
    const trees = await Promise.all(Array.from({ length: 256 }, (_, tree) => grow(tree, { gate })));
    expect(most).toBe(32);
    expect(gate.inside).toBe(0);
    expect(new Set(trees.map(lines)).size).toBeGreaterThan(100);
    expect(lines(trees[200]!)).toBe(lines(await grow(200)));
  });
});

describe("a search that was stopped", () => {
  test.each([1, 3])("goes on from its lines to the same tree (%i in flight)", async (concurrency) => {
    const whole = await search(options(24, { concurrency }));
    let journal = "";
    const stop = new AbortController();
    const partial = await search(
      options(24, {
        concurrency,
        signal: stop.signal,
        onNode: (node) => {
          journal += `${nodeLine(node, numbers.write)}\n`;
          if (node.index === 9 && node.status === "complete") stop.abort();
        },
      }),
    );
    expect(partial.nodes.length).toBeLessThan(24);
    // Torn in the middle of a line, as by a power cut.
    const torn = `${journal}{"schema":"troupe.tree/1","ind`;
    const tree = readTree<number, Action>(torn, numbers.read);
    expect(lines(tree)).toBe(lines(partial));
    const resumed = await search(options(24, { concurrency, tree }));
    if (concurrency === 1) expect(lines(resumed)).toBe(lines(whole));
    expect(resumed.nodes).toHaveLength(24);
    expect(resumed.nodes.slice(0, 9)).toEqual(partial.nodes.slice(0, 9));
    expect(tree.nodes.length).toBe(partial.nodes.length);
  });

  test("nodes that were in flight are made again, under their old index and action", async () => {
    const tree = new Tree<number, Action>();
    tree.add(root, { participant: "A" });
    tree.settle(tree.add(root, { participant: "B" }).index, { status: "complete", state: 1, value: 1 });
    const asked: unknown[] = [];
    const resumed = await search(
      options(3, {
        tree,
        expand: async ({ index, action }) => {
          asked.push([index, action.participant]);
          return { status: "complete", state: 0 };
        },
      }),
    );
    expect(asked[0]).toEqual([0, "A"]);
    expect(asked).toHaveLength(2);
    expect(resumed.pending).toBe(0);
    expect(tree.pending).toBe(1);
  });

  test("an expansion that was cancelled leaves its node pending", async () => {
    const stop = new AbortController();
    const tree = await search(
      options(5, {
        signal: stop.signal,
        expand: async ({ index, signal }) => {
          if (index < 2) return { status: "complete", state: 0 };
          stop.abort();
          signal?.throwIfAborted();
          return { status: "cancelled" };
        },
      }),
    );
    expect(tree.nodes.map(({ status }) => status)).toEqual(["complete", "complete", "pending"]);
  });

  test("the 12-node tree cut after every line goes on to the same tree", async () => {
    let journal: string[] = [];
    const whole = await search(
      options(12, { onNode: (node) => journal.push(nodeLine(node, numbers.write)) }),
    );
    const all = journal;
    for (let cut = 0; cut <= all.length; cut++) {
      journal = [];
      const tree = readTree<number, Action>(all.slice(0, cut).join("\n"), numbers.read);
      expect(lines(await search(options(12, { tree })))).toBe(lines(whole));
    }
  });
});

describe("trees that are none", () => {
  const node = (index: number, parent: number, settled: number) =>
    ({ index, parent, depth: 1, action: null, status: "complete", state: 0, value: 0, settled }) as const;

  test.each([
    ["an index is missing", [node(0, -1, 0), node(2, -1, 1)], /has node 2 where 1 should be/],
    ["a parent comes later", [node(0, 1, 0), node(1, -1, 1)], /has node 0 under node 1/],
    ["the settling is no permutation", [node(0, -1, 0), node(1, -1, 0)], /settled as number 1/],
    ["a child settled before its parent", [node(0, -1, 1), node(1, 0, 0)], /node 0, which is pending/],
  ])("%s", (_, nodes, message) => expect(() => treeOf(nodes)).toThrow(message));

  test.each([
    ["[1]\n[2]\n", /has schema null/],
    ['{"schema":"troupe.tree/2"}\n', /this version reads troupe.tree\/1/],
    ["not json\n{}\n", /Line 1 is not JSON/],
    ['{"schema":"troupe.tree/1","index":1,"parent":-1,"status":"pending"}', /no node 0/],
    ['{"schema":"troupe.tree/1","index":0,"parent":-1,"status":"done"}', /has status "done"/],
    ['{"schema":"troupe.tree/1","index":"0"}', /has index "0"/],
    ['{"schema":"troupe.tree/1","index":0,"parent":-1,"status":"complete","settled":0}', /value undefined/],
  ])("the lines %j", (text, message) => expect(() => readTree(text, numbers.read)).toThrow(message));

  test("a node ends once", () => {
    const tree = new Tree<number, null>();
    tree.add(root, null);
    tree.settle(0, { status: "complete", state: 0, value: 0 });
    expect(() => tree.settle(0, { status: "complete", state: 0, value: 0 })).toThrow(/already complete/);
    expect(() => tree.settle(1, { status: "complete", state: 0, value: 0 })).toThrow(/does not exist/);
  });
});

describe("metrics", () => {
  const grow = (values: readonly number[]) =>
    search({
      ...bestOfN<number>(values.length),
      expand: async ({ index }) => ({ status: "complete", state: index }),
      value: (state) => values[state]!,
      key: key(0),
    });

  test("the public score selects, ties go to the latest node", async () => {
    const tree = await grow([0, 1, 1, 0]);
    expect(selectNode(tree).index).toBe(2);
    expect(tree.nodes.every(({ parent, depth }) => parent === root && depth === 1)).toBe(true);
  });

  test("hidden tests only judge", async () => {
    const tree = await grow([0, 1, 1, 0]);
    expect(searchScores(tree, (state) => state === 1)).toEqual({
      pass1: false,
      passSearch: false,
      passN: true,
      complete: 4,
      failed: 0,
      selected: 2,
    });
  });

  test("a reward model ranks those that tie for the best", async () => {
    const tree = await grow([0, 1, 1, 0]);
    const rank = (state: number) => [9, 5, 1, 9][state]!;
    expect(selectNode(tree, { rank }).index).toBe(1);
    expect(() => selectNode(tree, { score: () => Number.NaN })).toThrow(/score or rank NaN/);
  });
});
