/** @file Groups of episodes in numbers: how they ended, how rewards are spread, what each agent wrote. */

import { leastDeviation, spreadOf } from "../methods/group-advantage.ts";
import type { EpisodeFailure } from "../workflow/errors.ts";
import type { CallRecord, Trajectory } from "../workflow/trajectory.ts";
import { meanReward } from "../workflow/trajectory.ts";
import { countByCode, failuresOf } from "./failure-watch.ts";
import { meanTerms } from "./step-metrics.ts";

export interface AgentReport {
  readonly agent: string;
  readonly calls: number;
  readonly promptTokens: { readonly mean: number; readonly largest: number };
  readonly outputTokens: { readonly mean: number; readonly largest: number };
  /** Share of outputs cut by `maxTokens` or the context. Not with `maxTokens` of 1: one token was all that was asked for. */
  readonly truncated: number;
  /** Share of outputs that the parser took. */
  readonly parsed: number;
  /** What the parser said most often of those it refused, and one of them. */
  readonly refused?: { readonly reason: string; readonly text: string };
  /** Share of outputs without any visible character. */
  readonly empty: number;
  /** Different outputs ÷ outputs. */
  readonly distinct: number;
  /** The first output. */
  readonly example: string;
}

export interface RewardReport {
  readonly mean: number;
  /** Population standard deviation over all complete episodes. */
  readonly deviation: number;
  readonly least: number;
  readonly most: number;
}

export interface GroupReport {
  /** Groups that have episodes, whatever became of these. */
  readonly run: number;
  /** Groups with at least two complete episodes: only these can be judged. */
  readonly count: number;
  /** Of them, those whose rewards are all equal. */
  readonly withoutSpread: number;
  /** Of those: all at the top (1 or more, or the largest reward seen while others were lower). */
  readonly atMost: number;
  /** Of those: all at the bottom (0 or less, or the smallest reward seen while others were higher). */
  readonly atLeast: number;
  /** Mean of the groups' standard deviations. */
  readonly deviation: number;
}

export interface EpisodeReport {
  readonly episodes: number;
  readonly failed: number;
  /** By "boundary/code". */
  readonly failures: Readonly<Record<string, number>>;
  /** One of the commonest. */
  readonly failure?: EpisodeFailure;
  /** Of the complete episodes; all zeros where none is. */
  readonly reward: RewardReport;
  /** Mean of each reward term by name, over the episodes that have it. */
  readonly terms: Readonly<Record<string, number>>;
  readonly groups: GroupReport;
  readonly agents: readonly AgentReport[];
}

/** Episodes of one step (or of the dry groups); `identity.group` says which belong together. */
export function reportEpisodes(trajectories: readonly Trajectory[]): EpisodeReport {
  const complete = trajectories.filter(({ status }) => status === "complete");
  const rewards = complete.map(meanReward);
  const failed = failuresOf(trajectories.filter(({ status }) => status === "failed"));
  const failures = countByCode(failed);
  const [commonest] = Object.entries(failures).sort(([, a], [, b]) => b - a)[0] ?? [];
  const failure = failed.find(({ boundary, code }) => `${boundary}/${code}` === commonest);
  const reward =
    rewards.length === 0
      ? { mean: 0, deviation: 0, least: 0, most: 0 }
      : { ...spreadOf(rewards, 0), least: Math.min(...rewards), most: Math.max(...rewards) };
  return {
    episodes: trajectories.length,
    failed: trajectories.length - complete.length,
    failures,
    ...(failure === undefined ? {} : { failure }),
    reward,
    terms: meanTerms(complete),
    groups: reportGroups(complete, new Set(trajectories.map(({ identity }) => identity.group)).size, reward),
    agents: [...callsByAgent(trajectories)].map(([agent, calls]) => reportAgent(agent, calls)),
  };
}

function reportGroups(
  complete: readonly Trajectory[],
  ran: number,
  { least, most }: RewardReport,
): GroupReport {
  const byGroup = new Map<number, number[]>();
  for (const trajectory of complete) {
    const { group } = trajectory.identity;
    byGroup.set(group, [...(byGroup.get(group) ?? []), meanReward(trajectory)]);
  }
  const groups = [...byGroup.values()].filter(({ length }) => length > 1).map((own) => spreadOf(own, 0));
  const equal = groups.filter(({ deviation }) => deviation < leastDeviation);
  const varied = most - least >= leastDeviation;
  const isTop = (mean: number) => mean >= 1 || (varied && mean >= most - leastDeviation);
  const isBottom = (mean: number) => mean <= 0 || (varied && mean <= least + leastDeviation);
  return {
    run: ran,
    count: groups.length,
    withoutSpread: equal.length,
    atMost: equal.filter(({ mean }) => isTop(mean)).length,
    atLeast: equal.filter(({ mean }) => !isTop(mean) && isBottom(mean)).length,
    deviation:
      groups.length === 0 ? 0 : groups.reduce((sum, { deviation }) => sum + deviation, 0) / groups.length,
  };
}

/** Calls of failed episodes count as well: an episode that failed in its parser must show in the parse rate. */
function callsByAgent(trajectories: readonly Trajectory[]): Map<string, CallRecord[]> {
  const byAgent = new Map<string, CallRecord[]>();
  for (const { calls } of trajectories) {
    for (const call of calls) {
      if (call.status !== "complete") continue;
      const known = byAgent.get(call.agent);
      if (known === undefined) byAgent.set(call.agent, [call]);
      else known.push(call);
    }
  }
  return byAgent;
}

/** Tokens of an output. */
const written = ({ output, usage }: CallRecord) => usage?.outputTokens ?? output.length;

function reportAgent(agent: string, calls: readonly CallRecord[]): AgentReport {
  const share = (test: (call: CallRecord) => boolean) => calls.filter(test).length / calls.length;
  const size = (of: (call: CallRecord) => number) => ({
    mean: calls.reduce((sum, call) => sum + of(call), 0) / calls.length,
    largest: Math.max(...calls.map(of)),
  });
  const refused = commonestRefusal(calls);
  return {
    agent,
    calls: calls.length,
    promptTokens: size(({ prompt, usage }) => usage?.promptTokens ?? prompt.length),
    outputTokens: size(written),
    truncated: share(
      (call) => call.stopReason === "context" || (call.stopReason === "length" && written(call) > 1),
    ),
    // A call that asked for tools was not given to the parser.
    parsed: share(({ parse }) => parse?.ok !== false),
    ...(refused === undefined ? {} : { refused }),
    empty: share(({ text, toolCalls }) => text.trim() === "" && (toolCalls?.length ?? 0) === 0),
    distinct: new Set(calls.map(({ text }) => text)).size / calls.length,
    example: calls[0]!.text,
  };
}

function commonestRefusal(calls: readonly CallRecord[]): AgentReport["refused"] {
  const byReason = new Map<string, { count: number; readonly text: string }>();
  for (const { parse, text } of calls) {
    if (parse?.ok !== false) continue;
    const known = byReason.get(parse.reason);
    if (known === undefined) byReason.set(parse.reason, { count: 1, text });
    else known.count++;
  }
  const [first] = [...byReason].sort(([, a], [, b]) => b.count - a.count);
  return first && { reason: first[0], text: first[1].text };
}
