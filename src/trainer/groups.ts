/** @file Groups of episodes, and running them. Their tasks: `step-tasks.ts`; their credit: `credit-groups.ts`. */

import type { AnyPolicy } from "../engine/policy.ts";
import { type InfiniteSampling, runInSchedule } from "../methods/schedule/index.ts";
import type { EffectJournal } from "../store/effect-journal.ts";
import type { EpisodeSettings } from "../workflow/episode.ts";
import { mapConcurrently } from "../workflow/pool.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import type { CallBuffer } from "./call-buffer.ts";
import type { TrainSettings } from "./config.ts";
import type { EpisodeStore } from "./episode-store.ts";
import { runRecorded } from "./recorded-episode.ts";
import { assignmentOfSample } from "./teams.ts";

/** What episodes of a run need, besides their task. */
export interface EpisodeRunner<Task> {
  readonly settings: TrainSettings<Task>;
  readonly policies: ReadonlyMap<string, AnyPolicy>;
  /** What all episodes of the run share: gates, watchdog, prompt cache, limits, deadlines, memory. */
  readonly shared: EpisodeSettings;
  /** Where episodes in flight outlive a crash; without it nothing is recorded while they go on. */
  readonly journal?: EffectJournal | undefined;
  /** What the method's sampler remembers of earlier steps. */
  readonly store?: EpisodeStore | undefined;
  /** Calls that wait for their policy's next update. Default: none does. */
  readonly buffer?: CallBuffer | undefined;
  readonly signal: AbortSignal;
  /** Hears how many episodes of a batch have ended. */
  readonly onEpisode: (done: number, of: number) => void;
}

export interface Group<Task> {
  readonly task: Task;
  /** Index of the task in its source; of a reflection, of the task that it reflects on. */
  readonly index: number;
  readonly trajectories: readonly Trajectory[];
  /** Ids of those that were sampled in an earlier step and joined it from the store. Default: none. */
  readonly recalled?: ReadonlySet<string>;
  /** Ids of those that the sampler took out again. Default: none. */
  readonly omitted?: ReadonlySet<string>;
  /**
   * Of a search tree: the episode that each one grew from, by id; undefined for a child of the root. Default: episodes are
   * independent of each other.
   */
  readonly parents?: ReadonlyMap<string, string | undefined>;
  /** Its task was made of another one and an episode of that (`reflect`). Default false. */
  readonly reflection?: boolean;
  /** The sampler dropped it: it is not trained on. Default false. */
  readonly dropped?: boolean;
}

/** The episodes of groups that were sampled now. */
export function sampledNow(groups: readonly Group<unknown>[]): Trajectory[] {
  return groups.flatMap(({ trajectories, recalled }) =>
    recalled === undefined ? trajectories : trajectories.filter(({ id }) => !recalled.has(id)),
  );
}

/** Runs `groupSize` episodes of each task, all at once up to the run's concurrency. */
export async function sampleGroups<Task>(
  runner: EpisodeRunner<Task>,
  tasks: readonly Task[],
  chosen: readonly number[],
  about: { readonly purpose: string; readonly step: number },
): Promise<Group<Task>[]> {
  const { method, teams } = runner.settings;
  const groupSize = method.groupSize * Math.max(1, teams.size);
  const places = chosen.flatMap((task, group) =>
    Array.from({ length: groupSize }, (_, sample) => ({ task, group, sample })),
  );
  const { schedule, concurrency } = runner.settings;
  const run = (place: EpisodePlace) => sampleEpisode(runner, tasks[place.task]!, place, about);
  const trajectories =
    schedule === undefined
      ? await mapConcurrently(places, concurrency.episodes, run, runner.onEpisode)
      : await inSchedule(schedule, places, run, runner.onEpisode);
  return chosen.map((index, group) => ({
    task: tasks[index]!,
    index,
    trajectories: trajectories.slice(group * groupSize, (group + 1) * groupSize),
  }));
}

/** Episodes when the schedule says: what they sample depends on their places alone. */
function inSchedule(
  schedule: InfiniteSampling,
  places: readonly EpisodePlace[],
  run: (place: EpisodePlace) => Promise<Trajectory>,
  onEpisode: (done: number, of: number) => void,
): Promise<Trajectory[]> {
  const plan = schedule.schedule(places.map(({ task, group }) => ({ task: String(task), group })));
  let done = 0;
  return runInSchedule(plan, async (place) => {
    const trajectory = await run(places[place]!);
    onEpisode(++done, places.length);
    return trajectory;
  });
}

export interface EpisodePlace {
  /** Index of the task in its source. */
  readonly task: number;
  /** Number of the group in its step. */
  readonly group: number;
  readonly sample: number;
}

/** One episode at its place in the run. */
export function sampleEpisode<Task>(
  { settings, policies, shared, journal, signal }: EpisodeRunner<Task>,
  task: Task,
  place: EpisodePlace,
  { purpose, step }: { readonly purpose: string; readonly step: number },
): Promise<Trajectory> {
  return runRecorded(journal, {
    ...shared,
    workflow: settings.workflow,
    task,
    policies,
    assignment: assignmentOfSample(settings, place.sample),
    stage: "train",
    identity: { purpose, step, ...place },
    seed: settings.seed,
    signal,
    // Where the run has terms of its own, they are what is missing until the group has ended.
    needsReward: settings.rewards === undefined,
  });
}

/** Sampled tokens of complete episodes, by task. */
export function lengthsOf(trajectories: readonly Trajectory[]) {
  return trajectories
    .filter(({ status }) => status === "complete")
    .map(({ identity, calls }) => ({
      task: String(identity.task),
      length: calls.reduce((sum, { output }) => sum + output.length, 0),
    }));
}
