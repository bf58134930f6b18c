/**
 * @file Learning rates as pure functions of the step, counted from 0. A schedule is a function; `warmup` wraps one.
 *
 * @example
 * const rate = warmup(50, cosine({ peak: 3e-4, steps: 1000 }));
 * policy.step({ learningRate: rate(step) });
 */

import { TrainingError } from "./errors.ts";

export type Schedule = (step: number) => number;

export interface Decay {
  /** Rate at step 0. */
  readonly peak: number;
  /** Length of the decay; from this step on the rate stays at `final`. */
  readonly steps: number;
  /** Default 0. */
  readonly final?: number;
}

export function constant(rate: number): Schedule {
  checkRate("rate", rate);
  return () => rate;
}

export function linear({ peak, steps, final = 0 }: Decay): Schedule {
  checkDecay({ peak, steps, final });
  return (step) => peak + (final - peak) * progress(step, steps);
}

/** Half a cosine wave (Loshchilov & Hutter, 2017: SGDR, without restarts). */
export function cosine({ peak, steps, final = 0 }: Decay): Schedule {
  checkDecay({ peak, steps, final });
  return (step) => final + (peak - final) * 0.5 * (1 + Math.cos(Math.PI * progress(step, steps)));
}

/** Rises linearly to the rate that `schedule` starts with, then follows it. The first step already moves. */
export function warmup(steps: number, schedule: Schedule): Schedule {
  if (!Number.isInteger(steps) || steps < 0) {
    throw new TrainingError({
      code: "E_SCHEDULE",
      message: `A warm-up of ${steps} steps is not a count.`,
    });
  }
  return (step) => (step < steps ? (schedule(0) * (step + 1)) / (steps + 1) : schedule(step - steps));
}

const progress = (step: number, steps: number): number => Math.min(1, Math.max(0, step / steps));

function checkDecay({ peak, steps, final }: Required<Decay>): void {
  checkRate("peak", peak);
  checkRate("final", final);
  if (!(steps > 0)) {
    throw new TrainingError({ code: "E_SCHEDULE", message: `A schedule over ${steps} steps has no end.` });
  }
}

function checkRate(name: string, rate: number): void {
  if (rate >= 0 && Number.isFinite(rate)) return;
  throw new TrainingError({
    code: "E_SCHEDULE",
    message: `The schedule's ${name} is ${rate}; a learning rate is a finite number of at least 0.`,
  });
}
