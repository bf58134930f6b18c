import { describe, expect, test } from "vitest";
import type { AnyPolicy } from "../../src/engine/policy.ts";
import { leafMeans } from "../../src/methods/tree/tree-mean.ts";
import { key } from "../../src/random/stream.ts";
import { abMcts, type ParticipantAction } from "../../src/search/ab-mcts.ts";
import { c3po, withoutProbe } from "../../src/search/c3po.ts";
import {
  episodeText,
  episodeTurns,
  episodeValue,
  expandEpisodes,
  goOn,
  ownCalls,
  readTrajectoryJson,
  trajectoryJson,
} from "../../src/search/episodes.ts";
import { optima } from "../../src/search/optima-pairs.ts";
import { type SearchPlan, search } from "../../src/search/search.ts";
import { root, type TreeView } from "../../src/search/tree.ts";
import { type TreeGrpoAction, treeGrpo } from "../../src/search/tree-grpo.ts";
import { nodeLine, readTree, treeLines } from "../../src/search/tree-lines.ts";
import { treeRpo } from "../../src/search/tree-rpo.ts";
import { turnTree } from "../../src/search/turn-tree.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { agent } from "../../src/workflow/agent.ts";
import { replayEpisode } from "../../src/workflow/replay.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { type Workflow, workflow } from "../../src/workflow/workflow.ts";

const words = ["plan", "answer", "red", "green", "blue", "try"];
const planner = agent("planner", { prompt: () => "plan", maxTokens: 3 });
const answerer = agent("answerer", { prompt: (v: { plan: string }) => `answer ${v.plan}`, maxTokens: 3 });

/** Two calls: right if the answer has red in it. */
const team = workflow("team", { agents: { planner, answerer } }, async ({ agents, reward }) => {
  const plan = await agents.planner();
  const answer = await agents.answerer({ plan: plan.text });
  reward(answer.text.includes("red") ? 1 : 0);
  return answer.text;
});

async function toys(...names: readonly string[]): Promise<ReadonlyMap<string, AnyPolicy>> {
  const opened = await Promise.all(names.map((name) => tabularPolicy({ words }).open({ name, seed: 0 })));
  return new Map(opened.map((policy) => [policy.name, policy]));
}

const identity = { purpose: "train", step: 3, group: 1, task: 0 };
const assignment = new Map([
  ["planner", "p"],
  ["answerer", "p"],
]);

async function grow<Action>(
  plan: SearchPlan<Trajectory, Action>,
  more: {
    concurrency?: number;
    tree?: TreeView<Trajectory, Action>;
    onLine?: (line: string) => void;
    workflow?: Workflow<unknown>;
  } = {},
) {
  const policies = await toys("p");
  const { onLine, tree, concurrency, workflow: flow = team } = more;
  return search<Trajectory, Action>({
    ...plan,
    expand: expandEpisodes({
      workflow: flow,
      task: {},
      policies,
      assignment,
      stage: "train",
      identity,
      seed: 5,
    }),
    value: episodeValue,
    key: key(5, "search"),
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(tree === undefined ? {} : { tree }),
    ...(onLine === undefined ? {} : { onNode: (node) => onLine(nodeLine(node, trajectoryJson)) }),
  });
}

const said = (tree: TreeView<Trajectory, unknown>) =>
  tree.nodes.map((node) =>
    node.status === "complete" ? node.state.calls.map(({ text }) => text) : node.status,
  );

const completeOf = <Action>(tree: TreeView<Trajectory, Action>) =>
  tree.nodes.filter((node) => node.status === "complete");

describe("a two-call workflow, searched by forks", () => {
  const plan = treeGrpo<Trajectory>({ trees: 2, expansions: 3, rounds: 2, turns: episodeTurns });

  test("branches share their parent's calls, token by token, and sample the rest anew", async () => {
    const tree = await grow(plan);
    expect(tree.nodes).toHaveLength(14);
    const forked = completeOf(tree).filter(({ parent }) => parent !== root);
    expect(forked.length).toBeGreaterThan(2);
    for (const { index, parent, action, state } of forked) {
      const above = tree.nodes[parent]!;
      if (above.status !== "complete") throw new Error("a parent is complete");
      expect(action.at).toBe(1);
      expect(state.calls[0]!.output).toEqual(above.state.calls[0]!.output);
      expect(state.calls[0]!.logprobs).toEqual(above.state.calls[0]!.logprobs);
      expect(state.forks.at(-1)).toEqual({ at: 1, branch: index });
    }
    // Four-word outputs of a uniform policy: some pair of siblings differs.
    expect(new Set(said(tree).map(String)).size).toBeGreaterThan(7);
    expect(new Set(completeOf(tree).map(({ state }) => state.id)).size).toBe(14);
  });

  test("every call is some node's own exactly once", async () => {
    const tree = await grow(plan);
    const own = completeOf(tree).flatMap((node) =>
      ownCalls(tree, node).map(({ id }) => ({ node: node.index, turn: id })),
    );
    const { turns } = turnTree(tree, { turns: episodeTurns });
    expect(own).toEqual(turns.map(({ node, turn }) => ({ node, turn })));
  });

  test("every node's episode replays", async () => {
    for (const { state } of completeOf(await grow(plan)))
      expect((await replayEpisode({ workflow: team, trajectory: state })).result).toBe(state.result);
  });

  test("several in flight: the same tree", async () => {
    const alone = await grow(plan);
    expect(said(await grow(plan, { concurrency: 5 }))).toEqual(said(alone));
  });

  test("killed in the middle, and gone on from its lines: the same tree", async () => {
    const lines: string[] = [];
    const whole = await grow(plan, { onLine: (line) => lines.push(line) });
    for (const cut of [0, 1, 7, 12, 27]) {
      const tree = readTree<Trajectory, TreeGrpoAction>(lines.slice(0, cut).join("\n"), readTrajectoryJson);
      const resumed = await grow(plan, { tree });
      expect(said(resumed)).toEqual(said(whole));
      expect(resumed.nodes.map(({ parent, action }) => [parent, action])).toEqual(
        whole.nodes.map(({ parent, action }) => [parent, action]),
      );
    }
    const again = readTree(treeLines(whole, trajectoryJson), readTrajectoryJson);
    expect(treeLines(again, trajectoryJson)).toBe(treeLines(whole, trajectoryJson));
  });

  test("the N-ary tree and Optima's run over episodes too", async () => {
    const nary = await grow(treeRpo<Trajectory>({ samples: 2, depth: 2, turns: episodeTurns }));
    expect(nary.nodes.map(({ parent, action }) => [parent, action.at])).toEqual([
      [-1, 0],
      [-1, 0],
      [0, 1],
      [1, 1],
    ]);
    const chat = await grow(optima<Trajectory>({ turns: episodeTurns, text: episodeText, iterations: 2 }));
    expect(chat.nodes).toHaveLength(6);
  });
});

test("C-3PO: the router's texts are put in, and what follows is sampled", async () => {
  const plan = c3po<Trajectory>({ strategies: ["red", "blue"], nodes: 9, turns: episodeTurns });
  const tree = await grow(plan);
  expect(
    said(tree)
      .slice(1, 3)
      .map((texts) => texts[0]),
  ).toEqual(["red", "blue"]);
  const edited = completeOf(tree)[1]!.state.calls[0]!;
  expect(edited).toMatchObject({ origin: "edited", policy: "p" });
  expect([...edited.mask].every((scored) => scored === 0)).toBe(true);
  const credit = turnTree(tree, { turns: episodeTurns, include: withoutProbe });
  expect(credit.rootChildren).toHaveLength(2);
  expect(leafMeans(credit).values).toHaveLength(6);
});

describe("a failed episode is a failed node", () => {
  test("with its own failure and its trajectory", async () => {
    const fragile = workflow("fragile", { agents: { planner, answerer } }, async ({ agents, reward }) => {
      const plan = await agents.planner();
      if (plan.text.includes("green")) throw new Error("no green");
      const answer = await agents.answerer({ plan: plan.text });
      if (!answer.text.includes("try")) reward(1);
    });
    const tree = await grow(treeGrpo<Trajectory>({ trees: 12, turns: episodeTurns }), { workflow: fragile });
    const failed = tree.nodes.filter((node) => node.status === "failed");
    const codes = new Set(failed.map(({ failure }) => failure.code));
    expect([...codes].sort()).toEqual(["E_REWARD_MISSING", "E_WORKFLOW_THREW"]);
    for (const { failure, state } of failed) {
      expect(state?.failure?.code).toBe(failure.code);
      expect(failure.boundary).toBe(failure.code === "E_WORKFLOW_THREW" ? "workflow" : "reward");
    }
    expect(completeOf(tree).length).toBeGreaterThan(2);
    expect(tree.nodes).toHaveLength(36);
  });

  test("rewards for agents alone are no value of the node", async () => {
    const partial = workflow("partial", { agents: { planner, answerer } }, async ({ agents, reward }) => {
      await agents.planner();
      reward(1, { agent: "planner" });
    });
    const tree = await grow(treeGrpo<Trajectory>({ trees: 1, turns: episodeTurns }), { workflow: partial });
    expect(tree.nodes[0]).toMatchObject({ status: "failed", failure: { code: "E_REWARD_MISSING" } });
  });

  test("an action that says nothing of a branch point is refused with what to do", async () => {
    const tree = await grow(abMcts<Trajectory>({ nodes: 4, participants: ["p"], estimate: "mean" }));
    const messages = tree.nodes.flatMap((node) => (node.status === "failed" ? [node.failure.message] : []));
    expect(messages[0]).toMatch(/does not say at which call to branch off.*goOn/);
  });
});

describe("AB-MCTS over attempts of several policies", () => {
  interface Puzzle {
    readonly goal: string;
    readonly attempts: number;
  }
  const coder = agent("coder", {
    prompt: (v: { goal: string; before: string }) => `${v.goal}|${v.before}`,
  });
  const checks: string[] = [];
  /** Attempts until the task's number of them is used up; the last one counts. Public check after each, hidden at the end. */
  const solve = workflow(
    "solve",
    {
      agents: { coder },
      tools: {
        check: async ({ text }: { text: string }) => {
          checks.push(text);
          return text.length;
        },
        hidden: async ({ text }: { text: string }) => text.endsWith("xyxy"),
      },
    },
    async ({ task, agents, tools, reward }) => {
      const { goal, attempts } = task as Puzzle;
      let text = "";
      let length = 0;
      for (let i = 0; i < attempts; i++) {
        text = (await agents.coder({ goal, before: text })).text;
        length = await tools.check({ text });
      }
      reward(Math.min(1, length / 4));
      return { text, hidden: await tools.hidden({ text }) };
    },
  );

  const grow = async () => {
    const policies = new Map<string, AnyPolicy>();
    for (const letter of ["x", "y"]) {
      const policy = await scriptedPolicy({ answer: (prompt) => prompt.split("|")[1]! + letter }).open({
        name: letter,
        seed: 0,
      });
      policies.set(letter, policy);
    }
    return search({
      ...abMcts<Trajectory>({ nodes: 12, participants: ["x", "y"], strategy: "ucb", pending: "loss" }),
      expand: expandEpisodes<Puzzle, ParticipantAction>({
        workflow: solve,
        task: { goal: "four letters", attempts: 1 },
        policies,
        assignment: ({ participant }) => new Map([["coder", participant]]),
        stage: "train",
        identity,
        seed: 1,
        branch: goOn((task) => ({ ...task, attempts: task.attempts + 1 })),
      }),
      value: episodeValue,
      key: key(3),
    });
  };

  test("a child is its parent's attempt and one more, by the participant that was chosen", async () => {
    checks.length = 0;
    const tree = await grow();
    expect(tree.nodes.every(({ status }) => status === "complete")).toBe(true);
    for (const node of completeOf(tree)) {
      const { parent, depth, action, state } = node;
      const above = tree.nodes[parent];
      const before = above?.status === "complete" ? above.state : undefined;
      const [call, ...more] = ownCalls(tree, node);
      expect(more).toEqual([]);
      expect(state.calls).toHaveLength(depth);
      const prefix = (trajectory: Trajectory | undefined) =>
        trajectory?.calls.slice(0, depth - 1).map((one) => [one.policy, one.output, one.issued]) ?? [];
      expect(prefix(state)).toEqual(prefix(before));
      expect(call).toMatchObject({ policy: action.participant, id: depth - 1 });
      expect(call!.text).toBe((before?.calls.at(-1)?.text ?? "") + action.participant);
    }
    expect(Math.max(...tree.nodes.map(({ depth }) => depth))).toBeGreaterThan(1);
    // What was checked once is answered from the record.
    expect(checks).toHaveLength(12);
    expect(new Set(tree.nodes.map(({ action }) => action.participant)).size).toBe(2);
  });

  test("such nodes replay", async () => {
    for (const { state } of completeOf(await grow())) {
      await expect(replayEpisode({ workflow: solve, trajectory: state })).resolves.toMatchObject({
        result: state.result,
      });
    }
  });

  test("a workflow that does otherwise under the longer task is a failed node that says where", async () => {
    const moody = workflow("moody", { agents: { coder } }, async ({ task, agents, reward }) => {
      const { attempts } = task as Puzzle;
      for (let i = 0; i < attempts; i++) await agents.coder({ goal: `${attempts} in all`, before: "" });
      reward(0);
    });
    const policy = await scriptedPolicy({ answer: () => "x" }).open({ name: "x", seed: 0 });
    const tree = await search({
      nodes: 2,
      select: ({ nodes }) => ({ parent: nodes.length - 1, action: { participant: "x" } }),
      expand: expandEpisodes<Puzzle, ParticipantAction>({
        workflow: moody,
        task: { goal: "", attempts: 1 },
        policies: new Map([["x", policy]]),
        assignment: new Map([["coder", "x"]]),
        stage: "train",
        identity,
        seed: 1,
        branch: goOn((task) => ({ ...task, attempts: task.attempts + 1 })),
      }),
      value: episodeValue,
      key: key(3),
    });
    expect(tree.nodes[1]).toMatchObject({
      status: "failed",
      failure: { code: "E_REPLAY_DIVERGED", message: expect.stringContaining('agent "coder"') },
    });
  });
});
