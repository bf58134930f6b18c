/**
 * @file Judges that compare: all episodes of a group in one prompt, ranked; or in pairs. Scores say which episode of the
 * group is better, which is all that group methods need, and what judges are best at. Sources: listwise judging of RecGPT-V2
 * (arXiv 2512.14503) and GroupRank (arXiv 2511.11653: shuffled candidates, two passes, averaged).
 */

import { Stream } from "../random/stream.ts";
import type { Prompt } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { Asker, type JudgeSettings, keyOf } from "./ask.ts";
import { threw } from "./failures.ts";
import type { FinishedEpisode, RewardContext, RewardTerm } from "./reward.ts";
import { scoredValues } from "./terms.ts";

/** An episode as the judge sees it. */
export interface Candidate {
  /** "1", "2", … in the order of the prompt. */
  readonly label: string;
  readonly text: string;
}

interface Comparison<Task> extends JudgeSettings {
  /** What the judge sees of an episode. Default: the result, as text or JSON. Equal ones are judged once. */
  readonly candidate?: (episode: FinishedEpisode<Task>) => string;
}

export interface RelativeJudgeOptions<Task> extends Comparison<Task> {
  readonly prompt: (candidates: readonly Candidate[], task: Task) => Prompt;
  /** A number for each label, in order; higher is better. Throws where it cannot. Default: {@link readRanking}. */
  readonly parse?: (text: string, labels: readonly string[]) => readonly number[];
  /**
   * "rank": the share of the group's other episodes that an episode is better than, a tie counting half. "value": the
   * numbers themselves. Default "rank".
   */
  readonly scores?: "rank" | "value";
  /** Prompts a group. Every second one has the order of the one before, reversed. Default 2. */
  readonly passes?: number;
}

/**
 * One prompt sees all complete episodes of a group. The order is shuffled under a key of the seed and the candidates, and
 * reversed in the second pass, since judges prefer what stands first. Ranks have mean 1/2 over the group; a group of one,
 * or of equal candidates, is 1/2 each (CHOSEN), without asking.
 *
 * @example
 * const better = relativeJudge("better", {
 *   policy: "judge",
 *   prompt: (candidates, task) => [{ role: "user", content: `${task.question}\n${listed(candidates)}\nEnd with "Ranking: " and all numbers, best first, such as 2 > 1 = 3.` }],
 * });
 */
export function relativeJudge<Task = UntypedTask>(
  name: string,
  {
    prompt,
    candidate = resultText,
    parse = readRanking,
    scores = "rank",
    passes = 2,
    ...settings
  }: RelativeJudgeOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  if (!Number.isInteger(passes) || passes < 1)
    throw new RangeError(`Judge "${name}" needs at least one pass, got ${passes}.`);
  const asker = new Asker(name, settings);
  const judgeGroup = async (group: readonly FinishedEpisode<Task>[], context: RewardContext) => {
    const { texts, of } = distinct(group, candidate);
    if (texts.length === 1 && scores === "rank") return group.map(() => 0.5);
    const task = group[0]!.task;
    const rounds = await Promise.all(
      Array.from({ length: passes }, async (_, pass) => {
        const order = orderOf(context.seed, name, texts, pass);
        const shown = order.map((index, i): Candidate => ({ label: String(i + 1), text: texts[index]! }));
        const labels = shown.map(({ label }) => label);
        const values = await asker.ask(
          prompt(shown, task),
          (text) => checked(parse(text, labels), labels.length),
          context,
        );
        const byText: number[] = [];
        for (const [i, index] of order.entries()) byText[index] = values[i]!;
        const own = of.map((index) => byText[index]!);
        return scores === "rank" ? shareBeaten(own) : own;
      }),
    );
    return group.map((_, i) => rounds.reduce((sum, round) => sum + round[i]!, 0) / passes);
  };
  return { ...withoutDeadline(name, judgeGroup), needs: asker.needs, usage: () => asker.usage() };
}

export interface PairwiseJudgeOptions<Task> extends Comparison<Task> {
  /** Two candidates, labelled "A" and "B". */
  readonly prompt: (first: string, second: string, task: Task) => Prompt;
  /** 1: A is better, 0: B is, 1/2: neither. Throws where it cannot. Default: {@link readPreference}. */
  readonly parse?: (text: string) => number;
}

/** Every pair of different candidates, in both orders: an episode's reward is its share of won comparisons. G(G−1) prompts. */
export function pairwiseJudge<Task = UntypedTask>(
  name: string,
  {
    prompt,
    candidate = resultText,
    parse = readPreference,
    ...settings
  }: PairwiseJudgeOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  const asker = new Asker(name, settings);
  const judgeGroup = async (group: readonly FinishedEpisode<Task>[], context: RewardContext) => {
    const { texts, of } = distinct(group, candidate);
    const task = group[0]!.task;
    const read = (text: string) => {
      const share = parse(text);
      if (share >= 0 && share <= 1) return share;
      throw new TypeError(`the parser returned ${String(share)}, not a share between 0 and 1`);
    };
    const beats = (a: number, b: number) => asker.ask(prompt(texts[a]!, texts[b]!, task), read, context);
    // [a][b] how much of a comparison with b does a win?
    const won = texts.map(() => texts.map(() => 0.5));
    await Promise.all(
      texts.flatMap((_, a) =>
        texts.slice(a + 1).map(async (_, offset) => {
          const b = a + 1 + offset;
          const [first, second] = await Promise.all([beats(a, b), beats(b, a)]);
          won[a]![b] = (first + 1 - second) / 2;
          won[b]![a] = 1 - won[a]![b]!;
        }),
      ),
    );
    if (group.length === 1) return [0.5];
    return of.map((a, i) => {
      const others = of.filter((_, j) => j !== i);
      return others.reduce((sum, b) => sum + won[a]![b]!, 0) / others.length;
    });
  };
  return { ...withoutDeadline(name, judgeGroup), needs: asker.needs, usage: () => asker.usage() };
}

/** The candidates under each other, numbered, for prompts. */
export const listed = (candidates: readonly Candidate[]): string =>
  candidates.map(({ label, text }) => `[${label}] ${text}`).join("\n");

/**
 * Reads the last line that orders all labels, best first, with ">" between and "=" for ties: `Ranking: 2 > 1 = 3`. Commas
 * are read as ">". Brackets around labels are allowed.
 */
export function readRanking(text: string, labels: readonly string[]): readonly number[] {
  for (const line of text.split("\n").reverse()) {
    const tiers = line
      .slice(line.lastIndexOf(":") + 1)
      .replace(/[[\]().*]/gu, " ")
      .split(/[>,]/u)
      .map((tier) => tier.split("=").map((label) => label.trim()));
    const found = tiers.flat();
    if (found.length !== labels.length || !labels.every((label) => found.includes(label))) continue;
    return labels.map((label) => -tiers.findIndex((tier) => tier.includes(label)));
  }
  throw new Error(`no line of it orders ${labels.join(", ")}`);
}

/** Reads the last "A", "B" or "tie" that stands alone. */
export function readPreference(text: string): number {
  const said = [...text.matchAll(/(?<![\p{L}\p{N}])(A|B|tie|Tie|TIE)(?![\p{L}\p{N}])/gu)].at(-1)?.[1];
  if (said === undefined) throw new Error('it says neither "A" nor "B" nor "tie"');
  return said === "A" ? 1 : said === "B" ? 0 : 0.5;
}

/** Of the others, the share that each value is above, equal ones counting half: mean 1/2, whatever the values. */
export function shareBeaten(values: readonly number[]): number[] {
  if (values.length === 1) return [0.5];
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length - 1;
    return (below + equal / 2) / (values.length - 1);
  });
}

/** Candidates without duplicates, sorted, so that the order of the episodes changes nothing; and which one is whose. */
function distinct<Task>(
  group: readonly FinishedEpisode<Task>[],
  candidate: (episode: FinishedEpisode<Task>) => string,
): { readonly texts: readonly string[]; readonly of: readonly number[] } {
  const own = group.map(candidate);
  const texts = [...new Set(own)].sort();
  return { texts, of: own.map((text) => texts.indexOf(text)) };
}

/** A permutation of the texts: shuffled in even passes, the one before reversed in odd ones. */
function orderOf(seed: number, name: string, texts: readonly string[], pass: number): readonly number[] {
  const pair = Math.floor(pass / 2);
  const order = new Stream(keyOf(seed, "judge order", name, String(pair), ...texts)).shuffled([
    ...texts.keys(),
  ]);
  return pass % 2 === 0 ? order : order.reverse();
}

function checked(values: readonly number[], count: number): readonly number[] {
  if (Array.isArray(values) && values.length === count && values.every(Number.isFinite)) return values;
  throw new TypeError(`the parser did not return ${count} finite numbers`);
}

function resultText({ result }: FinishedEpisode): string {
  return typeof result === "string" ? result : (JSON.stringify(result) ?? "");
}

/** A term without a deadline of its own: requests have theirs, and a group waits for its turn as long as it takes. */
function withoutDeadline<Task>(
  name: string,
  judgeGroup: (group: readonly FinishedEpisode<Task>[], context: RewardContext) => Promise<readonly number[]>,
): RewardTerm<Task> {
  return {
    name,
    async score(group, context) {
      try {
        return scoredValues(name, group, await judgeGroup(group, context));
      } catch (error) {
        return group.map(({ trajectory }) => ({ failure: threw(name, trajectory, error) }));
      }
    },
  };
}
