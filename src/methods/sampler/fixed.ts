/** @file The plain sampler: so many episodes of each task, and nothing more. */

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
    settings: { groupSize },
    groupSize,
    next: () => [],
  } as const);
}
