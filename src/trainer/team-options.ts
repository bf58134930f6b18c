/** @file `teams` of a run's options: what they mean, and what can be wrong with them. */

import { agentsOf } from "../workflow/workflow.ts";
import type { TrainOptions } from "./config.ts";
import type { Assignment } from "./teams.ts";

/** By name, in the order in which they were written; empty without teams. */
export function teamsOf<Task>({ teams = {} }: TrainOptions<Task>): ReadonlyMap<string, Assignment> {
  return new Map(Object.entries(teams).map(([name, team]) => [name, new Map(Object.entries(team))]));
}

export function* teamFaults<Task>({
  workflow,
  policies,
  assign,
  teams,
  search,
  method,
  buffer,
}: TrainOptions<Task>): Generator<string> {
  if (typeof buffer === "object") {
    for (const name of Object.keys(buffer)) {
      if (!Object.hasOwn(policies, name))
        yield `buffer.${name}: there is no policy "${name}"; there are ${Object.keys(policies).join(", ")}.`;
    }
  }
  if (search !== undefined && method.sampler !== undefined)
    yield `search: method "${method.name}" has a sampler of its own; leave one of them out.`;
  if (search === undefined && method.needs.trees === true)
    yield `method: "${method.name}" learns from search trees, and the run grows none; add \`search\`, for example marsSearch({ policies, agents }) of troupe/search.`;
  if (teams === undefined) return;
  if (assign !== undefined) yield "teams: leave `assign` out; each team says who runs on what.";
  const names = Object.keys(teams);
  if (names.length === 0) yield 'teams: there is none; add one, for example { small: { solver: "small" } }.';
  if (search === undefined && method.sampler !== undefined)
    yield `teams: method "${method.name}" has a sampler, which cannot ask for episodes of one team; use a method without.`;
  const agents = [...agentsOf(workflow).keys()];
  for (const [name, team] of Object.entries(teams)) {
    for (const agent of agents) {
      const policy = team[agent];
      if (policy === undefined)
        yield `teams.${name}.${agent}: missing; every agent of a team runs on a policy.`;
      else if (!Object.hasOwn(policies, policy))
        yield `teams.${name}.${agent}: there is no policy "${policy}"; there are ${Object.keys(policies).join(", ")}.`;
    }
    for (const agent of Object.keys(team)) {
      if (!agents.includes(agent))
        yield `teams.${name}.${agent}: workflow "${workflow.name}" has no agent "${agent}"; it has ${agents.join(", ")}.`;
    }
  }
}
