/**
 * @file PPO for an agent that rewrites what another one retrieved: a call is one action, paid by the team's reward times how
 * sure the agent was.
 *
 *   r = R × confidence,   Â = (r − V_old − mean) / (σ + 1e-8) over the policy's batch, σ with n − 1
 *   ρ = clamp(exp Σ_t (ℓ_t − ℓ_old,t), 0.01, 100)
 *   L = 1/N Σ [ max(−Â ρ, −Â clip(ρ, 1 ± ε)) + c_v (v − r)² ]
 *   without a value head (`baseline: "mean"`):  L = −1/N Σ (r − mean r) Σ_t ℓ_t
 *
 * Source: the knowledge-preference aligner of MixRAGRec's MMAPO (official code; the paper's body was not readable): ε 0.2,
 * clamp [0.01, 100], c_v 0.5, 4 epochs with one optimiser step each; LoRA r = 8, α = 16.
 * RECONSTRUCTED: confidence is exp(mean ℓ) of what was sampled. CHOSEN: one call alone in a batch has Â = 0; one epoch
 * with the mean as baseline, since that loss has no ratio to correct a second one.
 */

import { actionLoss, normalisedActions } from "./action-loss.ts";
import type { MethodCard } from "./card.ts";
import { type Confidence, sureness } from "./confidence.ts";
import { wrongSetting } from "./errors.ts";
import type { BatchCall, Method } from "./method.ts";
import { checkNumber } from "./number-setting.ts";

export interface AlignerPpoSettings {
  /** Episodes per task. Default 1: nothing is compared within a group. */
  readonly groupSize?: number;
  /** How sure the agent was of a call, a factor of its reward; "none": 1. Default "likelihood", exp(mean ℓ). */
  readonly confidence?: Confidence;
  /** "mean": REINFORCE, for a policy without a value head. Default "value" (official code). */
  readonly baseline?: "value" | "mean";
  /** ε. Default 0.2 (official code). */
  readonly clip?: number;
  /** Bounds of ρ. Default [0.01, 100] (official code). */
  readonly clamp?: readonly [number, number];
  /** c_v. Default 0.5 (official code). */
  readonly valueCoefficient?: number;
  /** Added to σ. Default 1e-8. */
  readonly epsilon?: number;
  /** Times the batch is gone through. Default 4 (official code); 1 with the mean as baseline. */
  readonly epochs?: number;
}

/**
 * @throws MethodSettingsError E_METHOD_SETTING; its `credit` E_CONFIDENCE where a call's confidence is unknown.
 * @example
 * perPolicy({ selector: selectorPpo(), aligner: alignerPpo({ baseline: "mean" }) });
 */
export function alignerPpo(given: AlignerPpoSettings = {}): Method {
  const settings: Required<AlignerPpoSettings> = {
    groupSize: 1,
    confidence: "likelihood",
    baseline: "value",
    clip: 0.2,
    clamp: [0.01, 100],
    valueCoefficient: 0.5,
    epsilon: 1e-8,
    epochs: given.baseline === "mean" ? 1 : 4,
    ...given,
  };
  checkSettings(settings);
  const { groupSize, confidence, baseline, clip, clamp, epsilon, epochs } = settings;
  const valued = baseline === "value";
  const lossSettings = {
    clip,
    clamp,
    entropyCoefficient: 0,
    valueCoefficient: valued ? settings.valueCoefficient : 0,
    surrogate: valued ? "clipped" : "plain",
  } as const;
  return Object.freeze({
    name: "aligner-ppo",
    groupSize,
    settings: Object.freeze({
      ...settings,
      confidence: typeof confidence === "function" ? "own" : confidence,
    }),
    needs: {
      reference: false,
      entropy: false,
      tokensWithoutAdvantage: valued,
      ...(valued ? { values: true } : {}),
    },
    updates: { epochs, minibatches: 1 },
    credit: (group) => ({
      advantages: group.map((episode) =>
        Float64Array.from(
          episode.calls,
          (call) => call.reward * sureness("aligner-ppo", call, episode, confidence),
        ),
      ),
      // What is compared is in other groups too.
      hasSignal: group.some(({ calls }) => calls.length > 0),
    }),
    estimate: (batch) => {
      const rewards = batch.map(({ credit }) => credit);
      if (!valued) {
        const mean = rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
        return { advantages: filled(batch, (i) => rewards[i]! - mean) };
      }
      const advantages = normalisedActions(
        rewards.map((reward, i) => reward - (batch[i]!.values?.[0] ?? 0)),
        epsilon,
      );
      return { advantages: filled(batch, (i) => advantages[i]!), returns: filled(batch, (i) => rewards[i]!) };
    },
    loss: (input) => actionLoss(input, lossSettings),
  } satisfies Method);
}

const filled = (batch: readonly BatchCall[], of: (i: number) => number) =>
  batch.map(({ length }, i) => new Float32Array(length).fill(of(i)));

function checkSettings(settings: Required<AlignerPpoSettings>): void {
  const { clamp, confidence, baseline } = settings;
  for (const name of ["groupSize", "epochs"] as const)
    checkNumber("aligner-ppo", name, settings[name], { least: 1, integer: true });
  for (const name of ["clip", "epsilon"] as const)
    checkNumber("aligner-ppo", name, settings[name], { least: 0 });
  checkNumber("aligner-ppo", "valueCoefficient", settings.valueCoefficient, { above: 0 });
  if (!(clamp.length === 2 && clamp[0] > 0 && clamp[0] <= 1 && clamp[1] >= 1))
    throw wrongSetting("aligner-ppo", "clamp", clamp, "two numbers above 0 with 1 between them");
  if (baseline !== "value" && baseline !== "mean")
    throw wrongSetting("aligner-ppo", "baseline", baseline, '"value" or "mean"');
  if (typeof confidence !== "function" && confidence !== "likelihood" && confidence !== "none")
    throw wrongSetting("aligner-ppo", "confidence", confidence, '"likelihood", "none" or a function');
}

export const alignerPpoCard: MethodCard = {
  name: "aligner-ppo",
  title: "PPO with confidence",
  stage: "method",
  line: "PPO over whole outputs, paid by the team's reward times how sure the agent was: for agents that rewrite",
  use: 'import { alignerPpo } from "troupe/methods"',
  formula: [
    "r = R × confidence;   Â = (r − V_old − mean) / (σ + 1e-8), σ with n − 1, over the policy's batch",
    "ρ = clamp(exp Σ_t (ℓ_t − ℓ_old,t), 0.01, 100)",
    "L = 1/N Σ [max(−Â ρ, −Â clip(ρ, 1 ± ε)) + c_v (v − r)²]",
    "without a value head: L = −1/N Σ (r − mean r) Σ_t ℓ_t",
  ],
  defaults: {
    groupSize: { value: 1, source: "official code: one episode a sample" },
    confidence: { value: "likelihood", source: "RECONSTRUCTED: exp(mean ℓ) of the output" },
    baseline: { value: "value", source: "official code" },
    clip: { value: 0.2, source: "official code" },
    clamp: { value: [0.01, 100], source: "official code" },
    valueCoefficient: { value: 0.5, source: "official code" },
    epsilon: { value: 1e-8, source: "official code" },
    epochs: { value: 4, source: "official code; CHOSEN: 1 with the mean as baseline" },
  },
  source: "MixRAGRec, MMAPO (official code)",
  notes: [
    "RECONSTRUCTED: confidence is exp(mean ℓ) of what was sampled.",
    "CHOSEN: one call alone in a batch has Â = 0.",
  ],
};
