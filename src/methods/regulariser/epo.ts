/**
 * @file EPO: an entropy bonus that is held in a corridor around what the entropy has been,
 *
 *   L += −λ (L_H − β_k L_s),   L_H = mean H_t,   L_s = mean α P_t
 *   P_t = max(0, κ_l H̄ − H_t) + max(0, H_t − κ_r H̄),   H̄ = mean of the batch entropies of all earlier steps (L_s = 0 at step 0)
 *   β_k = 1 + exp(−γ k / ⌊K/2⌋),   k the step from 0, K the steps of the run
 *   ∂L/∂H_t = −λ/n (1 − β_k α ∂P_t/∂H_t),   ∂P = −1 below, +1 above the corridor, else 0
 *
 * Source: EPO (arXiv 2509.22576) and its code. γ is CHOSEN. The released code predates this form: its penalty is a
 * constant outside the corridor, which has no gradient (`form: "step"`, of size 1: CHOSEN; its history by turn index and
 * its start at half of the turns are not reproduced). H̄ is each policy's own (CHOSEN; the paper has one policy).
 */

import type { MethodCard } from "../card.ts";
import { MethodSettingsError, wrongSetting } from "../errors.ts";
import { checkLossShapes } from "../loss/token-loss.ts";
import type { LossInput, LossOutput } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { Regulariser } from "../parts.ts";

export interface EpoSettings {
  /** λ. Default 0.001 (paper). */
  readonly coefficient?: number;
  /** α. Default 0.1 (paper: 0.05 to 0.1). */
  readonly smoothing?: number;
  /** κ_l and κ_r. Default [0.5, 1.5] (recommended; the scripts have 0 and 2). */
  readonly corridor?: readonly [number, number];
  /** γ. Default 1 (CHOSEN). */
  readonly gamma?: number;
  /** Default "hinge" (paper). */
  readonly form?: "hinge" | "step";
}

interface EpoState {
  readonly steps: number;
  /** By policy: how many batches, and the sum of their mean entropies. */
  readonly history: Readonly<Record<string, { readonly count: number; readonly sum: number }>>;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function epo(given: EpoSettings = {}): Regulariser {
  const { coefficient = 0.001, smoothing = 0.1, corridor = [0.5, 1.5], gamma = 1, form = "hinge" } = given;
  for (const [name, value] of Object.entries({ coefficient, smoothing, gamma }))
    checkNumber("epo", name, value, { least: 0 });
  const [low, high] = corridor;
  if (!(low >= 0 && high >= low && Number.isFinite(high)))
    throw wrongSetting("epo", "corridor", corridor, "two numbers, at least 0, the smaller first");
  if (form !== "hinge" && form !== "step") throw wrongSetting("epo", "form", form, '"hinge" or "step"');
  const settings = { coefficient, smoothing, corridor, gamma, form };
  let known: EpoState = { steps: 0, history: {} };
  return Object.freeze({
    stage: "regulariser",
    name: "epo",
    settings,
    needs: { entropy: true, tokensWithoutAdvantage: true },
    loss: (input) => epoLoss(input, settings, known),
    observe: ({ steps, statistics }) => {
      const history = { ...known.history };
      for (const [policy, { epoEntropy }] of Object.entries(statistics)) {
        if (epoEntropy === undefined) continue;
        const { count, sum } = history[policy] ?? { count: 0, sum: 0 };
        history[policy] = { count: count + 1, sum: sum + epoEntropy };
      }
      known = { steps, history };
    },
    state: () => known,
    restore: (state) => {
      if (!isState(state)) {
        throw new MethodSettingsError({
          code: "E_METHOD_STATE",
          message: "The checkpoint's entropies of epo are not a count and a sum a policy.",
          hint: "it is of a run with another method, or damaged; begin anew with --fresh.",
        });
      }
      known = state;
    },
  } satisfies Regulariser);
}

function epoLoss(
  input: LossInput,
  { coefficient, smoothing, corridor: [low, high], gamma, form }: Required<EpoSettings>,
  { steps, history }: EpoState,
): LossOutput {
  checkLossShapes(input, ["entropies"]);
  const { entropies, mask, totals, policy = "", step = 1 } = input;
  const past = history[policy];
  const beta = 1 + Math.exp((-gamma * (step - 1)) / Math.max(1, Math.floor(steps / 2)));
  const mean = past === undefined ? Number.NaN : past.sum / past.count;
  const h = new Float32Array(entropies!.length);
  let loss = 0;
  let tokens = 0;
  let sum = 0;
  let outside = 0;
  entropies!.forEach((entropy, t) => {
    if (mask !== undefined && mask[t] === 0) return;
    const below = low * mean - entropy;
    const above = entropy - high * mean;
    const side = below > 0 ? -1 : above > 0 ? 1 : 0;
    const distance = side === 0 ? 0 : form === "step" ? 1 : Math.max(below, above);
    const slope = form === "step" ? 0 : side;
    loss -= (coefficient / totals.tokens) * (entropy - beta * smoothing * distance);
    h[t] = -(coefficient / totals.tokens) * (1 - beta * smoothing * slope);
    sum += entropy;
    tokens++;
    if (side !== 0) outside++;
  });
  return {
    loss,
    gradients: { logprobs: new Float32Array(h.length), entropies: h },
    statistics: { tokens, sums: { epoEntropy: sum, epoOutside: outside }, maxima: {} },
  };
}

const isState = (state: unknown): state is EpoState =>
  typeof state === "object" &&
  state !== null &&
  "steps" in state &&
  Number.isInteger(state.steps) &&
  "history" in state &&
  typeof state.history === "object" &&
  state.history !== null &&
  Object.values(state.history).every(
    (one) => Number.isInteger(one?.count) && one.count > 0 && Number.isFinite(one.sum),
  );

export const epoCard: MethodCard = {
  name: "epo",
  title: "EPO",
  stage: "regulariser",
  line: "an entropy bonus held in a corridor around the entropies of earlier steps: against collapse and blow-up",
  use: 'import { epo } from "troupe/methods"',
  formula: [
    "L += −λ (mean H_t − β_k · mean α P_t),   P_t = max(0, κ_l H̄ − H_t) + max(0, H_t − κ_r H̄)",
    "β_k = 1 + exp(−γ k / ⌊K/2⌋),   H̄ = mean entropy of earlier steps",
  ],
  defaults: {
    coefficient: { value: 0.001, source: "paper" },
    smoothing: { value: 0.1, source: "paper: 0.05 to 0.1" },
    corridor: { value: [0.5, 1.5], source: "paper; the scripts have 0 and 2" },
    gamma: { value: 1, source: "CHOSEN" },
    form: { value: "hinge", source: "paper" },
  },
  source: "EPO (arXiv 2509.22576)",
  notes: [
    "CHOSEN: γ; one history a policy",
    'form "step" is the released code\'s constant penalty, without its history by turn index',
  ],
};
