/** @file What a method asks of one policy: what it must know of its tokens, and how often its batch is gone through. */

import type { Method, MethodNeeds, UpdatePlan } from "../methods/method.ts";

const once: UpdatePlan = { epochs: 1, minibatches: 1 };

/** Of the policy with this name in the run. */
export function updatePlan(method: Method, policy: string): UpdatePlan {
  return method.updatesOf?.(policy) ?? method.updates ?? once;
}

/** Of the policy with this name in the run. */
export function needsOfPolicy(method: Method, policy: string): MethodNeeds {
  return method.needsOf?.(policy) ?? method.needs;
}
