/**
 * @file What the rollout bandit has learned: the network of its scores, the rounds that it replays, and the entropies that
 * it has seen. Source: see `rollout-bandits.ts`.
 */

import { stream } from "../../random/stream.ts";
import {
  type Arm,
  armFeatures,
  armsLoss,
  banditReward,
  featureNames,
  type RoundMeans,
  type StoredArm,
} from "./arms.ts";
import type { CheckedBanditSettings } from "./bandit-settings.ts";
import { numbersOf, wrongState } from "./json-state.ts";
import {
  adamStep,
  backward,
  forward,
  initialParameters,
  type NetworkShape,
  noMoments,
} from "./small-network.ts";

/** A selection whose worth is known. */
interface Played {
  /** [arms][10] */
  readonly features: readonly (readonly number[])[];
  readonly reward: number;
}

interface Memory {
  readonly parameters: readonly number[];
  readonly first: readonly number[];
  readonly second: readonly number[];
  readonly steps: number;
  readonly played: readonly Played[];
  /** E of all rounds. */
  readonly entropies: readonly number[];
  /** The last round, and the floor it had. */
  readonly last: (RoundMeans & { readonly floor: number }) | null;
  /** Features of what was trained on since. */
  readonly pending: readonly (readonly number[])[] | null;
}

export interface BanditLearner {
  features(arms: readonly StoredArm[], rounds: number): readonly Float64Array[];
  score(features: ArrayLike<number>): number;
  /** Hears of a round; learns from the selection before it, if there is one. `loss`: the first epoch's mean. */
  learn(fresh: readonly Arm[], round: number): { readonly reward?: number; readonly loss?: number };
  commit(features: readonly Float64Array[]): void;
  state(): Memory;
  restore(state: unknown): void;
}

const shape: NetworkShape = { widths: [featureNames.length, 64, 64, 1], activation: "gelu" };

export function banditLearner(settings: CheckedBanditSettings): BanditLearner {
  const { seed, entropyWeight, entropyFloor, epochs, replay, learningRate, fit } = settings;
  let parameters = initialParameters(shape, stream(seed, "bandit network"));
  let moments = noMoments(parameters.length);
  let played: readonly Played[] = [];
  let entropies: readonly number[] = [];
  let last: Memory["last"] = null;
  let pending: Memory["pending"] = null;

  /** One step of Adam on one round; its loss before the step. */
  const fitRound = ({ features, reward }: Played): number => {
    const passes = features.map((row) => forward(shape, parameters, row));
    const { loss, gradients } = armsLoss(
      passes.map(({ output }) => output[0]!),
      reward,
      fit,
    );
    const total = new Float64Array(parameters.length);
    for (const [i, pass] of passes.entries()) backward(shape, parameters, pass, [gradients[i]!], total);
    adamStep(parameters, total, moments, learningRate);
    return loss;
  };

  return {
    features: armFeatures,
    score: (features) => forward(shape, parameters, features).output[0]!,
    learn(fresh, round) {
      const now = {
        reward: mean(fresh.map(({ reward }) => reward)),
        entropy: mean(fresh.map(({ entropy }) => entropy)),
      };
      entropies = [...entropies, now.entropy];
      const before = last;
      const features = pending;
      last = { ...now, floor: entropyFloor === "running median" ? median(entropies) : entropyFloor };
      pending = null;
      if (before === null || features === null) return {};
      const reward = banditReward(before, now, { entropyWeight, entropyFloor: before.floor });
      played = [...played, { features, reward }].slice(-replay);
      let loss = 0;
      for (let epoch = 0; epoch < epochs; epoch++) {
        const order = stream(seed, "bandit replay", round, epoch).shuffled(played);
        const losses = order.map(fitRound);
        if (epoch === 0) loss = mean(losses);
      }
      return { reward, loss };
    },
    commit(features) {
      pending = features.length === 0 ? null : features.map((row) => [...row]);
    },
    state: () => ({
      parameters: [...parameters],
      first: [...moments.first],
      second: [...moments.second],
      steps: moments.steps,
      played,
      entropies,
      last,
      pending,
    }),
    restore(state) {
      const given = state as Partial<Memory> | null | undefined;
      if (
        !Number.isInteger(given?.steps) ||
        !Array.isArray(given?.played) ||
        !Array.isArray(given?.entropies)
      )
        throw wrongState("rolloutBandits");
      const size = parameters.length;
      const owner = "rolloutBandits";
      const [weights, first, second] = [given.parameters, given.first, given.second].map((numbers) =>
        numbersOf(numbers, size, owner),
      );
      parameters = weights!;
      moments = { first: first!, second: second!, steps: given.steps! };
      played = given.played;
      entropies = given.entropies;
      last = given.last ?? null;
      pending = given.pending ?? null;
    },
  };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Of an even number of values, the mean of the two in the middle. */
function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}
