/**
 * @file The right option against the wrong ones that the policy finds likeliest, in DPO's form:
 *
 *   L = mean over questions and their pairs of −log σ(β [(lp_w − ref_w) − (lp_l − ref_l)])
 *   ∂L/∂ℓ = −s Σ over its pairs for the right option, +s for each wrong one,   s = weight · β σ(−β d)
 *
 * w is the right option of a question and l each of the `negatives` wrong ones that were likeliest before the update. A
 * question is what is linked: its rows with A > 0 are right, those with A < 0 wrong. lp sums over an option's tokens.
 *
 * Source: the recommender of MixRAGRec's MMAPO (official code): the ten likeliest wrong letters; β 0.1, which is the
 * agent's, while the configuration names 0.2 and its loss does not use it.
 * CHOSEN: a question weighs as its rows do, so with equally many options all pairs weigh the same.
 */

import type { MethodCard } from "../card.ts";
import { LossError } from "../errors.ts";
import type { LossInput, LossOutput } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { LossKernel } from "../parts.ts";
import { checkLossShapes, TokenSums } from "./token-loss.ts";

export interface OptionContrastSettings {
  /** β. Default 0.1 (official code's loss; its configuration has 0.2). */
  readonly beta?: number;
  /** How many wrong options, the likeliest first. Default 10 (official code). */
  readonly negatives?: number;
}

/** @throws MethodSettingsError E_METHOD_SETTING; its loss LossError E_PAIR for a right or wrong option without the other. */
export function optionContrast(
  given: OptionContrastSettings = {},
): LossKernel & { readonly reads: "pairs"; readonly ratio: "none" } {
  const { beta = 0.1, negatives = 10 } = given;
  checkNumber("option-contrast", "beta", beta, { above: 0 });
  checkNumber("option-contrast", "negatives", negatives, { least: 1, integer: true });
  return Object.freeze({
    stage: "loss",
    name: "option-contrast",
    reads: "pairs",
    ratio: "none",
    settings: { beta, negatives },
    needs: { reference: true },
    loss: (input) => contrastLoss(input, beta, negatives),
  } satisfies LossKernel);
}

interface Option {
  readonly tokens: number[];
  /** Σ (ℓ − ℓ_ref) */
  readonly gain: number;
  /** Σ ℓ_old */
  readonly before: number;
}

interface Question {
  rows: number;
  readonly right: Option[];
  readonly wrong: Option[];
}

function contrastLoss(input: LossInput, beta: number, negatives: number): LossOutput {
  checkLossShapes(input, ["referenceLogprobs"]);
  const { logprobs, oldLogprobs, totals } = input;
  const g = new Float32Array(logprobs.length);
  const sums = new TokenSums();
  let loss = 0;
  let correct = 0;
  let margins = 0;
  for (const { rows, right, wrong } of questionsOf(input)) {
    if (right.length === 0 && wrong.length === 0) continue;
    if (right.length === 0 || wrong.length === 0) throw unpaired(rows, right.length === 0);
    // Sorting keeps the order of equals.
    const hard = [...wrong].sort((one, other) => other.before - one.before).slice(0, negatives);
    const w = rows / (totals.sequences * right.length * hard.length);
    let wins = 0;
    let margin = 0;
    for (const chosen of right) {
      for (const rejected of hard) {
        const d = chosen.gain - rejected.gain;
        const x = beta * d;
        const push = (w * beta) / (1 + Math.exp(x));
        // −log σ(x) without overflow.
        loss += w * (Math.max(0, -x) + Math.log1p(Math.exp(-Math.abs(x))));
        for (const t of chosen.tokens) g[t]! -= push;
        for (const t of rejected.tokens) g[t]! += push;
        if (x > 0) wins++;
        margin += d;
      }
    }
    const tokens = [...right, ...wrong].flatMap((option) => option.tokens);
    for (const t of tokens) sums.add(logprobs[t]!, oldLogprobs[t]!, false);
    const pairs = right.length * hard.length;
    correct += (wins / pairs) * tokens.length;
    margins += (margin / pairs) * tokens.length;
  }
  const output = sums.output(loss, g, input.lengths.length);
  const { statistics } = output;
  return {
    ...output,
    statistics: { ...statistics, sums: { ...statistics.sums, pairAccuracy: correct, pairMargin: margins } },
  };
}

function questionsOf(input: LossInput): Iterable<Question> {
  const { lengths, links, logprobs, oldLogprobs, referenceLogprobs, advantages, mask } = input;
  const questions = new Map<string, Question>();
  let at = 0;
  lengths.forEach((length, i) => {
    const link = links?.[i] ?? -1;
    const key = link < 0 ? `alone ${i}` : `${link}`;
    const question = questions.get(key) ?? { rows: 0, right: [], wrong: [] };
    questions.set(key, question);
    question.rows++;
    const tokens: number[] = [];
    let gain = 0;
    let before = 0;
    let sign = 0;
    for (const end = at + length; at < end; at++) {
      if (mask !== undefined && mask[at] === 0) continue;
      tokens.push(at);
      gain += logprobs[at]! - referenceLogprobs![at]!;
      before += oldLogprobs[at]!;
      sign ||= Math.sign(advantages[at]!);
    }
    if (sign !== 0) (sign > 0 ? question.right : question.wrong).push({ tokens, gain, before });
  });
  return questions.values();
}

const unpaired = (rows: number, right: boolean) =>
  new LossError({
    code: "E_PAIR",
    message: `A question of ${rows} linked options has ${right ? "no right" : "no wrong"} one.`,
    hint: "link a question's options, with advantages above and below 0, such as optionTexts() does; an option that the policy's tokenizer cannot write is left out.",
  });

export const optionContrastCard: MethodCard = {
  name: "option-contrast",
  title: "Option contrast",
  stage: "loss",
  line: "raises the right option over the likeliest wrong ones, relative to the policy at the start",
  use: 'import { optionContrast } from "troupe/methods"',
  formula: [
    "L = mean over pairs of −log σ(β [(lp_w − ref_w) − (lp_l − ref_l)])",
    "w: the right option; l: the ten wrong ones that were likeliest before the update",
  ],
  defaults: {
    beta: { value: 0.1, source: "official code's loss; its configuration has 0.2" },
    negatives: { value: 10, source: "official code" },
  },
  source: "MixRAGRec, MMAPO (official code); Rafailov et al. (arXiv 2305.18290)",
  notes: ["CHOSEN: a question weighs as its rows do; with equally many options all pairs weigh the same."],
};
