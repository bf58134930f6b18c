/**
 * @file Rewards from a judge: a policy of the run, frozen, remote or even trained, that reads an episode or a call and
 * says how good it is. Every episode is judged for itself; `relative-judge.ts` compares the episodes of a group.
 */

import type { CallRecord, Prompt, RewardRecord } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { Asker, type JudgeSettings } from "./ask.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { perEpisode } from "./terms.ts";

export interface JudgeOptions<Task> extends JudgeSettings {
  /** A text goes to the policy as it is; messages through its chat template. Text-only policies get a text as user's. */
  readonly prompt: (episode: FinishedEpisode<Task>) => Prompt | Promise<Prompt>;
  /** Reads the verdict; throws where it cannot. Default: {@link readScore} from 0 to 10. */
  readonly parse?: (text: string) => number;
  /** For the calls of this agent only. Default: the whole trajectory. */
  readonly agent?: string;
}

/**
 * One verdict an episode.
 *
 * @example
 * const helpful = judge("helpful", {
 *   policy: "judge",
 *   prompt: ({ task, result }) => [{ role: "user", content: `Question: ${task.question}\nAnswer: ${result}\nEnd with "Score: " and a number from 0 to 10.` }],
 * });
 */
export function judge<Task = UntypedTask>(
  name: string,
  { prompt, parse = readScore(), agent, ...settings }: JudgeOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  const asker = new Asker(name, settings);
  const read = finite(parse);
  return {
    ...perEpisode<Task>(name, async (episode, context) => {
      const value = await asker.ask(await prompt(episode), read, context);
      return { rewards: [{ name, value, ...(agent === undefined ? {} : { agent }) }] };
    }),
    needs: { ...asker.needs, ...(agent === undefined ? {} : { agents: [agent] }) },
    usage: () => asker.usage(),
  };
}

export interface CallJudgeOptions<Task> extends JudgeSettings {
  /** Undefined: this call is not judged. */
  readonly prompt: (
    call: CallRecord,
    episode: FinishedEpisode<Task>,
  ) => Prompt | undefined | Promise<Prompt | undefined>;
  readonly parse?: (text: string) => number;
}

/** One verdict a completed call: the process reward of a critic, as in CollabUIAgents (arXiv 2502.14496). */
export function callJudge<Task = UntypedTask>(
  name: string,
  { prompt, parse = readScore(), ...settings }: CallJudgeOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  const asker = new Asker(name, settings);
  const read = finite(parse);
  return {
    ...perEpisode<Task>(name, async (episode, context) => {
      const calls = episode.trajectory.calls.filter(({ status }) => status === "complete");
      const records = await Promise.all(
        calls.map(async (call): Promise<RewardRecord[]> => {
          const asked = await prompt(call, episode);
          if (asked === undefined) return [];
          return [{ name, value: await asker.ask(asked, read, context), call: call.id }];
        }),
      );
      return { rewards: records.flat() };
    }),
    needs: asker.needs,
    usage: () => asker.usage(),
  };
}

const finite = (parse: (text: string) => number) => (text: string) => {
  const value = parse(text);
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new TypeError(`the parser returned ${String(value)}`);
};

/**
 * Reads the number after the last "score" of a text, or the only number of a text, and maps [from, to] to [0, 1]. Throws
 * if there is none or if it lies outside. "7/10" is 7.
 */
export function readScore({ from = 0, to = 10 } = {}): (text: string) => number {
  return (text) => {
    const number = String.raw`-?\d+(?:\.\d+)?`;
    const named = [...text.matchAll(new RegExp(`score\\W{0,8}(${number})`, "giu"))].at(-1)?.[1];
    const plain = [...text.matchAll(new RegExp(`(?<![\\d/.])${number}`, "gu"))];
    const found = named ?? (plain.length === 1 ? plain[0]![0] : undefined);
    if (found === undefined) throw new Error('it has no "Score: " and not just one number');
    const value = Number(found);
    if (value < from || value > to) throw new Error(`its score ${value} is not between ${from} and ${to}`);
    return (value - from) / (to - from);
  };
}
