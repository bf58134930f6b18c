/**
 * @file ToolRL: predicted tool uses against gold ones, R = format {0, 1} + correctness in [−3, 3], correctness = 6 S / S_max − 3.
 * S is the Jaccard index of the tool names as multisets, plus for each gold tool the best of the unused predictions of its
 * name: Jaccard of the parameter names + the number of equal values. S_max = 1 + Σ_gold (1 + parameters).
 * Source: Qian et al., "ToolRL" (arXiv 2504.13958) and its reward code. Equal lists are 3, output that cannot be read −3, and
 * where no tool is expected the correctness is 0. Of equally good predictions the first is taken, as there.
 */

import { isDeepStrictEqual } from "node:util";
import type { ChatToolCall } from "../engine/policy.ts";
import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { rewardFailure } from "./failures.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { wrongRewardSetting } from "./setting.ts";
import { perEpisode } from "./terms.ts";

const defaults = { range: 3 } as const;

/** Σ min / (|a| + |b| − Σ min) over multisets; equal ones are 1, also two empty ones. */
export function multisetJaccard(left: readonly string[], right: readonly string[]): number {
  if (left.length === 0 && right.length === 0) return 1;
  const remaining = [...right];
  let common = 0;
  for (const one of left) {
    const place = remaining.indexOf(one);
    if (place < 0) continue;
    remaining.splice(place, 1);
    common++;
  }
  return common / (left.length + right.length - common);
}

/**
 * In [−range, range].
 * @param predicted undefined: the output could not be read
 * @param gold none: no tool is expected, and the correctness is 0
 * @param range Default 3 (paper); 1 in its ablation
 * @throws RewardDefinitionError if the range is not above 0
 */
export function toolCorrectness(
  predicted: readonly ChatToolCall[] | undefined,
  gold: readonly ChatToolCall[],
  range: number = defaults.range,
): number {
  if (!(range > 0 && Number.isFinite(range)))
    throw wrongRewardSetting("A tool match", "range", range, "a finite number above 0");
  if (gold.length === 0) return 0;
  if (predicted === undefined) return -range;
  let score = multisetJaccard(
    predicted.map(({ name }) => name),
    gold.map(({ name }) => name),
  );
  let largest = 1;
  const used = new Set<number>();
  for (const wanted of gold) {
    largest += 1 + Object.keys(wanted.arguments).length;
    let best = 0;
    let place = -1;
    for (const [i, made] of predicted.entries()) {
      if (used.has(i) || made.name !== wanted.name) continue;
      const match = argumentMatch(made, wanted);
      if (match > best) [best, place] = [match, i];
    }
    if (place >= 0) used.add(place);
    score += best;
  }
  return (2 * range * score) / largest - range;
}

/** Jaccard of the parameter names + the number of equal values. */
function argumentMatch(made: ChatToolCall, wanted: ChatToolCall): number {
  const names = multisetJaccard(Object.keys(made.arguments), Object.keys(wanted.arguments));
  const equal = Object.entries(wanted.arguments).filter(([name, value]) =>
    isDeepStrictEqual(made.arguments[name], value),
  );
  return names + equal.length;
}

export interface ToolMatchOptions<Task> {
  /** What should have been called, in any order. */
  readonly gold: (episode: FinishedEpisode<Task>) => readonly ChatToolCall[];
  /** What was called; undefined: it could not be read. Default: the tools that its model calls asked for, in order. */
  readonly predicted?: (episode: FinishedEpisode<Task>) => readonly ChatToolCall[] | undefined;
  /** Whether the output has the right form; 1 is added if so. Default: no such part. */
  readonly format?: (episode: FinishedEpisode<Task>) => boolean;
  /** Default 3 (paper). A function of the step for ranges that grow or shrink. */
  readonly range?: number | ((step: number) => number);
  /** Whose tools, by default all agents'. */
  readonly agent?: string;
}

/**
 * One reward an episode: format, if told, + correctness, both logged.
 *
 * @example
 * const reward = toolMatch<Task>("tools", { gold: ({ task }) => task.calls, format: ({ result }) => String(result).startsWith("<think>") });
 */
export function toolMatch<Task = UntypedTask>(
  name: string,
  { gold, agent, predicted = asked(agent), format, range = defaults.range }: ToolMatchOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  if (typeof range === "number") toolCorrectness([], [], range);
  const term = perEpisode<Task>(name, async (episode, { step }) => {
    const wanted = gold(episode);
    if (!Array.isArray(wanted)) {
      const failure = rewardFailure(name, episode.trajectory, {
        code: "E_REWARD_MISSING",
        says: "has no gold tools in this episode.",
        hint: "return a list from `gold`; an empty one where no tool is expected.",
      });
      return { failure };
    }
    const reach = typeof range === "number" ? range : range(step);
    const correctness = toolCorrectness(predicted(episode), wanted, reach);
    const form = format === undefined ? undefined : format(episode) ? 1 : 0;
    return {
      rewards: [
        { name, value: correctness + (form ?? 0) },
        { name: `${name}.correctness`, value: correctness, logged: true },
        ...(form === undefined ? [] : [{ name: `${name}.format`, value: form, logged: true as const }]),
      ],
    };
  });
  return agent === undefined ? term : { ...term, needs: { agents: [agent] } };
}

const asked =
  (agent: string | undefined) =>
  ({ trajectory }: FinishedEpisode): readonly ChatToolCall[] =>
    trajectory.calls
      .filter((call) => call.status === "complete" && (agent === undefined || call.agent === agent))
      .flatMap(({ toolCalls = [] }) => toolCalls);

export const toolMatchCard: MethodCard = {
  name: "tool-match",
  title: "Tool match (ToolRL)",
  stage: "reward",
  line: "grades tool calls against gold ones by names, parameters and values: a fine signal where exact match is too coarse",
  use: 'import { toolMatch } from "troupe/rewards"',
  formula: [
    "R = format {0, 1} + correctness; correctness = range · (2 S / S_max − 1)",
    "S = Jaccard of tool names + Σ_gold best unused same-name prediction (Jaccard of parameter names + equal values)",
    "S_max = 1 + Σ_gold (1 + parameters); equal lists: range; unreadable: −range; no tool expected: 0",
  ],
  defaults: {
    range: { value: defaults.range, source: "paper" },
  },
  source: "ToolRL, arXiv 2504.13958",
};
