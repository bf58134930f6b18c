/** @file The tasks of the league, in the order of its tables. */

import { atlas } from "./atlas.ts";
import { corridor } from "./corridor.ts";
import { halves } from "./halves.ts";
import type { LeagueTask } from "./league-task.ts";

export const leagueTasks: readonly LeagueTask[] = [atlas, corridor, halves];

export function taskNamed(name: string): LeagueTask {
  const found = leagueTasks.find((task) => task.name === name);
  if (found === undefined)
    throw new Error(
      `There is no task "${name}"; there are ${leagueTasks.map((task) => task.name).join(", ")}.`,
    );
  return found;
}
