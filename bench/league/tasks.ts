/** @file The tasks of the league, in the order of its tables. */

import { atlas } from "./atlas.ts";
import { corridor } from "./corridor.ts";
import { halves } from "./halves.ts";
import type { LeagueTask } from "./league-task.ts";

export const leagueTasks: readonly LeagueTask[] = [atlas, corridor, halves];
