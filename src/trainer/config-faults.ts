/** @file What can be wrong with a run's options that each by itself is right: names of policies, agents and metrics, what a method needs. */

import { needsOf } from "../rewards/reward.ts";
import { agentsOf } from "../workflow/workflow.ts";
import type { TrainOptions } from "./config.ts";

export function* configFaults<Task>(options: TrainOptions<Task>): Generator<string> {
  yield* assignmentFaults(options);
  yield* rewardFaults(options);
  yield* reflectFaults(options);
  yield* keepFaults(options);
}

function* assignmentFaults<Task>({
  workflow,
  policies,
  assign,
  teams,
  search,
  optimizers,
}: TrainOptions<Task>): Generator<string> {
  const agents = [...agentsOf(workflow).keys()];
  const names = Object.keys(policies);
  for (const name of Object.keys(optimizers ?? {})) {
    if (!names.includes(name))
      yield `optimizers.${name}: there is no policy "${name}"; there are ${names.join(", ")}.`;
  }
  if (names.length === 0) yield 'policies: there is none; add one, for example { small: local("folder") }.';
  for (const [agent, policy] of Object.entries(assign ?? {})) {
    if (!agents.includes(agent)) {
      yield `assign.${agent}: workflow "${workflow.name}" has no agent "${agent}"; it has ${agents.join(", ")}.`;
    }
    if (!names.includes(policy))
      yield `assign.${agent}: there is no policy "${policy}"; there are ${names.join(", ")}.`;
  }
  if (names.length < 2 || teams !== undefined || search?.assign !== undefined) return;
  for (const agent of agents) {
    if (assign?.[agent] === undefined) {
      yield `assign.${agent}: missing; with ${names.length} policies (${names.join(", ")}) each agent must be assigned to one.`;
    }
  }
}

function* rewardFaults<Task>({ workflow, policies, rewards }: TrainOptions<Task>): Generator<string> {
  if (rewards === undefined) return;
  const needs = needsOf(rewards);
  for (const policy of needs.policies) {
    if (!Object.hasOwn(policies, policy))
      yield `rewards: a term of "${rewards.name}" asks policy "${policy}"; there are ${Object.keys(policies).join(", ")}.`;
  }
  const agents = agentsOf(workflow);
  for (const agent of needs.agents) {
    if (!agents.has(agent))
      yield `rewards: a term of "${rewards.name}" is about agent "${agent}"; workflow "${workflow.name}" has ${[...agents.keys()].join(", ")}.`;
  }
}

function* reflectFaults<Task>({ method, reflect }: TrainOptions<Task>): Generator<string> {
  if (method.sampler?.reflects === true && reflect === undefined)
    yield `reflect: method "${method.name}" shows earlier episodes again, and the run does not say how; give a function, for example (task, episode) => ({ ...task, before: episode.result }).`;
}

function* keepFaults<Task>(options: TrainOptions<Task>): Generator<string> {
  const { keepCheckpoints, evaluate, evaluateEvery, metrics = { reward: undefined } } = options;
  const metric = keepCheckpoints?.best?.metric;
  if (metric === undefined) return;
  if (evaluate === undefined || evaluateEvery === 0)
    yield "keepCheckpoints.best: there are no evaluations to compare; give `evaluate`, and `evaluateEvery` above 0.";
  if (!Object.hasOwn(metrics, metric))
    yield `keepCheckpoints.best.metric: there is no metric "${metric}"; there are ${Object.keys(metrics).join(", ")}.`;
}
