/** @file What a group of episodes says about whether anything can be learned, in words. */

import { spreadOf } from "../methods/group-advantage.ts";
import type { CallRecord, Trajectory } from "../workflow/trajectory.ts";
import { trajectoryReward } from "../workflow/trajectory.ts";

export interface AgentReport {
  readonly agent: string;
  readonly calls: number;
  readonly promptTokens: { readonly mean: number; readonly largest: number };
  readonly outputTokens: { readonly mean: number; readonly largest: number };
  /** Share of outputs cut by `maxTokens` or the context. */
  readonly truncated: number;
  /** Share of outputs that the parser took. */
  readonly parsed: number;
}

export interface EpisodeReport {
  readonly episodes: number;
  readonly failed: number;
  readonly reward: {
    readonly mean: number;
    readonly deviation: number;
    readonly least: number;
    readonly most: number;
  };
  readonly agents: readonly AgentReport[];
}

export function reportEpisodes(trajectories: readonly Trajectory[]): EpisodeReport {
  const complete = trajectories.filter(({ status }) => status === "complete");
  const rewards = complete.map(trajectoryReward);
  const byAgent = new Map<string, CallRecord[]>();
  for (const { calls } of complete) {
    for (const call of calls) {
      if (call.status !== "complete") continue;
      const known = byAgent.get(call.agent);
      if (known === undefined) byAgent.set(call.agent, [call]);
      else known.push(call);
    }
  }
  const { mean, deviation } = spreadOf(rewards, 0);
  return {
    episodes: trajectories.length,
    failed: trajectories.length - complete.length,
    reward: { mean, deviation, least: Math.min(...rewards), most: Math.max(...rewards) },
    agents: [...byAgent].map(([agent, calls]) => reportAgent(agent, calls)),
  };
}

function reportAgent(agent: string, calls: readonly CallRecord[]): AgentReport {
  const share = (test: (call: CallRecord) => boolean) => calls.filter(test).length / calls.length;
  const size = (of: (call: CallRecord) => number) => ({
    mean: calls.reduce((sum, call) => sum + of(call), 0) / calls.length,
    largest: Math.max(...calls.map(of)),
  });
  return {
    agent,
    calls: calls.length,
    promptTokens: size(({ prompt }) => prompt.length),
    outputTokens: size(({ output }) => output.length),
    truncated: share(({ stopReason }) => stopReason === "length" || stopReason === "context"),
    parsed: share(({ parse }) => parse?.ok === true),
  };
}

const percent = (value: number) => `${Math.round(value * 100)} %`;

/** A few lines for the first group. */
export function describeReport({ episodes, failed, reward, agents }: EpisodeReport): string {
  const lines = [
    `first group: ${episodes - failed} of ${episodes} episodes complete, reward ${reward.mean.toFixed(3)} (from ${reward.least.toFixed(3)} to ${reward.most.toFixed(3)})`,
  ];
  for (const { agent, calls, promptTokens, outputTokens, truncated, parsed } of agents) {
    lines.push(
      `  ${agent}: ${calls} calls, prompt ${Math.round(promptTokens.mean)} tokens (at most ${promptTokens.largest}), output ${outputTokens.mean.toFixed(1)} (at most ${outputTokens.largest}), parsed ${percent(parsed)}, cut off ${percent(truncated)}`,
    );
  }
  return lines.join("\n");
}

/** Why steps without any difference in reward teach nothing, and what it most likely comes from. */
export function explainNoSignal(
  trajectories: readonly Trajectory[],
  streak: number,
  methodName: string,
): string {
  const { reward, agents, episodes } = reportEpisodes(trajectories);
  const lines = [
    `No group had rewards that differ, for ${streak} steps: ${
      reward.least === reward.most
        ? `all ${episodes} rewards of this step are ${reward.most.toFixed(3)}`
        : "within each group all episodes got the same"
    }.`,
    `  ${methodName} learns from differences inside a group, so these steps changed nothing.`,
  ];
  const cut = agents.find(({ truncated }) => truncated > 0.5);
  const unparsed = agents.find(({ parsed }) => parsed < 0.5);
  if (cut !== undefined) {
    lines.push(
      `  Most likely: ${percent(cut.truncated)} of agent "${cut.agent}"'s outputs are cut off before their end, so the answer never comes.`,
      `  Try: raise its maxTokens, or give it a stop string.`,
    );
  } else if (unparsed !== undefined) {
    lines.push(
      `  Most likely: the parser of agent "${unparsed.agent}" refuses ${percent(1 - unparsed.parsed)} of its outputs.`,
      `  Try: look at one in episodes/, loosen the parser, or reward the format by itself.`,
    );
  } else if (reward.most <= 0) {
    lines.push(
      "  Most likely: the tasks are too hard for the policy as it is.",
      "  Try: easier tasks first, more episodes a group, or a reward that also pays for part of the answer.",
    );
  } else {
    lines.push(
      "  Most likely: the tasks are too easy, or the reward does not depend on what the agents write.",
      "  Try: harder tasks, a higher sampling temperature, or a finer reward.",
    );
  }
  return lines.join("\n");
}
