/** @file An episode of a run: recorded in the run's journal while it goes on, and taken from there after a crash. */

import type { EffectJournal, EpisodeJournal } from "../store/effect-journal.ts";
import type { Effect } from "../workflow/effect.ts";
import { type EpisodeOptions, runEpisode } from "../workflow/episode.ts";
import type { Trajectory } from "../workflow/trajectory.ts";

/**
 * Runs an episode, or what is left of it. An episode with a call that other weights answered begins anew, since training
 * is on-policy. Without a journal it is `runEpisode`.
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
  if (restored !== undefined) return restored;
  if (!holds) episode.anew();
  const recorded = holds && episode.effects.length > 0 ? { recorded: episode.effects } : {};
  const trajectory = await runEpisode({
    ...options,
    ...recorded,
    onEffect: (effect: Effect) => episode.record(effect),
  });
  if (trajectory.status !== "cancelled") episode.end(trajectory);
  return trajectory;
}

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
