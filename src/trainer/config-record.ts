/** @file What a run was asked for, as JSON: `config.json` and the comparison of a run with its continuation. */

import { sourceName } from "../data/task-source.ts";
import type { RewardTerm } from "../rewards/reward.ts";
import { agentsOf } from "../workflow/workflow.ts";
import type { TrainSettings } from "./config.ts";

/** The configuration as JSON: what was run, without the functions. */
export function configRecord<Task>(settings: TrainSettings<Task>): Record<string, unknown> {
  const {
    workflow,
    tasks,
    evaluate,
    evaluation,
    metrics,
    policies,
    method,
    assignment,
    teams,
    search,
    memory,
    rewards,
    reflect,
    schedule,
    tokenBudget,
    ...rest
  } = settings;
  return {
    ...rest,
    ...(Number.isFinite(tokenBudget) ? { tokenBudget } : {}),
    ...(schedule === undefined ? {} : { schedule: { name: schedule.name, ...schedule.settings } }),
    workflow: {
      name: workflow.name,
      agents: Object.fromEntries(
        [...agentsOf(workflow).values()].map(({ name, maxTokens, stop, sampling, tools: used }) => [
          name,
          { maxTokens, stop, sampling, ...(used.length === 0 ? {} : { tools: used }) },
        ]),
      ),
      tools: Object.keys(workflow.tools),
      ...(workflow.children.length === 0 ? {} : { children: workflow.children.map(({ name }) => name) }),
    },
    tasks: sourceName(tasks, "tasks"),
    evaluate: evaluate === undefined ? null : sourceName(evaluate, "evaluate"),
    // Without its function, which JSON would drop in silence.
    evaluation: { ...evaluation, success: evaluation.success === undefined ? "reward >= 1" : "function" },
    metrics: Object.keys(metrics),
    policies: Object.fromEntries(
      Object.entries(policies).map(([name, { kind, settings: asked }]) => [name, { kind, ...asked }]),
    ),
    assign: Object.fromEntries(assignment),
    ...(teams.size === 0
      ? {}
      : {
          teams: Object.fromEntries([...teams].map(([name, team]) => [name, Object.fromEntries(team)])),
        }),
    ...(search === undefined ? {} : { search: { concurrency: search.concurrency ?? 1, ...search.settings } }),
    method: { name: method.name, ...method.settings },
    ...(reflect === undefined ? {} : { reflect: reflect.name || "function" }),
    memory: memory === undefined ? "episode" : "run",
    ...(rewards === undefined ? {} : { rewards: termRecord(rewards) }),
  };
}

/** A term and what it is made of, by name. */
function termRecord<Task>({ name, parts = [] }: RewardTerm<Task>): unknown {
  return parts.length === 0 ? name : { [name]: parts.map(termRecord) };
}
