/**
 * @file Contextual rollout bandits (CBS): a small network learns which episodes, fresh or stored, are worth training on.
 *
 *   score_a = f_ψ(x_a), f_ψ: 10 → 64 → 64 → 1;  C̄_t: ε-greedy over the scores of C_t
 *   "intra-group": C_t = R_t, of each group the best share p;  "global": C_t = the last L rounds, the best K
 *   R(C̄_t) = V_{t+1} − V_t − w_e · 1[E_t > e_min] · (E_{t+1} − E_t), known a round late
 *   ψ: Adam on Σ_{a ∈ C̄_t} (f_ψ(x_a) − R)² / K, some epochs over the last rounds
 *
 * A round goes: `arrive` with what was sampled, `select`, train on that, `commit`. Advantages stay those of the whole
 * group; stored episodes keep the log-probs they were sampled with, and a clipped ratio deals with their age.
 *
 * Source: Lu et al., "Contextual Rollout Bandits for RLVR" (arXiv 2602.08499); read as abstract and reviews. Confirmed: the
 * two candidate sets, the reward, what the features are about, a small network trained online. RECONSTRUCTED: the
 * features' forms and their standardisation, the sizes of the network, the loss, ε, replay, and all defaults. CHOSEN: ε
 * falls linearly over 100 rounds, p = 0.5, K = the fresh episodes, the tanh form of GELU.
 */

import { stream } from "../../random/stream.ts";
import type { MethodCard } from "../card.ts";
import { type Arm, chooseArms, type StoredArm } from "./arms.ts";
import { banditLearner } from "./bandit-learner.ts";
import { checkArms, checkBanditSettings, type RolloutBanditSettings } from "./bandit-settings.ts";
import { wrongState } from "./json-state.ts";

export interface RolloutBandits {
  readonly name: string;
  readonly stage: "schedule";
  readonly settings: Readonly<Record<string, unknown>>;
  /**
   * A round's fresh episodes. Learns what the last committed selection was worth, which is told; forgets what is too old.
   */
  arrive(fresh: readonly Arm[]): { readonly reward?: number; readonly loss?: number };
  /** Of all stored episodes, with `clipShares` by id as they are now. Pure, until the next `arrive` or `commit`. */
  select(clipShares?: ReadonlyMap<string, number>): Selection;
  /** Of these, whatever is stored. Pure. */
  choose(arms: readonly StoredArm[]): Selection;
  /** The selection was trained on. */
  commit(selection: Selection): void;
  /** As JSON. */
  state(): unknown;
  restore(state: unknown): void;
}

export interface Selection {
  /** In the order in which they came. */
  readonly arms: readonly StoredArm[];
  /** [arms] scores and [arms][10] features. */
  readonly scores: Float64Array;
  readonly features: readonly Float64Array[];
}

export const rolloutBanditsCard: MethodCard = {
  name: "rollout-bandits",
  title: "Contextual rollout bandits",
  stage: "schedule",
  line: "learns which episodes, fresh or stored, are worth training on; take it where sampling is dear",
  use: 'import { rolloutBandits, withRolloutBandits } from "troupe/methods"',
  formula: [
    "score_a = f_ψ(x_a); ε-greedy: the best p of each group, or the best K of the last L rounds",
    "R = V_{t+1} − V_t − w_e · 1[E_t > e_min] · (E_{t+1} − E_t);  ψ: Σ_a (f_ψ(x_a) − R)² / K",
  ],
  defaults: {
    candidates: { value: "intra-group", source: "CHOSEN: the paper has both" },
    keep: { value: 0.5, source: "RECONSTRUCTED: 0.5 to 0.75" },
    rounds: { value: 3, source: "RECONSTRUCTED" },
    entropyWeight: { value: 0.5, source: "RECONSTRUCTED" },
    entropyFloor: { value: "running median", source: "RECONSTRUCTED" },
    exploration: { value: [0.1, 0.02], source: "RECONSTRUCTED" },
    explorationRounds: { value: 100, source: "CHOSEN" },
    learningRate: { value: 1e-3, source: "RECONSTRUCTED" },
    epochs: { value: 4, source: "RECONSTRUCTED" },
    replay: { value: 50, source: "RECONSTRUCTED" },
    fit: { value: "each arm", source: "RECONSTRUCTED" },
    seed: { value: 0, source: "CHOSEN" },
  },
  source: "Lu et al., Contextual Rollout Bandits for RLVR, arXiv 2602.08499",
  notes: [
    "Read as abstract and reviews: the recipe around the reward and the candidate sets is RECONSTRUCTED.",
    'count of "global" is by default the number of fresh episodes.',
  ],
};

/**
 * @throws MethodSettingsError
 * @example
 * const bandits = rolloutBandits({ candidates: "global" });
 * bandits.arrive(fresh);
 * const selection = bandits.select();
 * // … one step on the episodes of selection.arms …
 * bandits.commit(selection);
 */
export function rolloutBandits(given: RolloutBanditSettings = {}): RolloutBandits {
  const settings = checkBanditSettings(given);
  const learner = banditLearner(settings);
  const { candidates, keep, seed, exploration, explorationRounds } = settings;
  // Within the group there is nothing but what is fresh.
  const rounds = candidates === "global" ? settings.rounds : 1;
  let stored: readonly StoredArm[] = [];
  let round = 0;

  const choose = (arms: readonly StoredArm[]): Selection => {
    const features = learner.features(arms, rounds);
    const scores = features.map((row) => learner.score(row));
    const passed = Math.min(1, Math.max(0, round - 1) / explorationRounds);
    const rate = exploration[0] + (exploration[1] - exploration[0]) * passed;
    const places = new Map<string, number[]>();
    for (const [i, { group }] of arms.entries()) {
      const name = candidates === "global" ? "" : group;
      places.set(name, [...(places.get(name) ?? []), i]);
    }
    const fresh = arms.filter(({ age }) => age === 0).length;
    const chosen = [...places].flatMap(([name, within]) =>
      chooseArms(
        within.map((i) => scores[i]!),
        candidates === "global" ? (settings.count ?? fresh) : Math.max(1, Math.round(keep * within.length)),
        {
          exploration: rate,
          ages: within.map((i) => arms[i]!.age),
          random: stream(seed, "bandit exploration", round, name),
        },
      ).map((place) => within[place]!),
    );
    chosen.sort((a, b) => a - b);
    return {
      arms: chosen.map((i) => arms[i]!),
      scores: Float64Array.from(chosen, (i) => scores[i]!),
      features: chosen.map((i) => features[i]!),
    };
  };

  return Object.freeze({
    name: "rollout-bandits",
    stage: "schedule",
    settings: Object.freeze(settings),
    arrive(fresh) {
      const older = stored.map((arm) => ({ ...arm, age: arm.age + 1 })).filter(({ age }) => age < rounds);
      checkArms(fresh, older);
      round++;
      const learned = learner.learn(fresh, round);
      stored = [...older, ...fresh.map((arm) => ({ ...arm, age: 0, uses: 0 }))];
      return learned;
    },
    select: (clipShares = new Map()) =>
      choose(stored.map((arm) => ({ ...arm, clipShare: clipShares.get(arm.id) ?? arm.clipShare ?? 0 }))),
    choose,
    commit({ arms, features }) {
      const trained = new Set(arms.map(({ id }) => id));
      stored = stored.map((arm) => (trained.has(arm.id) ? { ...arm, uses: arm.uses + 1 } : arm));
      learner.commit(features);
    },
    state: () => ({ round, stored, learner: learner.state() }),
    restore(state) {
      const given = state as {
        readonly round?: unknown;
        readonly stored?: unknown;
        readonly learner?: unknown;
      } | null;
      if (!Number.isInteger(given?.round) || !Array.isArray(given?.stored))
        throw wrongState("rolloutBandits");
      learner.restore(given.learner);
      round = given.round as number;
      stored = given.stored;
    },
  } satisfies RolloutBandits);
}
