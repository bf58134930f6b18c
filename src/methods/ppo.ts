/**
 * @file PPO with a value head, in the form of UnityMAS-O: the group only gives each call its reward; advantages are
 * estimated over the policy's whole batch.
 *
 * δ_t = r_t + γ V_{t+1} − V_t,  A_t = δ_t + γλ A_{t+1},  return_t = A_t + V_t,  then A ← (A − mean)/√(var + 1e-8), and
 *
 *   L = Σ_t w_t · [ max(−Aρ, −A clip(ρ, 1 − ε, 1 + ε)), at most −cA where A < 0,
 *                   + β KL_t − η H_t + ½ c_v max((v − R)², (clip(v, v_old ± ε_v) − R)²) ]
 *
 * Source: Schulman et al., "Proximal Policy Optimization" (arXiv 1707.06347); UnityMAS-O (2605.26646) and the verl core
 * that it uses for defaults: γ = λ = 1, ε = 0.2, dual clip c = 3, ε_v = 0.5, whitening with n − 1 over the model's batch,
 * no KL, no entropy bonus, one epoch in one minibatch.
 * Changed: the value head shares the policy's body and optimiser, where UnityMAS-O trains a critic of its own with ten
 * times the learning rate, so c_v is a setting (CHOSEN: 1, that is ½ of the squared error); token-mean is over the whole
 * minibatch, where verl averages within microbatches; ρ is not bounded to e^±20, since a loss that is not finite is an
 * error here; and GAE may go on from a call to the agent's next one (`turns`), then with terms that count for several
 * calls of an agent on its last one (CHOSEN).
 */

import type { MethodCard } from "./card.ts";
import { clippedLoss } from "./clipped-loss.ts";
import { batchGae, linkedRewards } from "./gae.ts";
import { spreadOf } from "./group-advantage.ts";
import { klPenalties, klSettings } from "./kl.ts";
import type { Method } from "./method.ts";
import { checkPpoSettings, type PpoSettings } from "./ppo-settings.ts";
import { whiten } from "./whiten.ts";

/**
 * @example
 * train({ …, policies: { small: local("…", { valueHead: true }) }, method: ppo({ epochs: 2, minibatches: 4 }) });
 */
export function ppo(given: PpoSettings = {}): Method {
  const settings: Required<PpoSettings> = {
    groupSize: 1,
    gamma: 1,
    lambda: 1,
    turns: "none",
    normalise: "model",
    clipLow: 0.2,
    clipHigh: 0.2,
    dualClip: 3,
    valueCoefficient: 1,
    valueClip: 0.5,
    entropyCoefficient: 0,
    aggregation: "token-mean",
    epochs: 1,
    minibatches: 1,
    ...given,
    ...klSettings("ppo", given),
  };
  checkPpoSettings(settings);
  const { groupSize, klCoefficient, entropyCoefficient, dualClip, epochs, minibatches, turns } = settings;
  const kl = klCoefficient > 0;
  const klInReward = kl && settings.klIn === "reward";
  const lossSettings = {
    ...settings,
    klCoefficient: klInReward ? 0 : klCoefficient,
    value: { coefficient: settings.valueCoefficient, clip: settings.valueClip },
  };
  const { dualClip: _, ...withoutDualClip } = lossSettings;
  return Object.freeze({
    name: "ppo",
    groupSize,
    settings: Object.freeze({ ...settings }),
    needs: {
      reference: kl,
      ...(klInReward ? { referenceInEstimate: true } : {}),
      entropy: entropyCoefficient > 0,
      // The value head learns from every token, and whitening moves every advantage.
      tokensWithoutAdvantage: true,
      values: true,
    },
    updates: { epochs, minibatches },
    credit: (group) => {
      const rewards = group.flatMap(({ calls }) => calls.map(({ reward }) => reward));
      return {
        advantages: group.map(({ calls }) =>
          turns === "none" ? Float64Array.from(calls, ({ reward }) => reward) : linkedRewards(calls),
        ),
        // A group of one has nothing to differ from, and still teaches: its rewards differ from what V expects.
        hasSignal: group.length < 2 || rewards.length === 0 || spreadOf(rewards, 0).deviation > 0,
      };
    },
    estimate: (batch) => {
      const penalties = klInReward ? klPenalties(batch, settings) : undefined;
      const { advantages, returns } = batchGae(batch, settings, penalties);
      return { advantages: whiten(advantages, batch, { scope: settings.normalise }), returns };
    },
    loss: (input) => clippedLoss(input, Number.isFinite(dualClip) ? lossSettings : withoutDualClip),
  } satisfies Method);
}

export const ppoCard: MethodCard = {
  name: "ppo",
  title: "PPO",
  stage: "method",
  line: "a value head judges every token, so one episode a task is enough: dense credit at the price of a critic",
  use: 'import { ppo } from "troupe/methods"',
  formula: [
    "δ_t = r_t + γ V_{t+1} − V_t;   A_t = δ_t + γλ A_{t+1};   R_t = A_t + V_t;   A whitened over the policy's batch",
    "L = Σ_t w_t · [max(−A ρ_t, −A clip(ρ_t, 1 − ε_low, 1 + ε_high)), at most −cA where A < 0",
    "    + β k(ℓ_t − ℓ_ref,t) − η H_t + ½ c_v max((v − R)², (clip(v, v_old ± ε_v) − R)²)]",
  ],
  defaults: {
    groupSize: { value: 1, source: "UnityMAS-O" },
    gamma: { value: 1, source: "UnityMAS-O; PPO 0.99" },
    lambda: { value: 1, source: "UnityMAS-O; PPO 0.95" },
    turns: { value: "none", source: "UnityMAS-O: every call is an episode of its own" },
    normalise: { value: "model", source: "UnityMAS-O" },
    clipLow: { value: 0.2, source: "PPO, UnityMAS-O" },
    clipHigh: { value: 0.2, source: "PPO, UnityMAS-O" },
    dualClip: { value: 3, source: "Ye et al. (1912.09729), UnityMAS-O" },
    valueCoefficient: { value: 1, source: "CHOSEN: UnityMAS-O has a critic of its own" },
    valueClip: { value: 0.5, source: "UnityMAS-O" },
    klCoefficient: { value: 0, source: "UnityMAS-O" },
    klIn: { value: "loss", source: "CHOSEN: off by default" },
    klEstimator: { value: "k3", source: "CHOSEN: k1 in the reward" },
    entropyCoefficient: { value: 0, source: "UnityMAS-O" },
    aggregation: { value: "token-mean", source: "UnityMAS-O; here over the whole minibatch" },
    epochs: { value: 1, source: "UnityMAS-O" },
    minibatches: { value: 1, source: "UnityMAS-O" },
  },
  source: "Schulman et al. (arXiv 1707.06347, 1506.02438); UnityMAS-O (2605.26646)",
  notes: ["the value head shares the policy's body and optimiser; a policy without one is refused"],
};
