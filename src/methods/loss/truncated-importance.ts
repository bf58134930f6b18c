/**
 * @file Truncated importance sampling around another loss: samples that other weights (or another program) made are weighed
 * by how likely they are now, at most `cap` times,
 *
 *   d_t = ℓ_old,t − ℓ_sampler,t;   w = e^{d_t} ("token"), e^{Σ d} ("sequence") or e^{mean d} ("geometric")
 *   truncate: min(w, cap);   mask: 0 where w ≥ cap or w ≤ 1/cap;   veto: 0 for a sequence with a token of e^{d_t} < veto
 *   L = loss of the kernel with each token's term times w
 *
 * `correction: "single"`: the kernel's own ratio is against ℓ_old, the weights before the update; w does the rest.
 * `"repo"`: the ratio is against ℓ_sampler *and* the term is multiplied by w, which corrects twice, as MARTI's code does.
 *
 * In this engine what samples is what trains, bit for bit, so there is nothing to weigh unless samples are of older weights
 * (`staleness`); then the trainer gives the token weights, cut at 2, and these are taken. All forms but "token" with
 * "single" need `samplerLogprobs` in the loss's input, and refuse weights that were cut already.
 *
 * Source: Yao et al. (2025), "Your efficient RL framework secretly brings you off-policy RL training", token, cap 2; MARS²
 * (arXiv 2604.14564), public code: the levels, the two treatments, veto 1e-4. Lower bound of the mask 1/cap: CHOSEN.
 */

import type { MethodCard } from "../card.ts";
import { LossError, wrongSetting } from "../errors.ts";
import { addStatistics, type LossInput, type LossOutput } from "../method.ts";
import { checkNumber } from "../number-setting.ts";
import type { LossKernel } from "../parts.ts";
import { sequenceRatio } from "./gspo.ts";
import { checkLossShapes } from "./token-loss.ts";

export interface TruncatedImportanceSettings {
  /** Above 1. Default 2. */
  readonly cap?: number;
  /** Default 1e-4; 0: none. */
  readonly veto?: number;
  /** Default "token". */
  readonly level?: "token" | "sequence" | "geometric";
  /** What becomes of weights beyond the cap. Default "truncate". */
  readonly beyond?: "truncate" | "mask";
  /** Default "single". */
  readonly correction?: "single" | "repo";
}

/**
 * @param kernel Default: GSPO's loss with ε .2/.2.
 * @throws MethodSettingsError E_METHOD_SETTING
 */
export function truncatedImportance<const Kernel extends LossKernel = ReturnType<typeof sequenceRatio>>(
  given: TruncatedImportanceSettings & { readonly kernel?: Kernel } = {},
): Omit<LossKernel, "ratio" | "reads"> & Pick<Kernel, "ratio" | "reads"> {
  const { kernel = sequenceRatio({ clipLow: 0.2, clipHigh: 0.2 }), ...rest } = given;
  const settings: Required<TruncatedImportanceSettings> = {
    ...{ cap: 2, veto: 1e-4, level: "token", beyond: "truncate", correction: "single" },
    ...rest,
  };
  checkNumber("truncatedImportance", "cap", settings.cap, { above: 1 });
  checkNumber("truncatedImportance", "veto", settings.veto, { least: 0 });
  const oneOf = {
    level: ["token", "sequence", "geometric"],
    beyond: ["truncate", "mask"],
    correction: ["single", "repo"],
  } as const;
  for (const [name, allowed] of Object.entries(oneOf)) {
    const value = settings[name as keyof typeof oneOf];
    if (!(allowed as readonly unknown[]).includes(value))
      throw wrongSetting("truncatedImportance", name, value, allowed.map((one) => `"${one}"`).join(" or "));
  }
  return Object.freeze({
    ...kernel,
    settings: { ...settings, kernel: { name: kernel.name, ...kernel.settings } },
    loss: (input: LossInput) => weighted(input, kernel, settings),
  }) as unknown as Omit<LossKernel, "ratio" | "reads"> & Pick<Kernel, "ratio" | "reads">;
}

function weighted(
  input: LossInput,
  kernel: Pick<LossKernel, "loss">,
  settings: Required<TruncatedImportanceSettings>,
): LossOutput {
  checkLossShapes(input);
  const sampler = input.samplerLogprobs;
  const differences = differencesOf(input, settings);
  if (differences === undefined) return kernel.loss(input);
  const importance = new Float32Array(differences.length);
  const sums = { importance: 0, beyondCap: 0, vetoed: 0 };
  let at = 0;
  for (const length of input.lengths) {
    const scored = Array.from({ length }, (_, i) => at + i).filter((t) => input.mask?.[t] !== 0);
    at += length;
    const vetoed = scored.some((t) => Math.exp(differences[t]!) < settings.veto);
    const sum = scored.reduce((all, t) => all + differences[t]!, 0);
    const whole = Math.exp(settings.level === "sequence" ? sum : sum / scored.length);
    for (const t of scored) {
      const w = settings.level === "token" ? Math.exp(differences[t]!) : whole;
      importance[t] = vetoed ? 0 : bounded(w, settings);
      sums.importance += importance[t]!;
      if (w >= settings.cap) sums.beyondCap++;
      if (vetoed) sums.vetoed++;
    }
  }
  const oldLogprobs = settings.correction === "repo" && sampler !== undefined ? sampler : input.oldLogprobs;
  const output = kernel.loss({ ...input, oldLogprobs, importance });
  const statistics = addStatistics(output.statistics, { tokens: 0, sums, maxima: {} });
  return { ...output, statistics };
}

function bounded(weight: number, { cap, beyond }: Required<TruncatedImportanceSettings>): number {
  if (beyond === "truncate") return Math.min(weight, cap);
  return weight >= cap || weight <= 1 / cap ? 0 : weight;
}

/** [S] ℓ_old − ℓ_sampler; undefined: nobody else sampled. */
function differencesOf(
  { samplerLogprobs, oldLogprobs, importance }: LossInput,
  { level, correction }: Required<TruncatedImportanceSettings>,
): Float64Array | undefined {
  if (samplerLogprobs !== undefined) {
    if (samplerLogprobs.length !== oldLogprobs.length) {
      throw new LossError({
        code: "E_LOSS_SHAPE",
        message: `The microbatch has ${oldLogprobs.length} log-probs, but samplerLogprobs has ${samplerLogprobs.length}.`,
      });
    }
    return Float64Array.from(oldLogprobs, (l, t) => l - samplerLogprobs[t]!);
  }
  if (importance === undefined) return undefined;
  if (level === "token" && correction === "single") return Float64Array.from(importance, Math.log);
  throw new LossError({
    code: "E_LOSS_SAMPLER",
    message: `truncatedImportance with level "${level}" and correction "${correction}" was given weights that are cut already, and not the log-probs of what sampled.`,
    hint: 'use level "token" with correction "single", or train without `staleness`.',
    facts: { level, correction },
  });
}

export const truncatedImportanceCard: MethodCard = {
  name: "truncated-importance",
  title: "Truncated importance weights",
  stage: "loss",
  line: "samples of older weights count by how likely they are now, at most twice; wraps any loss",
  use: 'import { truncatedImportance } from "troupe/methods"',
  formula: [
    "w = min(e^{ℓ_old − ℓ_sampler}, cap), 0 for a sequence with a token below veto",
    "L = the kernel's loss, each token's term times w",
  ],
  defaults: {
    cap: { value: 2, source: "Yao et al. (2025); MARTI's scripts" },
    veto: { value: 1e-4, source: "MARS², public code" },
    level: { value: "token", source: "MARS², public code" },
    beyond: { value: "truncate", source: "MARS², public code" },
    correction: { value: "single", source: "standard; the public code corrects twice" },
    kernel: {
      value: {
        name: "sequence-ratio",
        clipLow: 0.2,
        clipHigh: 0.2,
        form: "sequence",
        over: "call",
        length: "mean",
      },
      source: "MARS²+: GSPO",
    },
  },
  source: "Yao et al. (2025), off-policy RL by the sampler; MARS² (arXiv 2604.14564), public code",
  notes: ["CHOSEN: the mask's lower bound 1/cap"],
};
