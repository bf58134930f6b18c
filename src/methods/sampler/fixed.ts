/**
 * @file The plain sampler: so many episodes of each task, and nothing more. The size is CHOSEN: 8 to 16 are usual in open
 * code.
 */

import type { MethodCard } from "../card.ts";
import { wrongSetting } from "../errors.ts";
import type { SamplerPart } from "../parts.ts";

type Samples<Size extends number> = Size extends 1 ? "single" : "group";

/** @param groupSize G, episodes a task. Default 8 (8 to 16 in most open code). */
export function fixedGroups<const Size extends number = 8>(
  groupSize: Size = 8 as Size,
): Omit<SamplerPart, "samples"> & { readonly samples: Samples<Size> } {
  if (!Number.isInteger(groupSize) || groupSize < 1)
    throw wrongSetting("fixedGroups", "groupSize", groupSize, "an integer of at least 1");
  return Object.freeze({
    stage: "sampler",
    name: "fixed",
    samples: (groupSize === 1 ? "single" : "group") as Samples<Size>,
    // Of single episodes the trainer hears, as of any sampler: there is no group to compare them in.
    passive: groupSize > 1,
    settings: { groupSize },
    groupSize,
    next: () => [],
  } as const);
}

export const fixedGroupsCard: MethodCard = {
  name: "fixed-groups",
  title: "Fixed groups",
  stage: "sampler",
  line: "so many episodes of each task, and nothing more: the default",
  use: 'import { fixedGroups } from "troupe/methods"',
  formula: ["G episodes of every task of the step, in one wave"],
  defaults: { groupSize: { value: 8, source: "CHOSEN: 8 to 16 in most open code" } },
  source: "DeepSeekMath (arXiv 2402.03300) has 64; most open code 8 to 16",
};
