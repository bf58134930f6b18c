import { describe, expect, test } from "vitest";
import type { AnyPolicy } from "../../src/engine/policy.ts";
import { bootstrapIntervals } from "../../src/random/bootstrap.ts";
import { key } from "../../src/random/stream.ts";
import { bestOfN } from "../../src/search/best-of-n.ts";
import { type EvaluateSearchOptions, evaluateSearch } from "../../src/search/evaluate-search.ts";
import { marsSearch } from "../../src/search/mars2-search.ts";
import { tPlus } from "../../src/search/t-plus.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { agent } from "../../src/workflow/agent.ts";
import { Gate } from "../../src/workflow/gate.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { workflow } from "../../src/workflow/workflow.ts";

interface Puzzle {
  readonly name: string;
  readonly attempts: number;
  readonly secret?: string;
}

const coder = agent("coder", { prompt: (v: { name: string; before: string }) => `${v.name} ${v.before}` });

/** Every attempt adds a letter. Public score: the share of three letters. */
const solve = workflow(
  "solve",
  { agents: { coder }, task: taskOf<Puzzle>() },
  async ({ task, agents, reward }) => {
    let text = "";
    for (let i = 0; i < task.attempts; i++)
      text = (await agents.coder({ name: task.name, before: text })).text;
    reward(Math.min(1, text.length / 3));
    return text;
  },
);

async function opened(...names: readonly string[]): Promise<ReadonlyMap<string, AnyPolicy>> {
  const all = await Promise.all(
    names.map((name) =>
      scriptedPolicy({
        answer: (prompt) => {
          if (prompt.startsWith("broken")) throw new Error("no engine");
          return `${prompt.split(" ").at(-1)}${name.at(-1)}`;
        },
      }).open({ name, seed: 0 }),
    ),
  );
  return new Map(all.map((policy) => [policy.name, policy]));
}

const tasks = ["one", "two", "three", "four"].map((name) => ({ name, attempts: 1 }));
const result = ({ result: text }: Trajectory) => String(text);
const run = async (options: Partial<EvaluateSearchOptions<Puzzle>> = {}) =>
  evaluateSearch<Puzzle>({
    workflow: solve,
    tasks,
    policies: await opened("a", "b"),
    search: marsSearch<Puzzle>({
      policies: ["a", "b"],
      agents: ["coder"],
      nodes: 10,
      more: (task) => ({ ...task, attempts: task.attempts + 1 }),
    }),
    hidden: (episode) => result(episode).length >= 2,
    seed: 2,
    ...options,
  });

describe("the three scores", () => {
  test("of whole trees, with counts, intervals and tokens", async () => {
    const { metrics, n, failed, cancelled, nodes, tokens, trees } = await run();
    expect({ n, failed, cancelled }).toEqual({ n: 4, failed: 0, cancelled: 0 });
    expect(nodes).toEqual({ nodes: 40, complete: 40, failed: 0, failures: {} });
    // A first attempt has one letter; ten nodes reach two, and the search sees that they do.
    expect(metrics["pass@1"]).toEqual({ mean: 0, passed: 0, n: 4, interval: [0, 0] });
    expect(metrics["pass@N"]).toEqual({ mean: 1, passed: 4, n: 4, interval: [1, 1] });
    expect(metrics["pass@1 (search)"]).toMatchObject({ passed: 4 });
    const counted = trees.flatMap(({ tree }) =>
      tree.nodes.map((node) => (node.status === "complete" ? node.state.calls.at(-1)!.output.length : 0)),
    );
    expect(counted.every((count) => count > 0)).toBe(true);
    expect(tokens).toBe(counted.reduce((sum, count) => sum + count, 0));
    expect(trees.map(({ task }) => task)).toEqual([0, 1, 2, 3]);
  });

  test("hidden tests that the public ones do not foresee: Pass@N above Pass@1 (search)", async () => {
    const { metrics } = await run({ hidden: (episode) => result(episode).length === 1 });
    expect(metrics["pass@N"]!.mean).toBe(1);
    expect(metrics["pass@1 (search)"]!.mean).toBe(0);
  });

  test("intervals are bootstrapped over tasks", async () => {
    const { metrics } = await run({ hidden: (_, { name }) => name === "one" });
    const [interval] = bootstrapIntervals([[1, 0, 0, 0]], key(2, "bootstrap", "search"));
    for (const name of ["pass@1", "pass@1 (search)", "pass@N"] as const)
      expect(metrics[name]).toEqual({ mean: 0.25, passed: 1, n: 4, interval });
    expect(interval![1]).toBeGreaterThan(0.25);
  });

  test("the same seed, the same trees, however many at once; another purpose, others", async () => {
    const shapes = async (options: Partial<EvaluateSearchOptions<Puzzle>>) =>
      (await run(options)).trees.map(({ tree }) => tree.nodes.map(({ parent, action }) => [parent, action]));
    const alone = await shapes({ concurrency: 1 });
    expect(await shapes({ concurrency: 4 })).toEqual(alone);
    expect(await shapes({ purpose: "other" })).not.toEqual(alone);
    expect(await shapes({ seed: 5 })).not.toEqual(alone);
  });

  test("another public score, and another way to choose", async () => {
    const fewest = await run({ value: (episode) => 1 / (1 + result(episode).length) });
    expect(fewest.metrics["pass@1 (search)"]!.mean).toBe(0);
    const plan = () => tPlus<Trajectory>({ participants: ["a", "b"], nodes: 12, rank: ranked });
    const ranked = (episode: Trajectory) => -result(episode).length;
    const { best } = plan();
    const { trees } = await run({
      search: {
        ...marsSearch<Puzzle>({
          policies: ["a", "b"],
          agents: ["coder"],
          more: (task) => ({ ...task, attempts: task.attempts + 1 }),
        }),
        plan,
      },
      best,
    });
    for (const tree of trees) {
      if (tree.status !== "complete") throw new Error("no tree fails here");
      const chosen = tree.tree.nodes[tree.scores.selected]!;
      expect(chosen.status === "complete" && result(chosen.state)).toHaveLength(3);
    }
  });
});

test("hidden tests are asked when the tree is finished, once a complete node, and reach no prompt", async () => {
  const heard: string[] = [];
  const secrets = tasks.map((task) => ({ ...task, secret: `secret of ${task.name}` }));
  const { trees } = await run({
    tasks: secrets,
    concurrency: 1,
    value: (episode) => {
      heard.push(`public ${(episode.task as Puzzle).name}`);
      return 0.5;
    },
    hidden: async (_, { name, secret }) => {
      await null;
      heard.push(`hidden ${name} ${secret}`);
      return true;
    },
  });
  expect(heard).toEqual(
    secrets.flatMap(({ name, secret }) => [
      ...new Array(10).fill(`public ${name}`),
      ...new Array(10).fill(`hidden ${name} ${secret}`),
    ]),
  );
  const prompts = JSON.stringify(
    trees.map(({ tree }) =>
      tree.nodes.map((node) => node.status === "complete" && node.state.calls.map(({ input }) => input)),
    ),
  );
  expect(prompts).not.toContain("secret");
});

describe("trees that fail are counted, and never a 0", () => {
  const some = [tasks[0]!, { name: "broken", attempts: 1 }, tasks[1]!];

  test("no node is complete", async () => {
    const asked: string[] = [];
    const outcome = await run({
      tasks: some,
      hidden: (_, { name }) => {
        asked.push(name);
        return true;
      },
    });
    expect(outcome).toMatchObject({ n: 2, failed: 1, failures: { E_SEARCH_EMPTY: 1 } });
    expect(outcome.metrics["pass@N"]).toMatchObject({ mean: 1, passed: 2, n: 2 });
    expect(outcome.trees[1]).toMatchObject({ status: "failed", task: 1, tokens: 0 });
    expect(outcome.nodes).toMatchObject({ nodes: 30, complete: 20, failed: 10 });
    expect(asked).not.toContain("broken");
  });

  test("all trees: no metric at all", async () => {
    const outcome = await run({ tasks: [some[1]!, some[1]!] });
    expect(outcome).toMatchObject({ n: 0, failed: 2, metrics: {} });
  });

  test("node 0 failed: its tree is in the other two", async () => {
    let first = true;
    const { metrics, n } = await run({
      concurrency: 1,
      value: () => {
        if (!first) return 0.5;
        first = false;
        throw new Error("no score");
      },
      hidden: () => true,
    });
    expect(n).toBe(4);
    expect(metrics["pass@1"]!.n).toBe(3);
    expect(metrics["pass@N"]!.n).toBe(4);
  });

  test("hidden tests that cannot be run, and that say neither yes nor no", async () => {
    const down = await run({
      hidden: (_, { name }) => {
        if (name === "two") throw new Error("sandbox is down");
        return true;
      },
    });
    expect(down).toMatchObject({ n: 3, failed: 1, failures: { E_HIDDEN_SCORE: 1 } });
    expect(down.trees[1]).toMatchObject({
      failure: { message: "The hidden tests could not be run on node 0: sandbox is down." },
    });
    const half = await run({ hidden: () => 0.5 as never });
    expect(half).toMatchObject({ n: 0, failed: 4, failures: { E_HIDDEN_SCORE: 4 } });
  });

  test("no node can be chosen, or one of another tree is", async () => {
    const { trees } = await run();
    const other = trees[0]!.tree.nodes[0]!;
    const best = () => {
      if (other.status !== "complete") throw new Error("it is complete");
      return other;
    };
    expect((await run({ best })).failures).toEqual({ E_SEARCH_BEST: 4 });
    const down = async () => {
      throw new Error("the judge is down");
    };
    expect((await run({ best: down })).trees[3]).toMatchObject({
      failure: {
        code: "E_SEARCH_BEST",
        message: "The node to hand out could not be chosen: the judge is down.",
      },
    });
  });

  test("a plan that is wrong is no failed tree", async () => {
    const plan = () => ({ nodes: 3, select: () => ({ parent: 7, action: { at: 0 } }) });
    await expect(run({ search: { plan } })).rejects.toMatchObject({ code: "E_SEARCH_PARENT" });
    // The other trees stop, too.
    let plans = 0;
    let valued = 0;
    const oneWrong = () => (plans++ === 0 ? plan() : bestOfN<Trajectory>(2000));
    const value = () => {
      valued++;
      return 0.5;
    };
    await expect(
      run({ search: { plan: oneWrong }, assign: { coder: "a" }, concurrency: 4, value }),
    ).rejects.toThrow();
    const before = valued;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(valued).toBeLessThan(before + 10);
    await expect(run({ concurrency: 0 })).rejects.toMatchObject({ code: "E_SEARCH_OPTION" });
  });
});

test("stopped: no hidden test is asked of what is left", async () => {
  const stop = new AbortController();
  const heard: string[] = [];
  const outcome = await run({
    concurrency: 1,
    signal: stop.signal,
    onTree: ({ status, task }) => {
      heard.push(`${task} ${status}`);
      if (task === 1) stop.abort();
    },
  });
  expect(heard).toEqual(["0 complete", "1 complete", "2 cancelled", "3 cancelled"]);
  expect(outcome).toMatchObject({ n: 2, failed: 0, cancelled: 2 });
});

test("one policy alone needs no assignment; any sampler is a search; every expansion passes the gate", async () => {
  const gate = new Gate("expansions", 3);
  const enter = gate.enter.bind(gate);
  let entered = 0;
  let most = 0;
  gate.enter = (go) => {
    entered++;
    enter(() => {
      most = Math.max(most, gate.inside);
      go();
    });
  };
  const { metrics, nodes, trees } = await run({
    policies: await opened("a"),
    search: { plan: () => bestOfN<Trajectory>(4), concurrency: 4 },
    concurrency: 4,
    gate,
    hidden: (episode) => result(episode) === "a",
  });
  expect({ entered, most }).toEqual({ entered: 16, most: 3 });
  const ids = trees.flatMap(({ tree }) =>
    tree.nodes.map((node) => (node.status === "complete" ? node.state.id : "")),
  );
  expect(new Set(ids).size).toBe(16);
  expect(nodes.nodes).toBe(16);
  expect(metrics["pass@1"]!.mean).toBe(1);
  const given = await run({
    policies: await opened("a", "b"),
    search: { plan: () => bestOfN<Trajectory>(1) },
    assign: { coder: "b" },
    hidden: (episode) => result(episode) === "b",
  });
  expect(given.metrics["pass@1"]!.mean).toBe(1);
});
