/** @file How often a policy's batch is gone through, and in how many optimiser steps: the method's word on it. */

import type { Method, UpdatePlan } from "../methods/method.ts";

const once: UpdatePlan = { epochs: 1, minibatches: 1 };

/** Of the policy with this name in the run. */
export function updatePlan(method: Method, policy: string): UpdatePlan {
  return method.updatesOf?.(policy) ?? method.updates ?? once;
}
