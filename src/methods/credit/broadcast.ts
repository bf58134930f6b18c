/**
 * @file Broadcast: every call is worth what it was rewarded with, r_c = team reward + the terms of its agent + its own, and
 * all calls of the group share one baseline. The default, and the baseline of every comparison of credit.
 * Source: UnityMAS-O (arXiv 2605.26646), shared outcome; most multi-agent work since.
 */

import type { MethodCard } from "../card.ts";
import type { CreditAssigner } from "../parts.ts";

export function broadcast(): CreditAssigner & { readonly wants?: never } {
  return Object.freeze({
    stage: "credit",
    name: "broadcast",
    settings: {},
    assign: ({ episodes }) => ({
      values: episodes.map(({ calls }) => Float64Array.from(calls, ({ reward }) => reward)),
    }),
  } satisfies CreditAssigner);
}

export const broadcastCard: MethodCard = {
  name: "broadcast",
  title: "Broadcast",
  stage: "credit",
  line: "the same team reward for every call: the default, and the baseline of every comparison",
  use: 'import { broadcast } from "troupe/methods"',
  formula: ["value of call c = team reward + terms of its agent + its own terms"],
  defaults: {},
  source: "UnityMAS-O (arXiv 2605.26646), shared outcome",
};
