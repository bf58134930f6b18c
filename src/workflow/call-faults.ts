/** @file What can go wrong with a model call, in words. */

import type { SampleResult } from "../engine/policy.ts";
import { TroupeError } from "../errors.ts";
import { DeadlineError, ModelCallError } from "./errors.ts";
import type { EffectView } from "./open-effect.ts";
import type { EpisodeRuntime } from "./runtime.ts";
import type { CallRecord } from "./trajectory.ts";

type Place = Pick<CallRecord, "agent" | "occurrence" | "policy" | "prompt">;

export const callName = ({ agent, occurrence }: Pick<CallRecord, "agent" | "occurrence">) =>
  `agent "${agent}" (call ${occurrence})`;

/** A log-prob that is missing or not a number would be trained on as if it were one. */
export function checkResult(
  call: Place,
  { tokens, logprobs, plainLogprobs }: SampleResult,
  episode: string,
): void {
  const broken =
    logprobs.length !== tokens.length || plainLogprobs.length !== tokens.length
      ? `${tokens.length} tokens with ${logprobs.length} and ${plainLogprobs.length} log-probs`
      : isBroken(logprobs) || isBroken(plainLogprobs)
        ? "a log-prob that is not a finite number"
        : undefined;
  if (broken === undefined) return;
  throw new ModelCallError({
    boundary: "model",
    code: "E_TOKEN_MISMATCH",
    message: `Policy "${call.policy}" returned ${broken} for ${callName(call)} of episode ${episode}.`,
    hint: "this is a fault of the engine, not of the workflow; please report it.",
  });
}

/** −∞ as well: a token that cannot be sampled was. */
function isBroken(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return true;
  return false;
}

export function lateCall(call: Place, { entered }: EffectView, runtime: EpisodeRuntime): DeadlineError {
  const { deadlines, gates, id } = runtime;
  const { waiting, inside, limit } = gates.policy(call.policy);
  return new DeadlineError({
    boundary: "model",
    code: "E_CALL_DEADLINE",
    message: entered
      ? `${callName(call)} of episode ${id} had no answer from policy "${call.policy}" after ${deadlines.call} s (${call.prompt.length} prompt tokens).`
      : `${callName(call)} of episode ${id} waited ${deadlines.call} s for its turn at policy "${call.policy}" (${inside} of at most ${limit} calls in flight, ${waiting} waiting).`,
    hint: "raise `deadlines.call`, lower `concurrency`, or lower the agent's maxTokens.",
    facts: { seconds: deadlines.call, agent: call.agent },
  });
}

export function modelError(call: Place, error: unknown, episode: string): ModelCallError {
  return new ModelCallError({
    boundary: "model",
    code: "E_MODEL_CALL",
    message: `Policy "${call.policy}" failed on ${callName(call)} of episode ${episode}: ${error instanceof Error ? error.message : String(error)}`,
    cause: error,
    ...(TroupeError.is(error) ? { facts: { code: error.code } } : {}),
  });
}
