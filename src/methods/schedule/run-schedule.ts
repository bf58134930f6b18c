/**
 * @file Runs episodes in the order and the numbers that a schedule says. What an episode samples must depend on its key
 * alone, so that the schedule changes when things happen and never what.
 */

import { wrongSetting } from "../errors.ts";

export interface EpisodeSchedule {
  /** [n] places in the order in which episodes start. */
  readonly order: readonly number[];
  /** Most episodes in flight. */
  readonly slots: number;
  /**
   * Places by wave, in order: a wave starts when the one before has ended. Default: no waves; whatever comes next starts
   * as soon as one has ended.
   */
  readonly waves?: readonly (readonly number[])[];
}

/**
 * Results by place, whatever the order. After a failure nothing new is started, and it is thrown when all that was in
 * flight has ended.
 */
export async function runInSchedule<Result>(
  { order, slots, waves = [order] }: EpisodeSchedule,
  start: (place: number) => Promise<Result>,
): Promise<Result[]> {
  if (!(slots >= 1)) throw wrongSetting("schedule", "slots", slots, "at least 1");
  const results = new Array<Result>(order.length);
  const failures: unknown[] = [];
  for (const wave of waves) {
    let next = 0;
    const lane = async () => {
      while (next < wave.length && failures.length === 0) {
        const place = wave[next++]!;
        try {
          results[place] = await start(place);
        } catch (failure) {
          failures.push(failure);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(slots, wave.length) }, lane));
    if (failures.length > 0) throw failures[0];
  }
  return results;
}
