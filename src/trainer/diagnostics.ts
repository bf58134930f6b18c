/** @file What groups of episodes say about whether anything can be learned, in words. */

import type { Trajectory } from "../workflow/trajectory.ts";
import { type EpisodeReport, reportEpisodes } from "./episode-report.ts";

export { type EpisodeReport, reportEpisodes } from "./episode-report.ts";

/** What can be wrong. Closed. */
export type FindingCode =
  /** Episodes failed. */
  | "failures"
  /** No agent was asked in any episode, and yet they ended. */
  | "no calls"
  /** Most outputs of an agent end because no more tokens were allowed. */
  | "truncation"
  /** An agent's parser refuses most outputs. */
  | "parser"
  /** Most outputs of an agent are empty. */
  | "empty outputs"
  /** An agent writes the same in all episodes, so its calls cannot differ in success. */
  | "same outputs"
  /** Every episode got the same reward, neither the top nor the bottom of it. */
  | "equal rewards"
  /** Groups without signal, most of them because every episode succeeds. */
  | "too easy"
  /** Groups without signal, most of them because every episode fails at the task. */
  | "too hard"
  /** Groups without signal for other reasons: the reward does not depend on what the agents write. */
  | "no signal";

export interface Finding {
  readonly code: FindingCode;
  /** What was seen, with its numbers. */
  readonly text: string;
  /** What to do next. */
  readonly hint: string;
}

const percent = (value: number) => `${Math.round(value * 100)} %`;

/** At most 80 characters, on one line. */
const excerpt = (text: string) => JSON.stringify(text.length <= 80 ? text : `${text.slice(0, 80)}…`);

/** Most likely causes first. Nothing to say: an empty list. */
export function findingsOf(report: EpisodeReport): readonly Finding[] {
  const findings: Finding[] = [];
  const { agents, failure, failures, failed, episodes } = report;
  if (failure !== undefined) {
    const counts = Object.entries(failures).map(([what, count]) => `${what} ${count}×`);
    findings.push({
      code: "failures",
      text: `${failed} of ${episodes} episodes failed and are left out (${counts.join(", ")}); for example: ${failure.message}`,
      hint: failure.hint ?? `look at where it says "${failure.boundary}": ${boundaryHints[failure.boundary]}`,
    });
  }
  if (agents.length === 0 && failed < episodes) {
    findings.push({
      code: "no calls",
      text: `${episodes - failed} of ${episodes} episodes ended well, and none of them asked an agent.`,
      hint: "look at how the workflow begins: a task without a field that it needs may make it end at once.",
    });
  }
  for (const { agent, truncated, outputTokens, parsed, refused, empty, distinct, example, calls } of agents) {
    if (truncated > 0.5) {
      findings.push({
        code: "truncation",
        text: `${percent(truncated)} of agent "${agent}"'s outputs are cut off before their end (the longest has ${outputTokens.largest} tokens), so what it wants to say never comes.`,
        hint: `raise maxTokens of "${agent}", or give it a stop string that it reaches earlier.`,
      });
    }
    if (parsed < 0.5 && refused !== undefined) {
      findings.push({
        code: "parser",
        text: `the parser of agent "${agent}" refuses ${percent(1 - parsed)} of its outputs, most often: ${refused.reason} (for example ${excerpt(refused.text)}).`,
        hint: "loosen the parser, show the format in the prompt, or reward the format by itself.",
      });
    }
    if (empty > 0.5) {
      findings.push({
        code: "empty outputs",
        text: `${percent(empty)} of agent "${agent}"'s outputs are empty.`,
        hint: "look at its prompt and stop strings: a stop string at the very beginning ends the output before it starts.",
      });
    } else if (calls > 3 && distinct * calls <= 1.5) {
      findings.push({
        code: "same outputs",
        text: `agent "${agent}" wrote the same in all ${calls} calls: ${excerpt(example)}.`,
        hint: "raise its sampling temperature in training, or begin with a model that is less sure.",
      });
    }
  }
  const explained = findings.length > 0;
  findings.push(...signalFindings(report, explained));
  return findings;
}

const boundaryHints: Readonly<Record<string, string>> = {
  model: "the engine of a policy",
  tool: "a tool of the workflow",
  reward: "the reward",
  parser: "the workflow used `parsed` of an output that the parser refused; look at `reply.parse.ok` first",
  workflow: "the workflow's own code, or a prompt function",
  internal: "Troupe itself; please report it",
};

/** One group says little of the others. */
const theTasks = (groups: number) =>
  groups === 1 ? "this task, and perhaps the others (--dry runs more groups), is" : "the tasks are";

/** `explained`: something was found that makes outputs worthless, so the tasks are not to blame yet. */
function signalFindings({ groups, reward, episodes, failed }: EpisodeReport, explained: boolean): Finding[] {
  const { count, withoutSpread, atMost, atLeast } = groups;
  if (count === 0 || withoutSpread * 2 <= count) return [];
  const which =
    withoutSpread === count
      ? count === 1
        ? "the group has rewards that are all equal"
        : `none of the ${count} groups has rewards that differ`
      : `${withoutSpread} of ${count} groups have rewards that are all equal`;
  const all = reward.least === reward.most && withoutSpread === count;
  const value = `all ${episodes - failed} rewards are ${reward.most.toFixed(3)}`;
  const seen = all ? `${which}: ${value}` : which;
  if (explained) {
    return [
      {
        code: "no signal",
        text: `${seen}; what was said before explains it.`,
        hint: "correct that first, and look again with --dry.",
      },
    ];
  }
  if (atMost * 2 > withoutSpread) {
    return [
      {
        code: "too easy",
        text: `${seen}; ${atMost === withoutSpread ? "they are" : `${atMost} of them are`} at the top, so ${theTasks(count)} too easy for the policy as it is.`,
        hint: "take harder tasks, or a finer reward that still tells good answers from very good ones.",
      },
    ];
  }
  if (atLeast * 2 > withoutSpread) {
    return [
      {
        code: "too hard",
        text: `${seen}; ${atLeast === withoutSpread ? "they are" : `${atLeast} of them are`} at the bottom, so ${theTasks(count)} too hard for the policy as it is.`,
        hint: "take easier tasks first, more episodes a group, or a reward that also pays for part of the answer.",
      },
    ];
  }
  if (all) {
    return [
      {
        code: "equal rewards",
        text: `${seen}. The reward does not depend on what the agents write.`,
        hint: "check that the reward function looks at the result, and that a cap or a rounding does not make all results equal.",
      },
    ];
  }
  return [
    {
      code: "no signal",
      text: `${seen}.`,
      hint: "a higher sampling temperature, more episodes a group, or a finer reward gives differences to learn from.",
    },
  ];
}

/** A few lines for the first groups. */
export function describeReport({ episodes, failed, reward, groups, agents, terms }: EpisodeReport): string {
  const name = groups.run > 1 ? `first ${groups.run} groups` : "first group";
  const complete = episodes - failed;
  const lines = [
    complete === 0
      ? `${name}: 0 of ${episodes} episodes complete`
      : `${name}: ${complete} of ${episodes} episodes complete, reward ${reward.mean.toFixed(3)} (from ${reward.least.toFixed(3)} to ${reward.most.toFixed(3)}, deviation within groups ${groups.deviation.toFixed(3)})`,
  ];
  if (groups.count > 1) {
    lines.push(
      `  groups: ${groups.count - groups.withoutSpread} of ${groups.count} have rewards that differ${groups.withoutSpread === 0 ? "" : ` (equal: ${groups.atMost} at the top, ${groups.atLeast} at the bottom)`}`,
    );
  }
  if (Object.keys(terms).length > 1) {
    const means = Object.entries(terms).map(([term, mean]) => `${term} ${mean.toFixed(3)}`);
    lines.push(`  terms: ${means.join(", ")}`);
  }
  for (const { agent, calls, promptTokens, outputTokens, truncated, parsed } of agents) {
    lines.push(
      `  ${agent}: ${calls} calls, prompt ${Math.round(promptTokens.mean)} tokens (at most ${promptTokens.largest}), output ${outputTokens.mean.toFixed(1)} (at most ${outputTokens.largest}), parsed ${percent(parsed)}, cut off ${percent(truncated)}`,
    );
  }
  return lines.join("\n");
}

export function describeFinding({ text, hint }: Finding): string {
  return `${text}\n  Try: ${hint}`;
}

/** Why steps without any difference in reward teach nothing, and what it most likely comes from. */
export function explainNoSignal(
  trajectories: readonly Trajectory[],
  streak: number,
  methodName: string,
): string {
  const report = reportEpisodes(trajectories);
  const lines = [
    `No group had rewards that differ, for ${streak} steps; ${methodName} learns from differences inside a group, so these steps changed nothing.`,
  ];
  const findings = findingsOf(report);
  for (const [i, { text, hint }] of findings.entries())
    lines.push(`  ${i === 0 ? "Most likely" : "Also"}: ${text}`, `    Try: ${hint}`);
  return lines.join("\n");
}
