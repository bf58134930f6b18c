/**
 * @file How new an observation is: a trained network imitates a fixed random one, and errs where it has not been.
 *
 *   e(o) = ‖f̂(o) − f(o)‖²,  f fixed, f̂ trained on (1/n) Σ e(o) with Adam;  both: inputs → 32 → 32, ReLU between
 *
 * Source: Burda et al., "Exploration by Random Network Distillation" (arXiv 1810.12894), with the sizes of MANGER's code
 * (2412.15517). UNVERIFIED: that its optimiser is Adam, and ReLU.
 */

import { stream } from "../../random/stream.ts";
import { wrongSetting } from "../errors.ts";
import { numbersOf, wrongState } from "./json-state.ts";
import {
  adamStep,
  backward,
  forward,
  initialParameters,
  type NetworkShape,
  noMoments,
} from "./small-network.ts";

export interface DistillationSettings {
  /** Numbers of an observation. */
  readonly inputs: number;
  /** Width of the hidden layer and of the output. Default 32 (MANGER's code). */
  readonly width?: number;
  /** Of Adam. Default 5e-4 (MANGER's code). */
  readonly learningRate?: number;
  /** `learn` takes a step every so many calls: the second, the fourth, … Default 2 (MANGER's code). */
  readonly every?: number;
  /** Default 0. */
  readonly seed?: number;
}

export interface RandomDistillation {
  readonly settings: Readonly<Required<DistillationSettings>>;
  /** e of an observation, [inputs]. Pure. */
  novelty(observation: ArrayLike<number>): number;
  /** The mean of e over the observations before the step; whether a step was taken is `every`'s. */
  learn(observations: readonly ArrayLike<number>[]): number;
  /** As JSON. */
  state(): unknown;
  restore(state: unknown): void;
}

/** @throws MethodSettingsError */
export function randomDistillation(given: DistillationSettings): RandomDistillation {
  const settings = Object.freeze({ width: 32, learningRate: 5e-4, every: 2, seed: 0, ...given });
  const { inputs, width, learningRate, every, seed } = settings;
  for (const name of ["inputs", "width", "every"] as const) {
    if (!Number.isInteger(settings[name]) || settings[name] < 1)
      throw wrongSetting("randomDistillation", name, settings[name], "an integer of at least 1");
  }
  if (!(learningRate > 0 && Number.isFinite(learningRate)))
    throw wrongSetting("randomDistillation", "learningRate", learningRate, "a finite number above 0");
  const shape: NetworkShape = { widths: [inputs, width, width], activation: "relu" };
  const fixed = initialParameters(shape, stream(seed, "distillation target"));
  let parameters = initialParameters(shape, stream(seed, "distillation predictor"));
  let moments = noMoments(parameters.length);
  let calls = 0;

  const compare = (observation: ArrayLike<number>) => {
    const wanted = forward(shape, fixed, observation).output;
    const pass = forward(shape, parameters, observation);
    const misses = pass.output.map((value, i) => value - wanted[i]!);
    return { pass, misses, error: misses.reduce((sum, miss) => sum + miss * miss, 0) };
  };

  return Object.freeze({
    settings,
    novelty: (observation) => compare(observation).error,
    learn(observations) {
      if (observations.length === 0)
        throw wrongSetting("randomDistillation", "observations", observations, "at least one");
      const compared = observations.map(compare);
      const mean = compared.reduce((sum, { error }) => sum + error, 0) / compared.length;
      if (++calls % every !== 0) return mean;
      const gradients = new Float64Array(parameters.length);
      for (const { pass, misses } of compared)
        backward(
          shape,
          parameters,
          pass,
          misses.map((miss) => (2 * miss) / compared.length),
          gradients,
        );
      adamStep(parameters, gradients, moments, learningRate);
      return mean;
    },
    state: () => ({
      parameters: [...parameters],
      first: [...moments.first],
      second: [...moments.second],
      steps: moments.steps,
      calls,
    }),
    restore(state) {
      const before = state as Record<string, unknown> | null;
      const { steps, calls: heard } = before ?? {};
      if (!Number.isInteger(steps) || !Number.isInteger(heard)) throw wrongState("randomDistillation");
      const [weights, first, second] = ["parameters", "first", "second"].map((name) =>
        numbersOf(before![name], parameters.length, "randomDistillation"),
      );
      parameters = weights!;
      moments = { first: first!, second: second!, steps: steps as number };
      calls = heard as number;
    },
  } satisfies RandomDistillation);
}
