/** @file What a run knows besides its weights: counters, windows and times that a checkpoint keeps and a resumed run needs. */

import type { TrainSettings } from "./config.ts";
import type { Evaluation } from "./evaluate.ts";
import { FailureWatch, type FailureWindow } from "./failure-watch.ts";

/** As JSON, in a checkpoint's `state.json`. */
export interface ProgressState {
  /** Seconds of all attempts so far. */
  readonly seconds: number;
  readonly stepSeconds: number;
  readonly evaluationSeconds: number;
  readonly streakWithoutSignal: number;
  readonly failures: FailureWindow;
  readonly shown: ShownMetric | null;
  /** Output tokens sampled for training. Absent in checkpoints from before it was counted. */
  readonly sampledTokens?: number;
  /** The evaluation before training, without its trajectories. */
  readonly before: Omit<Evaluation, "trajectories"> | null;
  /** Means of the newest evaluation during training, and its step. */
  readonly newest: EvaluatedStep | null;
}

export interface ShownMetric {
  readonly name: string;
  readonly value: number;
  readonly step: number;
}

export interface EvaluatedStep {
  readonly step: number;
  readonly means: Readonly<Record<string, number>>;
}

type ProgressSettings = Pick<
  TrainSettings<unknown>,
  "maxFailureRate" | "steps" | "evaluateEvery" | "evaluateSample" | "tokenBudget"
>;

export class RunProgress {
  readonly failures: FailureWatch;
  readonly #settings: ProgressSettings;
  readonly #began = performance.now();
  readonly #secondsBefore: number;
  #before: Evaluation | undefined;
  #newest: EvaluatedStep | undefined;
  #shown: ShownMetric | undefined;
  #stepSeconds: number;
  #evaluationSeconds: number;
  #streakWithoutSignal: number;
  #sampledTokens: number;

  constructor(settings: ProgressSettings, state?: ProgressState) {
    this.#settings = settings;
    this.failures = new FailureWatch(settings.maxFailureRate, state?.failures);
    this.#secondsBefore = state?.seconds ?? 0;
    this.#stepSeconds = state?.stepSeconds ?? 0;
    this.#evaluationSeconds = state?.evaluationSeconds ?? 0;
    this.#streakWithoutSignal = state?.streakWithoutSignal ?? 0;
    this.#sampledTokens = state?.sampledTokens ?? 0;
    this.#shown = state?.shown ?? undefined;
    this.#newest = state?.newest ?? undefined;
    if (state?.before) {
      // JSON has no undefined: a task without values comes back as null.
      const values = state.before.values.map((value) => value ?? undefined);
      this.#before = { ...state.before, values, trajectories: [] };
    }
  }

  /** The evaluation before training; of an earlier attempt it comes without trajectories. */
  get before(): Evaluation | undefined {
    return this.#before;
  }

  /** Newest evaluation during training. */
  get newest(): EvaluatedStep | undefined {
    return this.#newest;
  }

  get shown(): ShownMetric | undefined {
    return this.#shown;
  }

  /** True once the run's budget of sampled tokens is used up. */
  get spent(): boolean {
    return this.#sampledTokens >= this.#settings.tokenBudget;
  }

  /** Of all attempts. */
  get seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#began) / 1000;
  }

  /** Takes in a step; returns after how many steps in a row without any signal this was. */
  stepped(seconds: number, hasSignal: boolean, tokens: number): number {
    this.#sampledTokens += tokens;
    this.#stepSeconds += seconds;
    this.#streakWithoutSignal = hasSignal ? 0 : this.#streakWithoutSignal + 1;
    return this.#streakWithoutSignal;
  }

  evaluated(evaluation: Evaluation, when: "before" | "during" | "after", seconds: number): void {
    const { means, step } = evaluation;
    if (when === "before") this.#before = evaluation;
    if (when === "during") {
      this.#evaluationSeconds = seconds;
      this.#newest = { step, means };
    }
    const [name] = Object.keys(means);
    if (name !== undefined) this.#shown = { name, value: means[name]!, step };
  }

  /** Estimate from the steps and evaluations so far. */
  secondsLeft(step: number, heldOut: number): number {
    const { steps, evaluateEvery, evaluateSample } = this.#settings;
    const perStep = this.#stepSeconds / step;
    const perEvaluated = this.#evaluationSeconds / Math.min(evaluateSample, Math.max(1, heldOut));
    const small =
      evaluateEvery > 0 ? Math.floor((steps - step) / evaluateEvery) * this.#evaluationSeconds : 0;
    return (steps - step) * perStep + small + perEvaluated * heldOut;
  }

  state(): ProgressState {
    const { trajectories: _, ...before } = this.#before ?? { trajectories: [] };
    return {
      seconds: this.seconds,
      stepSeconds: this.#stepSeconds,
      evaluationSeconds: this.#evaluationSeconds,
      streakWithoutSignal: this.#streakWithoutSignal,
      sampledTokens: this.#sampledTokens,
      failures: this.failures.window,
      shown: this.#shown ?? null,
      before: this.#before === undefined ? null : (before as Omit<Evaluation, "trajectories">),
      newest: this.#newest ?? null,
    };
  }
}
