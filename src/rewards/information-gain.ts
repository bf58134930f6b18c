/**
 * @file What retrieved evidence was worth to a recommender, paid to those who chose and wrote it:
 *
 *   R = R_rec + λ R_MIG,   R_rec = P_e(said) if it is right, else −0.1
 *   R_MIG = KL(P_e ‖ P_1) − η C(e), and 0 for e = 1;   C = (0, 0.1, 0.2, 0.3), λ = 0.2, η = 0.005
 *
 * P is the recommender's distribution over the options of the question, with the evidence of expert e or with expert 1's
 * (`option-scores.ts`). Source: MixRAGRec (official code; the paper's body was not readable). Its functions fall back to
 * λ = 0.5 and η = 0.1 where the configuration is silent. Without logits P = softmax of cosine(text, option): `similarity`.
 */

import type { AnyPolicy } from "../engine/policy.ts";
import type { MethodCard } from "../methods/card.ts";
import type { CallRecord, Prompt, RewardRecord } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { underDeadline } from "./failures.ts";
import { logSoftmax, OptionScoreError, OptionScorer, type ScoringTerm } from "./option-scores.ts";
import { type FinishedEpisode, type RewardContext, RewardDefinitionError } from "./reward.ts";
import { checkFinite, wrongRewardSetting } from "./setting.ts";
import { perEpisode } from "./terms.ts";

const defaults = { gainWeight: 0.2, costWeight: 0.005, costs: [0, 0.1, 0.2, 0.3], wrong: -0.1 } as const;

export interface GainNumbers {
  /** λ. Default 0.2 (official configuration; its code falls back to 0.5). */
  readonly gainWeight?: number;
  /** η. Default 0.005 (official configuration; its code falls back to 0.1). */
  readonly costWeight?: number;
  /** C, by expert from 1. Default 0, 0.1, 0.2, 0.3 (official code). */
  readonly costs?: readonly number[];
  /** R_rec of a wrong answer. Default −0.1 (official code). */
  readonly wrong?: number;
}

export interface GainFacts {
  /** [options] log P_e and log P_1 */
  readonly now: ArrayLike<number>;
  readonly baseline: ArrayLike<number>;
  /** Places among the options; −1 for a word that is none of them. */
  readonly said: number;
  readonly answer: number;
  /** From 1, which is no retrieval. */
  readonly expert: number;
}

export interface Gain {
  /** R */
  readonly reward: number;
  /** R_rec */
  readonly recommendation: number;
  /** R_MIG */
  readonly gain: number;
  /** KL(P_e ‖ P_1), nats */
  readonly divergence: number;
}

/** @throws RewardDefinitionError E_REWARD_RANGE */
export function gainOf(
  { now, baseline, said, answer, expert }: GainFacts,
  {
    gainWeight = defaults.gainWeight,
    costWeight = defaults.costWeight,
    costs = defaults.costs,
    wrong = defaults.wrong,
  }: GainNumbers = {},
): Gain {
  const what = "An information-gain reward";
  checkFinite(what, "a number", [gainWeight, costWeight, wrong, ...costs]);
  if (!Number.isInteger(expert) || expert < 1 || expert > costs.length)
    throw wrongRewardSetting(what, "expert", expert, `an integer from 1 to ${costs.length}`);
  if (now.length !== baseline.length)
    throw wrongRewardSetting(
      what,
      "baseline",
      baseline.length,
      `of as many options as the other, ${now.length}`,
    );
  let divergence = 0;
  for (let i = 0; i < now.length; i++) divergence += Math.exp(now[i]!) * (now[i]! - baseline[i]!);
  const gain = expert === 1 ? 0 : divergence - costWeight * costs[expert - 1]!;
  const recommendation = said === answer ? Math.exp(now[said]!) : wrong;
  return { reward: recommendation + gainWeight * gain, recommendation, gain, divergence };
}

export interface GainQuestion {
  /** What could be answered, exactly as it is said: "A" to "T". */
  readonly options: readonly string[];
  /** The right one. */
  readonly answer: string;
  /** Whose evidence the recommender saw, from 1, which is no retrieval. */
  readonly expert: number;
}

export interface InformationGainOptions<Task> extends GainNumbers {
  /** Agent that answers; its last call's prompt has the evidence of expert e. */
  readonly recommender: string;
  /** Agents that are paid, such as the selector and the aligner. */
  readonly agents: readonly string[];
  readonly question: (episode: FinishedEpisode<Task>) => GainQuestion;
  /** What the recommender would have been asked with expert 1's evidence. */
  readonly baseline: (episode: FinishedEpisode<Task>) => Prompt;
  /** What it said. Default: the text of its last call, without spaces around it. */
  readonly said?: (episode: FinishedEpisode<Task>) => string;
  /** The recommender's: a policy of the run or an opened one. Needed, except with `similarity`. */
  readonly policy?: string | AnyPolicy;
  /** Questions that are kept in memory. Default 4096. */
  readonly cache?: number;
  /** P of every option is logged too, as `<name>.option.<option>`. Default true. */
  readonly logOptions?: boolean;
  /** For a recommender that speaks text only: P = softmax of cosine(text, option). Default: option log-probs. */
  readonly similarity?: TextSimilarity<Task>;
}

export interface TextSimilarity<Task> {
  /** What the recommender says with expert 1's evidence. */
  readonly baseline: (episode: FinishedEpisode<Task>, context: RewardContext) => string | Promise<string>;
  /** [d] of a text; never all zeros. */
  readonly embed: (text: string) => ArrayLike<number> | Promise<ArrayLike<number>>;
}

/**
 * One reward an episode for each agent of `agents`. Where the recommender said something that is no option it is wrong.
 *
 * @throws RewardDefinitionError where it is defined, for numbers out of range and for a policy that speaks text only.
 * @example
 * const gain = informationGain("gain", {
 *   policy: "recommender", recommender: "recommender", agents: ["selector", "aligner"],
 *   question: ({ task, result }) => ({ options: task.letters, answer: task.letter, expert: result.expert }),
 *   baseline: ({ task }) => askWithout(task),
 * });
 */
export function informationGain<Task = UntypedTask>(
  name: string,
  options: InformationGainOptions<NoInfer<Task>>,
): ScoringTerm<Task> {
  const { recommender, agents, policy, cache, similarity, logOptions = true } = options;
  // Settings that can never be right are found now.
  gainOf({ now: [0], baseline: [0], said: 0, answer: 0, expert: 1 }, options);
  if (agents.length === 0) {
    throw new RewardDefinitionError({
      code: "E_REWARD_AGENTS",
      message: `Reward "${name}" pays no agent.`,
      hint: 'name those who chose and wrote the evidence, such as agents: ["selector", "aligner"].',
    });
  }
  if (policy === undefined && similarity === undefined) {
    throw new RewardDefinitionError({
      code: "E_REWARD_POLICY",
      message: `Reward "${name}" is not told which policy scores the options.`,
      hint: "give `policy`, the one that the recommender runs on, or `similarity` where it speaks text only.",
    });
  }
  const scorer =
    similarity === undefined && policy !== undefined
      ? new OptionScorer(name, { policy, ...(cache === undefined ? {} : { cache }) })
      : undefined;
  const term = perEpisode<Task>(name, async (episode, context) => {
    const call = lastCall(name, recommender, episode);
    const question = options.question(episode);
    const { options: letters, expert } = question;
    const answer = placeOfAnswer(name, question);
    const said = letters.indexOf((options.said?.(episode) ?? call.text).trim());
    const [now, baseline] =
      scorer === undefined
        ? await bySimilarity(similarity!, call.text, episode, letters, context)
        : await Promise.all([
            scorer.logDistribution(promptOf(call, scorer.policyOf(context).name), letters, context),
            scorer.logDistribution(options.baseline(episode), letters, context),
          ]);
    const { reward, recommendation, gain, divergence } = gainOf(
      { now, baseline, said, answer, expert },
      options,
    );
    const logged = (what: string, value: number): RewardRecord => ({
      name: `${name}.${what}`,
      value,
      logged: true,
    });
    return {
      rewards: [
        ...agents.map((agent): RewardRecord => ({ name, value: reward, agent })),
        logged("recommendation", recommendation),
        logged("gain", gain),
        logged("divergence", divergence),
        logged("answer", Math.exp(now[answer]!)),
        ...(logOptions ? letters.map((letter, i) => logged(`option.${letter}`, Math.exp(now[i]!))) : []),
      ],
    };
  });
  return {
    ...term,
    scores: scorer?.policies ?? [],
    needs: { policies: scorer?.policies ?? [], agents: [...new Set([recommender, ...agents])] },
    ...(scorer === undefined ? {} : { usage: () => scorer.usage() }),
  };
}

/** The exact tokens where the same policy answered; another one reads the messages in its own way. */
const promptOf = ({ policy, prompt, input }: CallRecord, asked: string): Prompt | Int32Array =>
  policy === asked && prompt.length > 0 ? prompt : input;

function lastCall<Task>(name: string, agent: string, { trajectory }: FinishedEpisode<Task>): CallRecord {
  const found = trajectory.calls.findLast((call) => call.status === "complete" && call.agent === agent);
  if (found !== undefined) return found;
  throw new OptionScoreError({
    code: "E_OPTION_SCORES",
    message: `agent "${agent}" has no complete call, so "${name}" has nothing to compare`,
    hint: "let it answer in every episode, expert 1's included.",
  });
}

function placeOfAnswer(name: string, { options, answer }: GainQuestion): number {
  const place = options.indexOf(answer);
  if (place >= 0 && new Set(options).size === options.length && options.length > 1) return place;
  throw new OptionScoreError({
    code: "E_OPTION_SCORES",
    message: `the question of "${name}" has ${options.length} options (${options.slice(0, 30).join(", ")}) and the answer ${JSON.stringify(answer)}`,
    hint: "`question` returns two or more different options with the right one among them.",
  });
}

async function bySimilarity<Task>(
  { baseline, embed }: TextSimilarity<Task>,
  text: string,
  episode: FinishedEpisode<Task>,
  options: readonly string[],
  context: RewardContext,
): Promise<[Float64Array, Float64Array]> {
  const without = await underDeadline(context, () => baseline(episode, context));
  const vectors = await Promise.all(
    [text, without, ...options].map((one) => underDeadline(context, () => embed(one))),
  );
  const of = (vector: ArrayLike<number>) => logSoftmax(vectors.slice(2).map((one) => cosine(vector, one)));
  return [of(vectors[0]!), of(vectors[1]!)];
}

function cosine(left: ArrayLike<number>, right: ArrayLike<number>): number {
  let product = 0;
  let a = 0;
  let b = 0;
  for (let i = 0; i < left.length; i++) {
    product += left[i]! * right[i]!;
    a += left[i]! ** 2;
    b += right[i]! ** 2;
  }
  const value = product / Math.sqrt(a * b);
  if (Number.isFinite(value) && left.length === right.length) return value;
  throw new OptionScoreError({
    code: "E_OPTION_SCORES",
    message: `two texts' embeddings of ${left.length} and ${right.length} numbers have no cosine`,
    hint: "`embed` returns as many finite numbers for every text, not all of them 0.",
  });
}

export const informationGainCard: MethodCard = {
  name: "information-gain",
  title: "Information gain of evidence",
  stage: "reward",
  line: "pays retrieval for how far its evidence moved a recommender's options, and for its right answers",
  use: 'import { informationGain } from "troupe/rewards"',
  formula: [
    "R = R_rec + λ R_MIG;   R_rec = P_e(said) if right, else −0.1",
    "R_MIG = KL(P_e ‖ P_1) − η C(e), 0 for e = 1",
    "P = softmax over the log-probs of the options",
  ],
  defaults: {
    gainWeight: { value: defaults.gainWeight, source: "official configuration; its code falls back to 0.5" },
    costWeight: {
      value: defaults.costWeight,
      source: "official configuration; its code falls back to 0.1",
    },
    costs: { value: defaults.costs, source: "official code" },
    wrong: { value: defaults.wrong, source: "official code" },
    logOptions: { value: true, source: "CHOSEN" },
  },
  source: "MixRAGRec (official code)",
  notes: ["P of an option of several tokens: the sum of their log-probs (CHOSEN)."],
};
