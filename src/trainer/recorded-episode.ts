/** @file An episode of a run, or a branch of one: recorded in the run's journal while it goes on, and taken from there after a crash. */

import type { EffectJournal, EpisodeJournal } from "../store/effect-journal.ts";
import type { Effect } from "../workflow/effect.ts";
import { type EpisodeOptions, runEpisode } from "../workflow/episode.ts";
import { type ForkOptions, forkEpisode } from "../workflow/fork.ts";
import type { CallRecord, Trajectory } from "../workflow/trajectory.ts";

/**
 * Runs an episode, or what is left of it. An episode with a call that other weights answered begins anew, since training
 * is on-policy. An episode that had failed is tried again: the cause may be gone, and if it is not, it fails again. Without a
 * journal it is `runEpisode`.
 *
 * @throws StoreError if the journal cannot be read; a failed write shows in its `flush`.
 */
export async function runRecorded<Task>(
  journal: EffectJournal | undefined,
  options: EpisodeOptions<Task>,
): Promise<Trajectory> {
  if (journal === undefined) return runEpisode(options);
  const episode = await journal.episode(options.identity);
  const holds = isCurrent(episode, options);
  const restored = holds ? episode.restored(options.task) : undefined;
  if (restored?.status === "complete") return restored;
  if (!holds) episode.anew();
  // A failure that the workflow lived with is a part of the episode, as in a replay.
  const kept = restored === undefined ? episode.effects : episode.effects.filter(succeeded);
  const effects = holds ? kept : [];
  const recorded = effects.length > 0 ? { recorded: effects } : {};
  const trajectory = await runEpisode({
    ...options,
    ...recorded,
    onEffect: (effect: Effect) => episode.record(effect),
  });
  if (trajectory.status !== "cancelled") episode.end(trajectory);
  return trajectory;
}

const succeeded = (effect: Effect) => effect.kind === "draw" || effect.record.status === "complete";

function isCurrent<Task>(
  { effects }: EpisodeJournal,
  { policies, assignment }: EpisodeOptions<Task>,
): boolean {
  return effects.every((effect) => {
    if (effect.kind !== "call" || effect.record.status !== "complete") return true;
    const { agent, policy, version } = effect.record;
    return assignment.get(agent) === policy && policies.get(policy)?.version === version;
  });
}

/**
 * Branches off an episode, or takes the branch from the journal if it had ended: one that was in flight is made anew. It
 * must branch off the very tokens that it branched off before, with the same text put in place of its call, if any.
 *
 * @throws StoreError if the journal cannot be read; a failed write shows in its `flush`.
 */
export async function forkRecorded<Task>(
  journal: EffectJournal | undefined,
  options: ForkOptions<Task>,
): Promise<Trajectory> {
  if (journal === undefined) return forkEpisode(options);
  const { trajectory: parent, at, branch, task = parent.task } = options;
  const episode = await journal.episode(parent.identity, [...parent.forks, { at, branch }]);
  const restored = episode.restored(task);
  if (restored?.status === "complete" && isBranchOf(restored, options)) return restored;
  if (episode.effects.length > 0 || restored !== undefined) episode.anew();
  const forked = await forkEpisode({
    ...options,
    onEffect: (effect: Effect) => episode.record(effect),
  });
  if (forked.status !== "cancelled") episode.end(forked);
  return forked;
}

function isBranchOf<Task>(
  { calls }: Trajectory,
  { trajectory, at, edit, policies, assignment }: ForkOptions<Task>,
): boolean {
  return calls.every(({ id, agent, policy, version, status, output, origin, text }: CallRecord) => {
    if (id < at) return sameTokens(trajectory.calls[id]?.output, output);
    // A text that was put in is of no weights.
    if (id === at && (edit !== undefined || origin === "edited"))
      return origin === "edited" && text === edit?.text;
    return (
      status !== "complete" || (assignment.get(agent) === policy && policies.get(policy)?.version === version)
    );
  });
}

const sameTokens = (left: Int32Array | undefined, right: Int32Array) =>
  left?.length === right.length && left.every((token, i) => token === right[i]);
