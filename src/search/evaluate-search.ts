/**
 * @file Evaluation of a search: one tree per held-out task, and of all trees
 *
 *   pass@1            node 0, one fresh sample
 *   pass@1 (search)   the node that the search hands out, by public scores
 *   pass@N            any node
 *
 * against hidden tests, which are asked when a tree is finished, so that nothing of them can reach a prompt, a choice or a
 * draw. A tree without a complete node, or whose hidden tests could not be run, has no scores: it is counted as failed, and
 * is in no mean. Source of the three: MARS² (arXiv 2604.14564). Intervals: percentile bootstrap over tasks.
 */

import type { AnyPolicy } from "../engine/policy.ts";
import { TroupeError } from "../errors.ts";
import { bootstrapIntervals, type Interval } from "../random/bootstrap.ts";
import { key } from "../random/stream.ts";
import type { EpisodeSettings } from "../workflow/episode.ts";
import type { Gate } from "../workflow/gate.ts";
import { mapConcurrently } from "../workflow/pool.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import { agentsOf, type Workflow } from "../workflow/workflow.ts";
import { type Branching, episodeValue, expandEpisodes, ownCalls } from "./episodes.ts";
import { type NodeFailure, nodeFailure, SearchError } from "./errors.ts";
import { type SearchScores, searchScores, selectNode } from "./metrics.ts";
import { type Choice, type SelectContext, search } from "./search.ts";
import { type CompleteNode, root, type TreeStatistics, type TreeView, treeStatistics } from "./tree.ts";

/** Methods, so that a search over one kind of action fits: `marsSearch(…)`, or `{ plan: () => treeGrpo(…) }`. */
export interface EpisodeSearch<Task> {
  /** For each tree anew. */
  plan(): {
    readonly nodes: number;
    select(tree: TreeView<Trajectory, unknown>, context: SelectContext): Choice<unknown> | undefined;
  };
  /** φ of a node, where it differs from `assign` of the evaluation. */
  assign?(action: unknown): Readonly<Record<string, string>>;
  /** Default: at the call that the action names (`at`). */
  branch?(parent: Trajectory, action: unknown): Branching<Task>;
  /** Public score. Default: `episodeValue`. */
  value?(trajectory: Trajectory): number | Promise<number>;
  /** Expansions of one tree in flight. Default 1. */
  readonly concurrency?: number;
}

type EpisodeTree = TreeView<Trajectory, unknown>;

export interface EvaluateSearchOptions<Task> extends EpisodeSettings {
  readonly workflow: Workflow<Task>;
  readonly tasks: readonly Task[];
  /** Opened, by name. */
  readonly policies: ReadonlyMap<string, AnyPolicy>;
  readonly search: EpisodeSearch<NoInfer<Task>>;
  /** φ of agents that the search does not assign. Default: the policy, if there is one alone. */
  readonly assign?: Readonly<Record<string, string>>;
  /** Public score of a node. Default: the search's own. */
  readonly value?: (trajectory: Trajectory) => number | Promise<number>;
  /** Whether a node passes the hidden tests. Asked of each complete node, when its tree is finished. */
  readonly hidden: (trajectory: Trajectory, task: NoInfer<Task>) => boolean | Promise<boolean>;
  /** The node that is handed out, for example `tPlus(…).best`. Default: `selectNode`. */
  best?(tree: EpisodeTree): CompleteNode<Trajectory, unknown> | Promise<CompleteNode<Trajectory, unknown>>;
  readonly seed: number;
  /** Names the random draws besides the seed. Default "search". */
  readonly purpose?: string;
  /** Default "train": agents sample as they do in training; greedy nodes would be all alike. CHOSEN. */
  readonly stage?: Trajectory["stage"];
  /** Trees at once. Default 8 (CHOSEN). */
  readonly concurrency?: number;
  /** Bounds the expansions of all trees together. */
  readonly gate?: Gate;
  readonly signal?: AbortSignal;
  /** Hears of each tree as it is done. */
  readonly onTree?: (outcome: TreeOutcome) => void;
}

interface OutcomeBase {
  /** Its place among the tasks. */
  readonly task: number;
  readonly tree: EpisodeTree;
  /** Output tokens of all calls of its nodes, each once, failed nodes included. */
  readonly tokens: number;
}

/** How a tree ended. Closed. */
export type TreeOutcome =
  | (OutcomeBase & { readonly status: "complete"; readonly scores: SearchScores })
  /** No node is complete, no node could be chosen, or the hidden tests could not be run. */
  | (OutcomeBase & { readonly status: "failed"; readonly failure: NodeFailure })
  /** Stopped from outside; no hidden test was asked. */
  | (OutcomeBase & { readonly status: "cancelled" });

export interface SearchMetric {
  readonly mean: number;
  /** Trees that pass, of n. */
  readonly passed: number;
  readonly n: number;
  /** 95 %. */
  readonly interval: Interval;
}

export type SearchMetricName = "pass@1" | "pass@1 (search)" | "pass@N";

export interface SearchEvaluation {
  /** [tasks] */
  readonly trees: readonly TreeOutcome[];
  /** A metric of no tree is absent; pass@1 has no tree whose node 0 failed. */
  readonly metrics: Readonly<Partial<Record<SearchMetricName, SearchMetric>>>;
  /** Trees with scores. */
  readonly n: number;
  readonly failed: number;
  readonly cancelled: number;
  /** Why trees failed, by code. */
  readonly failures: Readonly<Record<string, number>>;
  /** Over all trees. */
  readonly nodes: Pick<TreeStatistics, "nodes" | "complete" | "failed" | "failures">;
  readonly tokens: number;
}

/**
 * @throws SearchError E_SEARCH_OPTION, and whatever the plan's `select` throws: a plan that is wrong is no failed tree.
 * @example
 * const { metrics } = await evaluateSearch({ workflow: solve, tasks, policies, search: marsSearch({ … }), hidden, seed });
 * metrics["pass@N"]; // { mean: .75, passed: 30, n: 40, interval: [.6, .88] }
 */
export async function evaluateSearch<Task>(options: EvaluateSearchOptions<Task>): Promise<SearchEvaluation> {
  const { tasks, concurrency = 8, seed, purpose = "search", onTree, signal } = options;
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new SearchError({
      code: "E_SEARCH_OPTION",
      message: `evaluateSearch() was given concurrency ${concurrency}; it must be an integer of at least 1.`,
      facts: { concurrency },
    });
  }
  const assignment = assignmentOf(options);
  const broken = new AbortController();
  const stop = signal === undefined ? broken.signal : AbortSignal.any([signal, broken.signal]);
  const trees = await mapConcurrently(tasks, concurrency, async (task, index) => {
    try {
      const outcome = await evaluateTree({ ...options, signal: stop }, task, index, assignment);
      onTree?.(outcome);
      return outcome;
    } catch (error) {
      // The others' results would be lost anyway.
      broken.abort();
      throw error;
    }
  });
  const scores = trees.flatMap((tree) => (tree.status === "complete" ? [tree.scores] : []));
  const failures: Record<string, number> = {};
  for (const tree of trees)
    if (tree.status === "failed") failures[tree.failure.code] = (failures[tree.failure.code] ?? 0) + 1;
  const at = key(seed, "bootstrap", purpose);
  const columns: Readonly<Record<SearchMetricName, readonly boolean[]>> = {
    "pass@1": scores.flatMap(({ pass1 }) => (pass1 === undefined ? [] : [pass1])),
    "pass@1 (search)": scores.map(({ passSearch }) => passSearch),
    "pass@N": scores.map(({ passN }) => passN),
  };
  const metrics = Object.fromEntries(
    Object.entries(columns).flatMap(([name, column]): readonly [string, SearchMetric][] => {
      if (column.length === 0) return [];
      const [interval] = bootstrapIntervals([column.map(Number)], at);
      const passed = column.filter(Boolean).length;
      const n = column.length;
      return [[name, { mean: passed / n, passed, n, interval: interval! }]];
    }),
  );
  return {
    trees,
    metrics,
    n: scores.length,
    failed: trees.filter(({ status }) => status === "failed").length,
    cancelled: trees.filter(({ status }) => status === "cancelled").length,
    failures,
    nodes: nodesOf(trees.map(({ tree }) => treeStatistics(tree))),
    tokens: trees.reduce((sum, { tokens }) => sum + tokens, 0),
  };
}

async function evaluateTree<Task>(
  options: EvaluateSearchOptions<Task>,
  task: Task,
  index: number,
  assignment: ReadonlyMap<string, string>,
): Promise<TreeOutcome> {
  const { search: how, hidden, seed, purpose = "search", stage = "train", gate, signal } = options;
  const plan = how.plan();
  const value =
    options.value ?? ((trajectory: Trajectory) => how.value?.(trajectory) ?? episodeValue(trajectory));
  const tree = await search<Trajectory, unknown>({
    nodes: plan.nodes,
    select: (view, context) => plan.select(view, context),
    expand: expandEpisodes<Task, unknown>({
      ...options,
      task,
      stage,
      assignment: (action) => new Map([...assignment, ...Object.entries(how.assign?.(action) ?? {})]),
      ...(how.branch === undefined
        ? {}
        : { branch: (parent: Trajectory, action: unknown) => how.branch!(parent, action) }),
      identity: { purpose, step: 0, group: index, task: index },
      // A node without a public score fails by its value, which says so.
      needsReward: false,
    }),
    value,
    key: key(seed, purpose, index),
    ...(how.concurrency === undefined ? {} : { concurrency: how.concurrency }),
    ...(gate === undefined ? {} : { gate }),
    ...(signal === undefined ? {} : { signal }),
  });
  const base = { task: index, tree, tokens: tokensOf(tree) };
  if (signal?.aborted === true) return { ...base, status: "cancelled" };
  const failed = (failure: NodeFailure): TreeOutcome => ({ ...base, status: "failed", failure });
  let selected: CompleteNode<Trajectory, unknown>;
  try {
    selected = await (options.best?.(tree) ?? selectNode(tree));
    if (tree.nodes[selected.index] !== selected) throw new TypeError("`best` gave a node of another tree");
  } catch (error) {
    return failed(failureOf(error, "E_SEARCH_BEST", "The node to hand out could not be chosen"));
  }
  const passed = new Map<Trajectory, boolean>();
  for (const node of tree.nodes) {
    if (node.status !== "complete") continue;
    try {
      const passes: unknown = await hidden(node.state, task);
      if (typeof passes !== "boolean") throw new TypeError(`they gave ${String(passes)}, not true or false`);
      passed.set(node.state, passes);
    } catch (error) {
      return failed(
        failureOf(error, "E_HIDDEN_SCORE", `The hidden tests could not be run on node ${node.index}`),
      );
    }
  }
  const scores = searchScores(tree, (state) => passed.get(state)!, {
    score: (state) => (state === selected.state ? 1 : 0),
  });
  return { ...base, status: "complete", scores };
}

function failureOf(error: unknown, code: string, what: string): NodeFailure {
  if (TroupeError.is(error)) return nodeFailure(error, code, root);
  return { code, message: `${what}: ${error instanceof Error ? error.message : String(error)}.` };
}

function tokensOf(tree: EpisodeTree): number {
  let tokens = 0;
  for (const node of tree.nodes) {
    if (node.status === "pending" || node.state === undefined) continue;
    for (const { output, usage } of ownCalls(tree, { parent: node.parent, state: node.state }))
      tokens += output.length > 0 ? output.length : (usage?.outputTokens ?? 0);
  }
  return tokens;
}

function nodesOf(trees: readonly TreeStatistics[]): SearchEvaluation["nodes"] {
  const sum = (of: (tree: TreeStatistics) => number) => trees.reduce((all, tree) => all + of(tree), 0);
  const failures: Record<string, number> = {};
  for (const tree of trees)
    for (const [code, count] of Object.entries(tree.failures)) failures[code] = (failures[code] ?? 0) + count;
  return {
    nodes: sum(({ nodes }) => nodes),
    complete: sum(({ complete }) => complete),
    failed: sum(({ failed }) => failed),
    failures,
  };
}

/** Agents that neither the options nor the search assign fail their nodes, with the workflow's own words. */
function assignmentOf<Task>({
  workflow,
  policies,
  assign,
}: EvaluateSearchOptions<Task>): ReadonlyMap<string, string> {
  if (assign !== undefined || policies.size !== 1) return new Map(Object.entries(assign ?? {}));
  const [only] = policies.keys();
  return new Map([...agentsOf(workflow).keys()].map((agent) => [agent, only!]));
}
