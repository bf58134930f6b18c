/** @file Whether a policy has the value heads that a method needs: asked before the first episode. */

import type { TrainablePolicy } from "../engine/policy.ts";
import { TroupeError } from "../errors.ts";
import type { Method } from "../methods/method.ts";
import { TrainConfigError } from "./errors.ts";
import { needsOfPolicy } from "./update-plan.ts";

/**
 * Scores two tokens: the one way of asking that every engine has.
 * @throws TrainConfigError E_VALUE_HEAD
 */
export async function checkValueHead(name: string, policy: TrainablePolicy, method: Method): Promise<void> {
  const wanted = Number(needsOfPolicy(method, name).values ?? 0);
  if (wanted === 0) return;
  const token = policy.tokenizer.endTokens[0] ?? 0;
  const sequence = { tokens: Int32Array.of(token, token), mask: Uint8Array.of(0, 1) };
  const { values } = await policy.forward([sequence], { values: true }).catch((error: unknown) => {
    if (TroupeError.is(error) && error.code === "E_NO_VALUE_HEAD")
      throw noValueHead(method.name, name, error, wanted);
    throw error;
  });
  if (values === undefined) throw noValueHead(method.name, name, undefined, wanted);
  // One token was scored, so there is one value a head.
  if (values.length !== wanted) throw otherValueHeads(method.name, name, wanted, values.length);
}

export function noValueHead(method: string, policy: string, cause?: unknown, wanted = 1): TrainConfigError {
  const several = wanted === 1 ? "values" : `${wanted} value heads`;
  return new TrainConfigError({
    code: "E_VALUE_HEAD",
    message: `Method "${method}" needs ${several}, and policy "${policy}" has no value head.`,
    hint: `open it with ${wanted === 1 ? "one" : "them"}, for example local("…", { valueHead: ${option(wanted)} }), or use a method without, such as grpo(…).`,
    facts: { method, policy, wanted, found: 0 },
    ...(cause === undefined ? {} : { cause }),
  });
}

function otherValueHeads(method: string, policy: string, wanted: number, found: number): TrainConfigError {
  const counted = (heads: number) => (heads === 1 ? "one value head" : `${heads} value heads`);
  return new TrainConfigError({
    code: "E_VALUE_HEAD",
    message: `Method "${method}" needs ${counted(wanted)}, and policy "${policy}" has ${counted(found)}.`,
    hint: `open it with as many as the method needs, for example local("…", { valueHead: ${option(wanted)} }).`,
    facts: { method, policy, wanted, found },
  });
}

const option = (heads: number) => (heads === 1 ? true : heads);
