/**
 * @file Teams of a run: the same agents on other policies. Every task gets `groupSize` episodes of each team, all in one
 * group, so that teams can be compared and learn from each other (HACPO), and each is evaluated by itself.
 */

/** φ of one team: agent → policy. */
export type Assignment = ReadonlyMap<string, string>;

export interface TeamSettings {
  readonly assignment: Assignment;
  /** By name; empty: there is one assignment for all. */
  readonly teams: ReadonlyMap<string, Assignment>;
}

/** All assignments of a run. */
export function assignmentsOf({ assignment, teams }: TeamSettings): readonly Assignment[] {
  return teams.size === 0 ? [assignment] : [...teams.values()];
}

/** Policies that some agent may run on: all of them, where a search says who runs on what. */
export function usedPolicies(
  settings: TeamSettings & {
    readonly policies: Readonly<Record<string, unknown>>;
    readonly search?: { readonly assign?: unknown } | undefined;
  },
): ReadonlySet<string> {
  if (settings.search?.assign !== undefined) return new Set(Object.keys(settings.policies));
  return new Set(assignmentsOf(settings).flatMap((assignment) => [...assignment.values()]));
}

/** Samples of a group are the first team's first, then the second's. */
export function teamOfSample(
  { teams, method }: TeamSettings & { readonly method: { readonly groupSize: number } },
  sample: number,
): string {
  return [...teams.keys()][Math.floor(sample / method.groupSize) % Math.max(1, teams.size)] ?? "";
}

/** φ of a sample of a group. */
export function assignmentOfSample(
  settings: TeamSettings & { readonly method: { readonly groupSize: number } },
  sample: number,
): Assignment {
  return settings.teams.get(teamOfSample(settings, sample)) ?? settings.assignment;
}
