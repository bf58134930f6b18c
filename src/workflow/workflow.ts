/** @file A workflow: an ordinary async function whose effects all go through its context. */

import type { Stream } from "../random/stream.ts";
import type { Agent, AgentReply, AnyAgent, Stage } from "./agent.ts";
import { WorkflowDefinitionError } from "./errors.ts";
import type { TaskSchema } from "./task-schema.ts";
import type { AnyTool, Tool, ToolContext } from "./tool.ts";

export type AgentMap = Readonly<Record<string, AnyAgent>>;
export type ToolMap = Readonly<Record<string, AnyTool>>;

/** Calls an agent once. Agents without variables are called without an argument. */
export type CallAgent<A> =
  A extends Agent<infer Variables, infer Parsed>
    ? unknown extends Variables
      ? () => Promise<AgentReply<Parsed>>
      : (variables: Variables) => Promise<AgentReply<Parsed>>
    : never;

export type CallTool<T> =
  T extends Tool<infer Input, infer Output>
    ? (input: Input) => Promise<Awaited<Output>>
    : T extends (input: infer Input, context: ToolContext) => infer Output
      ? (input: Input) => Promise<Awaited<Output>>
      : never;

export interface RewardOptions {
  /** The term's name in logs. Default "reward". */
  readonly name?: string;
  /** For the calls of this agent only. */
  readonly agent?: string;
  /** For this call only (`reply.call`). */
  readonly call?: number;
}

/** Gives a reward: to the whole trajectory, or to one agent or call of it. Terms add up. */
export type GiveReward = (value: number, options?: RewardOptions) => void;

/** What a workflow function is given. Everything that reaches outside goes through it. */
export interface WorkflowContext<Task, Agents extends AgentMap, Tools extends ToolMap> {
  readonly task: Task;
  readonly agents: { readonly [Name in keyof Agents]: CallAgent<Agents[Name]> };
  readonly tools: { readonly [Name in keyof Tools]: CallTool<Tools[Name]> };
  readonly reward: GiveReward;
  /** Aborts when the episode is late or stopped. */
  readonly signal: AbortSignal;
  readonly stage: Stage;
  /** Random numbers that depend only on the run's seed and the episode, never on timing. */
  readonly random: Stream;
}

export interface WorkflowParts<Task, Agents extends AgentMap, Tools extends ToolMap> {
  readonly agents: Agents;
  readonly tools?: Tools;
  /** Types the task, and checks each one when it is a validator. */
  readonly task?: TaskSchema<Task>;
}

/** A task whose shape was not declared. Declare it with `task: taskOf<…>()` or a schema to have it checked. */
// biome-ignore lint/suspicious/noExplicitAny: the user has said nothing about the shape, as with JSON.parse
export type UntypedTask = any;

export interface Workflow<Task = UntypedTask> {
  readonly name: string;
  readonly agents: AgentMap;
  readonly tools: ToolMap;
  readonly task: TaskSchema<Task> | undefined;
  run(context: WorkflowContext<Task, AgentMap, ToolMap>): Promise<unknown>;
}

/**
 * Defines a workflow.
 *
 * @example
 * export const atlas = workflow("atlas", { agents: { planner, answerer }, tools: { search } },
 *   async ({ task, agents, tools, reward }) => {
 *     const plan = await agents.planner({ question: task.question });
 *     const notes = await tools.search({ query: plan.text });
 *     const reply = await agents.answerer({ question: task.question, notes });
 *     reward(tokenF1(reply.text, task.answer));
 *     return reply.text;
 *   });
 */
export function workflow<
  Agents extends AgentMap,
  Tools extends ToolMap = Record<never, never>,
  Task = UntypedTask,
>(
  name: string,
  parts: WorkflowParts<Task, Agents, Tools>,
  run: (context: WorkflowContext<Task, Agents, Tools>) => Promise<unknown>,
): Workflow<Task> {
  const keyOf = new Map<string, string>();
  for (const [key, { name: agentName }] of Object.entries(parts.agents)) {
    const other = keyOf.get(agentName);
    if (other !== undefined) {
      throw new WorkflowDefinitionError({
        code: "E_AGENT_DUPLICATE",
        message: `Workflow "${name}" has two agents of the name "${agentName}": agents.${other} and agents.${key}.`,
        hint: `give one of them another name in agent("…"); to call one agent twice, list it once and call it twice.`,
        facts: { workflow: name, agent: agentName },
      });
    }
    keyOf.set(agentName, key);
  }
  if (keyOf.size === 0) {
    throw new WorkflowDefinitionError({
      code: "E_WORKFLOW_EMPTY",
      message: `Workflow "${name}" has no agents.`,
      hint: "list them: workflow(name, { agents: { planner } }, …).",
    });
  }
  return Object.freeze({
    name,
    agents: Object.freeze({ ...parts.agents }),
    tools: Object.freeze({ ...parts.tools }),
    task: parts.task,
    // The context is built from these very maps, so the narrower type holds.
    run: run as (context: WorkflowContext<Task, AgentMap, ToolMap>) => Promise<unknown>,
  });
}
