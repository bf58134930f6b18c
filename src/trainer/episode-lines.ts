/** @file The episodes of a step as JSON lines, each with the advantages that its calls were trained with. */

import type { Trajectory } from "../workflow/trajectory.ts";
import { trajectoryLine } from "../workflow/trajectory-json.ts";
import type { CreditedGroup } from "./credit-groups.ts";

/** A line per episode; `advantages` by call id, empty for an episode that was left out. */
export function episodeLines(
  trajectories: readonly Trajectory[],
  credited: readonly CreditedGroup<unknown>[],
): string[] {
  const advantages = new Map<Trajectory, Record<number, number>>();
  for (const { trajectory, call, advantage } of credited.flatMap(({ calls }) => calls)) {
    const known = advantages.get(trajectory) ?? {};
    known[call.id] = advantage;
    advantages.set(trajectory, known);
  }
  return trajectories.map((trajectory) =>
    trajectoryLine(trajectory, { advantages: advantages.get(trajectory) ?? {} }),
  );
}
