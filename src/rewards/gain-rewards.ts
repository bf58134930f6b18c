/** @file The turn-by-turn rule as a term: helpers earn what the answer after them gained over the answer before them. */

import type { CallRecord, RewardRecord } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { faultOf, underDeadline } from "./failures.ts";
import type { FinishedEpisode, RewardContext, RewardTerm } from "./reward.ts";
import { perEpisode } from "./terms.ts";

export interface GainOptions<Task> {
  /** Its calls are what is scored, in the order in which they were issued. */
  readonly answerer: string;
  /** Earn the gain of the answer that comes next after them. */
  readonly helpers: readonly string[];
  /** How good the episode stands after this call. */
  readonly score: (
    call: CallRecord,
    episode: FinishedEpisode<Task>,
    context: RewardContext,
  ) => number | Promise<number>;
  /** What an answer itself earns: its score, or its gain as well. Default "score". */
  readonly answers?: "score" | "gain";
  /** Score before the first answer. Default 0. */
  readonly before?: number;
}

/**
 * Source: the M-ASK and code allocators of UnityMAS-O (`turns.ts` has them as pure functions). Helpers after the last
 * answer changed nothing and earn 0.
 *
 * @example
 * const gained = gainRewards("gain", { answerer: "answer", helpers: ["search", "summary"], score: (call, { task }) => tokenF1(call.text, task.answer) });
 */
export function gainRewards<Task = UntypedTask>(
  name: string,
  { answerer, helpers, score, answers = "score", before = 0 }: GainOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  return {
    ...perEpisode<Task>(name, async (episode, context) => {
      const { trajectory } = episode;
      const rewards: RewardRecord[] = [];
      let waiting: number[] = [];
      let last = before;
      for (const call of trajectory.calls) {
        if (call.status !== "complete") continue;
        if (helpers.includes(call.agent)) waiting.push(call.id);
        if (call.agent !== answerer) continue;
        const value = await underDeadline(context, () => score(call, episode, context));
        const fault = faultOf(name, trajectory, value, ` for call ${call.id} (agent "${call.agent}")`);
        if (fault !== undefined) return { failure: fault };
        const gain = value - last;
        for (const id of waiting) rewards.push({ name, value: gain, call: id });
        rewards.push({ name, value: answers === "score" ? value : gain, call: call.id });
        waiting = [];
        last = value;
      }
      for (const id of waiting) rewards.push({ name, value: 0, call: id });
      return { rewards };
    }),
    needs: { agents: [answerer, ...helpers] },
  };
}
