/**
 * @file The episodes of one step, wave by wave: `groupSize` of each task, then whatever the method's sampler asks for once
 * it has seen their rewards: more of a task, branches, other tasks, remembered episodes.
 */

import type { GroupSampler, SamplingRequest, SamplingView } from "../methods/method.ts";
import { stream } from "../random/stream.ts";
import { mapConcurrently } from "../workflow/pool.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import { RunStoppedError } from "./errors.ts";
import { giveRewards } from "./give-rewards.ts";
import { type EpisodeRunner, type Group, sampleEpisode, sampleGroups } from "./groups.ts";
import { forkRecorded } from "./recorded-episode.ts";
import { chosenTasks } from "./step-tasks.ts";
import { taskName, toldGroup } from "./told-group.ts";
import { sampleTrees } from "./tree-sampling.ts";

/** A sampler that never has enough is stopped here: a fault of it, not of the run. */
const mostWaves = 100;

interface Growing<Task> {
  readonly task: Task;
  readonly index: number;
  readonly trajectories: Trajectory[];
  readonly recalled: Set<string>;
  readonly omitted: Set<string>;
  readonly reflection?: true;
  /** Episodes begun at its task. */
  begun: number;
  dropped: boolean;
}

const growingGroup = <Task>(
  { task, index, trajectories = [] }: { task: Task; index: number; trajectories?: readonly Trajectory[] },
  about: Pick<Growing<Task>, "reflection"> = {},
): Growing<Task> => ({
  ...about,
  task,
  index,
  trajectories: [...trajectories],
  recalled: new Set(),
  omitted: new Set(),
  begun: trajectories.length,
  dropped: false,
});

/** Groups of a step, in the order in which they were begun. Rewards of the run's own terms are not on them yet. */
export async function sampleStep<Task>(
  runner: EpisodeRunner<Task>,
  tasks: readonly Task[],
  step: number,
): Promise<Group<Task>[]> {
  const { method, tasksPerStep, seed } = runner.settings;
  const chosen = chosenTasks(method, tasks, { tasksPerStep, seed, step });
  if (runner.settings.search !== undefined)
    return sampleTrees(runner, runner.settings.search, tasks, chosen, step);
  const first = await sampleGroups(runner, tasks, chosen, { purpose: "train", step });
  if (method.sampler === undefined) return first;
  const growing = first.map((group) => growingGroup(group));
  const waves = new StepWaves(runner, tasks, step, growing, chosen);
  await waves.run(method.sampler);
  return growing;
}

class StepWaves<Task> {
  readonly #runner: EpisodeRunner<Task>;
  readonly #tasks: readonly Task[];
  readonly #step: number;
  readonly #groups: Growing<Task>[];
  readonly #others: readonly number[];
  #othersTaken = 0;

  constructor(
    runner: EpisodeRunner<Task>,
    tasks: readonly Task[],
    step: number,
    groups: Growing<Task>[],
    chosen: readonly number[],
  ) {
    this.#runner = runner;
    this.#tasks = tasks;
    this.#step = step;
    this.#groups = groups;
    const taken = new Set(chosen);
    const rest = tasks.flatMap((_, index) => (taken.has(index) ? [] : [index]));
    const random = stream(runner.settings.seed, "other tasks", step);
    // Where the step has all tasks already, another one is one of them again.
    this.#others = random.shuffled(rest.length > 0 ? rest : tasks.map((_, index) => index));
  }

  async run(sampler: GroupSampler): Promise<void> {
    const { signal, settings } = this.#runner;
    for (let wave = 1; !signal.aborted; wave++) {
      const { view, ids } = await this.#view(wave);
      const requests = sampler.next(view);
      if (requests.length === 0 || signal.aborted) return;
      if (wave === mostWaves) {
        throw new RunStoppedError({
          code: "E_SAMPLER_ENDLESS",
          message: `Sampler "${sampler.name}" of method "${settings.method.name}" asks for more after ${mostWaves} waves of step ${this.#step}.`,
          hint: "give it a bound on its waves.",
          facts: { step: this.#step, waves: mostWaves },
        });
      }
      const jobs = requests.flatMap((request) => this.#jobs(request, ids, sampler.groupSize));
      await mapConcurrently(
        jobs,
        settings.concurrency.episodes,
        (job) => job.run(),
        this.#runner.onEpisode,
      ).then((ended) => {
        // In the order of the requests, whichever ended first.
        for (const [i, trajectory] of ended.entries())
          this.#groups[jobs[i]!.group]!.trajectories.push(trajectory);
      });
    }
  }

  /** `ids`: of the episodes of each group, in the order in which the sampler sees them. */
  async #view(wave: number): Promise<{ readonly view: SamplingView; readonly ids: readonly string[][] }> {
    const runner = this.#runner;
    const { store, settings } = runner;
    // What the terms say now is for the sampler alone; they are given when all episodes are there.
    const rewarded = await giveRewards(this.#groups as readonly Group<Task>[], runner, {
      step: this.#step,
      stage: "train",
      learn: false,
    });
    const told = rewarded.map((group) => toldGroup(group, runner));
    const view: SamplingView = {
      step: this.#step,
      wave,
      tasksPerStep: settings.tasksPerStep,
      groups: told.map((group, k) => ({ ...group.rewarded, dropped: this.#groups[k]!.dropped })),
      remembered: (task) => store?.of(task) ?? [],
      random: stream(settings.seed, "sampler", this.#step, wave),
    };
    return { view, ids: told.map(({ trajectories }) => trajectories.map(({ id }) => id)) };
  }

  /** Episodes to run for a request; what needs none is done at once. */
  #jobs(
    request: SamplingRequest,
    ids: readonly (readonly string[])[],
    groupSize: number,
  ): readonly { readonly group: number; readonly run: () => Promise<Trajectory> }[] {
    if (request.kind === "task") {
      const group = this.#groups.length;
      const index = this.#others[this.#othersTaken++ % this.#others.length]!;
      this.#groups.push(growingGroup({ task: this.#tasks[index]!, index }));
      return this.#episodes(group, groupSize);
    }
    const group = this.#groups[request.group];
    if (group === undefined) throw this.#unknown(request);
    if (request.kind === "drop") {
      group.dropped = true;
      return [];
    }
    if (request.kind === "episodes") return this.#episodes(request.group, request.count);
    if (request.kind === "recall") {
      const recalled = this.#remembered(group, request);
      group.trajectories.push(recalled);
      group.recalled.add(recalled.id);
      return [];
    }
    if (request.kind === "reflect") {
      const place = this.#groups.length;
      this.#groups.push(this.#reflection(group, request));
      return this.#episodes(place, groupSize);
    }
    const id = ids[request.group]![request.episode];
    const trajectory = group.trajectories.find((episode) => episode.id === id);
    if (trajectory === undefined) throw this.#unknown(request);
    if (request.kind === "omit") {
      group.omitted.add(trajectory.id);
      return [];
    }
    return [{ group: request.group, run: this.#branch(trajectory, request.at) }];
  }

  /** @throws RunFolderError E_RECALL */
  #remembered({ task }: Growing<Task>, request: SamplingRequest & { readonly episode: string }): Trajectory {
    const found = this.#runner.store?.recall(taskName(task), request.episode);
    if (found === undefined) throw this.#unknown(request);
    return found;
  }

  /** An empty group, of the task that shows an earlier episode of another group's. */
  #reflection(group: Growing<Task>, request: SamplingRequest & { readonly episode: string }): Growing<Task> {
    const { reflect } = this.#runner.settings;
    const episode = this.#remembered(group, request);
    if (reflect === undefined) throw this.#unknown(request);
    try {
      return growingGroup({ task: reflect(group.task, episode), index: group.index }, { reflection: true });
    } catch (cause) {
      throw new RunStoppedError({
        code: "E_REFLECT",
        message: `\`reflect\` failed for episode ${episode.id} in step ${this.#step}: ${cause instanceof Error ? cause.message : String(cause)}`,
        hint: "it is given a task of the run and a complete episode of it, and must return a task.",
        cause,
        facts: { step: this.#step, episode: episode.id },
      });
    }
  }

  #episodes(group: number, count: number) {
    const growing = this.#groups[group]!;
    const { index: task, begun: from } = growing;
    growing.begun += count;
    return Array.from({ length: count }, (_, i) => ({
      group,
      run: () =>
        sampleEpisode(
          this.#runner,
          growing.task,
          { task, group, sample: from + i },
          { purpose: "train", step: this.#step },
        ),
    }));
  }

  readonly #branches = new Map<string, number>();

  #branch(trajectory: Trajectory, at: number): () => Promise<Trajectory> {
    const { settings, policies, shared, signal, journal } = this.#runner;
    const place = `${trajectory.id}@${at}`;
    const branch = (this.#branches.get(place) ?? 0) + 1;
    this.#branches.set(place, branch);
    return () =>
      forkRecorded(journal, {
        ...shared,
        workflow: settings.workflow,
        trajectory,
        at,
        branch,
        policies,
        assignment: settings.assignment,
        signal,
        needsReward: settings.rewards === undefined,
      });
  }

  #unknown(request: SamplingRequest): RunStoppedError {
    return new RunStoppedError({
      code: "E_SAMPLER_REQUEST",
      message: `The sampler of method "${this.#runner.settings.method.name}" asks for ${JSON.stringify(request)} in step ${this.#step}, which there is not.`,
      hint: "groups and episodes are numbered as in the view of the same wave.",
      facts: { step: this.#step },
    });
  }
}
