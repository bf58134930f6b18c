import { describe, expect, test } from "vitest";
import type { AnyPolicy } from "../../src/engine/policy.ts";
import { key } from "../../src/random/stream.ts";
import { episodeValue, expandEpisodes, ownCalls } from "../../src/search/episodes.ts";
import { type MarsSearch, type MarsSearchOptions, marsSearch } from "../../src/search/mars2-search.ts";
import { gaussian } from "../../src/search/posterior.ts";
import { search } from "../../src/search/search.ts";
import { root } from "../../src/search/tree.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";

interface Attempt {
  readonly attempts: number;
}

const words = ["go", "red", "green", "blue"];
const coder = agent("coder", { prompt: () => "go", maxTokens: 2 });
const critic = agent("critic", { prompt: (v: { text: string }) => `go ${v.text}`, maxTokens: 1 });

/** Each attempt is written and criticised; the last one counts. */
const solve = workflow(
  "solve",
  { agents: { coder, critic }, task: taskOf<Attempt>() },
  async ({ task, agents, reward }) => {
    let text = "";
    for (let i = 0; i < task.attempts; i++) {
      text = (await agents.coder()).text;
      await agents.critic({ text });
    }
    reward(text.includes("red") ? 1 : 0);
    return text;
  },
);

async function opened(...names: readonly string[]): Promise<ReadonlyMap<string, AnyPolicy>> {
  const all = await Promise.all(names.map((name) => tabularPolicy({ words }).open({ name, seed: 0 })));
  return new Map(all.map((policy) => [policy.name, policy]));
}

const more = (task: Attempt) => ({ attempts: task.attempts + 1 });
const bySmallAndLarge = (options: Partial<MarsSearchOptions<Attempt>> = {}) =>
  marsSearch<Attempt>({
    policies: ["small", "large"],
    agents: ["coder"],
    more,
    ...options,
  } as MarsSearchOptions<Attempt>);

async function grow({ plan, assign, branch, concurrency }: MarsSearch<Attempt>, fallback = "small") {
  const policies = await opened("small", "large");
  return search({
    ...plan(),
    expand: expandEpisodes<Attempt, { readonly participant: string }>({
      workflow: solve,
      task: { attempts: 1 },
      policies,
      assignment: (action) =>
        new Map(Object.entries({ coder: fallback, critic: fallback, ...assign?.(action) })),
      branch,
      stage: "train",
      identity: { purpose: "train", step: 1, group: 0, task: 0 },
      seed: 3,
    }),
    value: episodeValue,
    key: key(3, "search"),
    concurrency,
  });
}

describe("trees of whole attempts by several policies", () => {
  test("8 nodes; each goes on from its parent's end; its maker answers for the agents that it plays", async () => {
    const tree = await grow(bySmallAndLarge());
    expect(tree.nodes).toHaveLength(8);
    expect(tree.nodes.some(({ parent }) => parent !== root)).toBe(true);
    for (const node of tree.nodes) {
      if (node.status !== "complete") throw new Error("no node fails here");
      expect(node.state.calls).toHaveLength(2 * node.depth);
      const own = ownCalls(tree, node);
      expect(own.map(({ agent: name }) => name)).toEqual(["coder", "critic"]);
      expect(own.map(({ policy }) => policy)).toEqual([node.action.participant, "small"]);
    }
    // Both make nodes; over the tree each call is somebody's exactly once.
    expect(new Set(tree.nodes.map(({ action }) => action.participant)).size).toBe(2);
  });

  test("teams with who plays whom", async () => {
    const teams = {
      mixed: { coder: "large", critic: "small" },
      large: { coder: "large", critic: "large" },
    };
    const tree = await grow(marsSearch<Attempt>({ teams, more, nodes: 5 }));
    expect(tree.nodes).toHaveLength(5);
    for (const node of tree.nodes) {
      if (node.status !== "complete") throw new Error("no node fails here");
      const own = ownCalls(tree, node).map(({ policy }) => policy);
      expect(own).toEqual(node.action.participant === "mixed" ? ["large", "small"] : ["large", "large"]);
    }
  });

  test("names of the run's own teams: participants, and nobody is assigned here", () => {
    const made = marsSearch<Attempt>({ teams: ["a", "b"], more });
    expect(made.assign).toBeUndefined();
    expect(made.settings).toMatchObject({ participants: ["a", "b"] });
  });

  test("one policy: a tree of its own, and the choice of who takes no random number", async () => {
    const alone = marsSearch<Attempt>({ policies: ["small"], agents: ["coder", "critic"], more });
    const tree = await grow(alone);
    expect(new Set(tree.nodes.map(({ action }) => action.participant))).toEqual(new Set(["small"]));
  });

  test("`more` hears who goes on", async () => {
    const heard: string[] = [];
    await grow(
      bySmallAndLarge({
        more: (task, { participant }) => {
          heard.push(participant);
          return more(task);
        },
      }),
    );
    expect(heard.length).toBeGreaterThan(0);
    expect(["small", "large"]).toContain(heard[0]);
  });
});

test("each plan is a new one, and the record says what was searched", () => {
  const made = bySmallAndLarge({ strategy: "stack", posterior: gaussian(), nodes: 16, concurrency: 2 });
  expect(made.plan()).not.toBe(made.plan());
  expect(made.plan().nodes).toBe(16);
  expect(made.concurrency).toBe(2);
  expect(made.settings).toEqual({
    name: "mars2",
    nodes: 16,
    participants: ["small", "large"],
    strategy: "stack",
    posterior: "gaussian",
    estimate: "sample",
    pending: "ignore",
    agents: ["coder"],
  });
  expect(bySmallAndLarge().settings).toMatchObject({ nodes: 8, strategy: "thompson", posterior: "beta" });
});

test("no participant, one twice, or no agent is refused at once", () => {
  const code = expect.objectContaining({ code: "E_SEARCH_OPTION" });
  expect(() => marsSearch<Attempt>({ policies: [], agents: ["coder"], more })).toThrowError(code);
  expect(() => marsSearch<Attempt>({ policies: ["a", "a"], agents: ["coder"], more })).toThrowError(code);
  expect(() => marsSearch<Attempt>({ policies: ["a"], agents: [], more })).toThrowError(code);
  expect(() => marsSearch<Attempt>({ teams: {}, more })).toThrowError(code);
});
