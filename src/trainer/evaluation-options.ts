/** @file How evaluations are run: how many episodes a task, with which decoding, and what counts as a success. */

import { z } from "zod";
import type { SamplingSettings } from "../engine/policy.ts";
import type { AnyAgent } from "../workflow/agent.ts";
import type { EvaluatedEpisode } from "./config.ts";

/**
 * How agents choose tokens in an evaluation. "greedy": temperature 0. "sampled": as each agent samples in training.
 * Settings: these for all agents. What a workflow asks for in a single call (`agents.x(…, { sampling })`) stays.
 */
export type Decoding = "greedy" | "sampled" | SamplingSettings;

export interface EvaluationOptions<Task> {
  /** Episodes a task. More than one makes sense with sampling only. Default 1. */
  readonly samples?: number;
  /** Default: each agent's own `sampling.evaluate`, which is greedy unless the agent says otherwise. */
  readonly decoding?: Decoding;
  /** pass@k for these k, none larger than `samples`. Default: none. */
  readonly passAt?: readonly number[];
  /** What pass@k counts. Default: a trajectory reward of at least 1 (CHOSEN: the top of F1, exact match and pass rate). */
  readonly success?: (episode: EvaluatedEpisode<Task>) => boolean;
}

export interface EvaluationSettings<Task> {
  readonly samples: number;
  readonly decoding: Decoding | undefined;
  readonly passAt: readonly number[];
  readonly success: ((episode: EvaluatedEpisode<Task>) => boolean) | undefined;
}

const samplingSchema = z.strictObject({
  temperature: z.number().min(0).optional(),
  topK: z.int().min(0).optional(),
  topP: z.number().gt(0).max(1).optional(),
  minP: z.number().min(0).lt(1).optional(),
  repetitionPenalty: z.number().positive().optional(),
  presencePenalty: z.number().optional(),
  logitBias: z.record(z.string(), z.number()).optional(),
});

export const evaluationSchema = z
  .strictObject({
    samples: z.int().min(1).default(1),
    decoding: z
      .union([z.literal("greedy"), z.literal("sampled"), samplingSchema], {
        error: 'expected "greedy", "sampled" or sampling settings such as { temperature: 0.7 }',
      })
      .optional(),
    passAt: z.array(z.int().min(1)).default([]),
    success: z.custom((value) => typeof value === "function", { error: "expected a function" }).optional(),
  })
  .refine(({ samples, passAt }) => passAt.every((k) => k <= samples), {
    error: "pass@k needs at least k episodes a task: raise `samples` to the largest of `passAt`",
    path: ["passAt"],
  })
  .prefault({});

/** For `runEpisode`: undefined leaves every agent its own settings. */
export function samplingOf(
  decoding: Decoding | undefined,
): ((agent: AnyAgent) => SamplingSettings) | undefined {
  if (decoding === undefined) return undefined;
  if (decoding === "greedy") return () => ({ temperature: 0 });
  if (decoding === "sampled") return (agent) => agent.sampling.train;
  return () => decoding;
}
