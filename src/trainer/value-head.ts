/** @file Whether a policy has the value head that a method needs: asked before the first episode. */

import type { TrainablePolicy } from "../engine/policy.ts";
import { TroupeError } from "../errors.ts";
import type { Method } from "../methods/method.ts";
import { TrainConfigError } from "./errors.ts";

/**
 * Scores two tokens: the one way of asking that every engine has.
 * @throws TrainConfigError E_VALUE_HEAD
 */
export async function checkValueHead(name: string, policy: TrainablePolicy, method: Method): Promise<void> {
  if (method.needs.values !== true) return;
  const token = policy.tokenizer.endTokens[0] ?? 0;
  const sequence = { tokens: Int32Array.of(token, token), mask: Uint8Array.of(0, 1) };
  const { values } = await policy.forward([sequence], { values: true }).catch((error: unknown) => {
    if (TroupeError.is(error) && error.code === "E_NO_VALUE_HEAD")
      throw noValueHead(method.name, name, error);
    throw error;
  });
  if (values === undefined) throw noValueHead(method.name, name);
}

export function noValueHead(method: string, policy: string, cause?: unknown): TrainConfigError {
  return new TrainConfigError({
    code: "E_VALUE_HEAD",
    message: `Method "${method}" needs values, and policy "${policy}" has no value head.`,
    hint: 'open it with one, for example local("…", { valueHead: true }), or use a method without, such as grpo(…).',
    facts: { method, policy },
    ...(cause === undefined ? {} : { cause }),
  });
}
