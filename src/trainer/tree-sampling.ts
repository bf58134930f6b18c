/**
 * @file Episodes of a task as a search tree: what `search` of a run's options is, and the trees of a step. All trees of a
 * step grow at once; within a tree expansions follow each other unless the search says otherwise.
 */

import { key } from "../random/stream.ts";
import { type Branching, episodeValue } from "../search/episodes.ts";
import type { NodeFailure } from "../search/errors.ts";
import { type Choice, type Expansion, type SelectContext, search } from "../search/search.ts";
import type { SearchNode, TreeView } from "../search/tree.ts";
import { crashPoint } from "../store/crash-point.ts";
import type { EpisodeFailure } from "../workflow/errors.ts";
import { Gate } from "../workflow/gate.ts";
import type { EpisodeIdentity, Trajectory } from "../workflow/trajectory.ts";
import type { EpisodeRunner, Group } from "./groups.ts";
import { forkRecorded, runRecorded } from "./recorded-episode.ts";
import type { Assignment } from "./teams.ts";

/**
 * Where a tree grows. What `abMcts(…)`, `treeGrpo(…)` and the others return fits; `select` must follow from its
 * arguments alone. Methods, so that a plan for one kind of action fits here too.
 */
export interface TreePlan {
  readonly nodes: number;
  select(tree: TreeView<Trajectory, unknown>, context: SelectContext): Choice<unknown> | undefined;
}

/** `search` of a run's options. */
export interface TreeSampling<Task> {
  /** For each tree anew. */
  plan(): TreePlan;
  /** φ of a node, where it differs from the run's. Default: the team that the action's `participant` names, if any. */
  assign?(action: unknown): Readonly<Record<string, string>>;
  /** Where a node leaves its parent. Default: at the call that the action names (`at`). See `goOn`. */
  branch?(parent: Trajectory, action: unknown): Branching<Task>;
  /** What a node is worth to the search. Default: the reward that the workflow gave its whole trajectory. */
  value?(trajectory: Trajectory): number | Promise<number>;
  /** Expansions of one tree in flight. Default 1: the same tree for the same seed. */
  readonly concurrency?: number;
  /** For the run's record. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** A tree a task. Nodes that failed are failed episodes, and stay in the group's counts. */
export async function sampleTrees<Task>(
  runner: EpisodeRunner<Task>,
  sampling: TreeSampling<Task>,
  tasks: readonly Task[],
  chosen: readonly number[],
  step: number,
): Promise<Group<Task>[]> {
  const gate = new Gate("episodes", runner.settings.concurrency.episodes);
  const trees = chosen.map((_, group) => new StepTree(runner, sampling, tasks, chosen, group, step));
  let done = 0;
  const all = trees.reduce((sum, tree) => sum + tree.nodes, 0);
  return Promise.all(trees.map((tree) => tree.grow(gate, () => runner.onEpisode(++done, all))));
}

class StepTree<Task> {
  readonly #runner: EpisodeRunner<Task>;
  readonly #sampling: TreeSampling<Task>;
  readonly #task: Task;
  readonly #index: number;
  readonly #group: number;
  readonly #step: number;
  readonly #plan: TreePlan;

  constructor(
    runner: EpisodeRunner<Task>,
    sampling: TreeSampling<Task>,
    tasks: readonly Task[],
    chosen: readonly number[],
    group: number,
    step: number,
  ) {
    this.#runner = runner;
    this.#sampling = sampling;
    this.#index = chosen[group]!;
    this.#task = tasks[this.#index]!;
    this.#group = group;
    this.#step = step;
    this.#plan = sampling.plan();
  }

  get nodes(): number {
    return this.#plan.nodes;
  }

  async grow(gate: Gate, onNode: () => void): Promise<Group<Task>> {
    const { settings, signal } = this.#runner;
    const { value, concurrency = 1 } = this.#sampling;
    const plan = this.#plan;
    const tree = await search<Trajectory, unknown>({
      nodes: plan.nodes,
      select: (view, context) => plan.select(view, context),
      expand: ({ index, action, parent }) => this.#expand(index, action, parent?.state),
      value: (trajectory) => value?.(trajectory) ?? episodeValue(trajectory),
      key: key(settings.seed, "search", this.#step, this.#group),
      concurrency,
      gate,
      signal,
      onNode: ({ status }) => {
        if (status === "pending") return;
        onNode();
        crashPoint("tree node ended");
      },
    });
    return this.#groupOf(tree);
  }

  #identity(sample: number): EpisodeIdentity {
    return { purpose: "train", step: this.#step, group: this.#group, task: this.#index, sample };
  }

  async #expand(
    index: number,
    action: unknown,
    parent: Trajectory | undefined,
  ): Promise<Expansion<Trajectory>> {
    const { settings, policies, shared, journal, signal } = this.#runner;
    const common = {
      ...shared,
      workflow: settings.workflow,
      policies,
      assignment: this.#assignment(action),
      stage: "train" as const,
      signal,
      needsReward: settings.rewards === undefined,
    };
    const trajectory =
      parent === undefined
        ? await runRecorded(journal, {
            ...common,
            task: this.#task,
            identity: this.#identity(index),
            seed: settings.seed,
          })
        : await forkRecorded(journal, {
            ...common,
            ...this.#branching(parent, action),
            trajectory: parent,
            branch: index,
          });
    const { status, failure } = trajectory;
    if (status === "complete") return { status, state: trajectory };
    if (failure === undefined) return { status: "cancelled" };
    return { status: "failed", failure, state: trajectory };
  }

  #assignment(action: unknown): Assignment {
    const { assignment, teams } = this.#runner.settings;
    const own = this.#sampling.assign?.(action);
    if (own !== undefined) return new Map([...assignment, ...Object.entries(own)]);
    const { participant } = (action ?? {}) as { readonly participant?: string };
    return teams.get(participant ?? "") ?? assignment;
  }

  #branching(parent: Trajectory, action: unknown): Branching<Task> {
    const { branch } = this.#sampling;
    if (branch !== undefined) return this.#sampling.branch!(parent, action);
    const { at } = (action ?? {}) as { readonly at?: unknown };
    if (typeof at === "number") return { at };
    throw new TypeError(
      `The action ${JSON.stringify(action)} does not say at which call to branch off: give \`search\` a \`branch\` function, for example goOn(…).`,
    );
  }

  #groupOf(tree: TreeView<Trajectory, unknown>): Group<Task> {
    const trajectories: Trajectory[] = [];
    const parents = new Map<string, string | undefined>();
    for (const node of tree.nodes) {
      if (node.status === "pending") continue;
      const trajectory = this.#episode(node);
      const above = tree.nodes[node.parent];
      trajectories.push(trajectory);
      parents.set(trajectory.id, above?.status === "complete" ? above.state.id : undefined);
    }
    return { task: this.#task, index: this.#index, trajectories, parents };
  }

  /** Of a node that failed outside its episode (no value, no place to branch off): a failed episode too. */
  #episode(node: Exclude<SearchNode<Trajectory, unknown>, { status: "pending" }>): Trajectory {
    if (node.status === "complete") return node.state;
    const { state } = node;
    const failure = episodeFailure(node.failure);
    if (state?.status === "failed") return state;
    if (state !== undefined) return { ...state, status: "failed", failure };
    return this.#withoutEpisode(node.index, failure);
  }

  #withoutEpisode(index: number, failure: EpisodeFailure): Trajectory {
    const { workflow, seed } = this.#runner.settings;
    const identity = this.#identity(index);
    return {
      id: `search/${this.#step}/${this.#group}/${index}`,
      workflow: workflow.name,
      stage: "train",
      identity,
      seed,
      forks: [],
      task: this.#task,
      status: "failed",
      failure,
      calls: [],
      tools: [],
      children: [],
      memory: [],
      draws: [],
      rewards: [],
      seconds: 0,
    };
  }
}

/** What went wrong outside an episode: the search's own code, a `value` or a `branch` function. */
function episodeFailure({ code, message, hint }: NodeFailure): EpisodeFailure {
  return { boundary: "workflow", code, message, ...(hint === undefined ? {} : { hint }) };
}
