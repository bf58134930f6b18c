/** @file A workflow: an ordinary async function whose effects all go through its context. */

import type { Stream } from "../random/stream.ts";
import type { Agent, AgentReply, AnyAgent, CallOptions, Stage } from "./agent.ts";
import { WorkflowDefinitionError } from "./errors.ts";
import type { EpisodeMemory } from "./memory.ts";
import type { EpisodeLimits, Meter } from "./runtime.ts";
import type { TaskSchema } from "./task-schema.ts";
import type { AnyTool, Tool, ToolContext } from "./tool.ts";
import { chatToolsOf } from "./tool-use.ts";

export type AgentMap = Readonly<Record<string, AnyAgent>>;
export type ToolMap = Readonly<Record<string, AnyTool>>;

/** Calls an agent. Agents without variables are called without an argument. */
export type CallAgent<A> =
  A extends Agent<infer Variables, infer Parsed>
    ? unknown extends Variables
      ? (variables?: undefined, options?: CallOptions) => Promise<AgentReply<Parsed>>
      : (variables: Variables, options?: CallOptions) => Promise<AgentReply<Parsed>>
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
  /**
   * Runs another workflow inside this episode, with a scope of its own: its calls, tools and rewards are recorded under
   * it, and its rewards count for its own calls. Its agents are assigned like all others, by name.
   */
  readonly spawn: <ChildTask, Result>(
    child: Workflow<ChildTask, Result>,
    task: NoInfer<ChildTask>,
  ) => Promise<Result>;
  /** Shared by an episode and its children. */
  readonly memory: EpisodeMemory;
  /** Random numbers that depend only on the run's seed and the episode, never on timing. Use it instead of Math.random. */
  readonly random: Stream;
  /** Milliseconds since 1970; a replay gives the recorded time. Use it instead of Date.now. */
  readonly now: () => number;
  /** What the episode has used so far, children included. */
  readonly meter: () => Meter;
  /** Aborts when the episode is late or stopped. */
  readonly signal: AbortSignal;
  readonly stage: Stage;
  /** "" in the episode's own workflow, the child's scope in a child. */
  readonly scope: string;
}

export interface WorkflowParts<Task, Agents extends AgentMap, Tools extends ToolMap> {
  readonly agents: Agents;
  readonly tools?: Tools;
  /** Types the task, and checks each one when it is a validator. */
  readonly task?: TaskSchema<Task>;
  /** Workflows that this one may spawn: their agents are part of a run's configuration. */
  readonly children?: readonly AnyWorkflow[];
  /** Caps on an episode, children included. A run may set others. */
  readonly limits?: EpisodeLimits;
}

/** A task whose shape was not declared. Declare it with `task: taskOf<…>()` or a schema to have it checked. */
// biome-ignore lint/suspicious/noExplicitAny: the user has said nothing about the shape, as with JSON.parse
export type UntypedTask = any;

export interface Workflow<Task = UntypedTask, Result = unknown> {
  readonly name: string;
  /** Its own agents, by the key under which its function calls them. */
  readonly agents: AgentMap;
  readonly tools: ToolMap;
  readonly task: TaskSchema<Task> | undefined;
  readonly children: readonly AnyWorkflow[];
  readonly limits: EpisodeLimits;
  run(context: WorkflowContext<Task, AgentMap, ToolMap>): Promise<Result>;
}

/** Any workflow, whatever its tasks. */
// biome-ignore lint/suspicious/noExplicitAny: a list of workflows of different tasks
export type AnyWorkflow = Workflow<any, unknown>;

/** The agents of a workflow and of all workflows below it, by name. The same agent may appear in several. */
export function agentsOf(root: AnyWorkflow): ReadonlyMap<string, AnyAgent> {
  const found = new Map<string, AnyAgent>();
  const seen = new Set<AnyWorkflow>();
  const visit = (one: AnyWorkflow) => {
    if (seen.has(one)) return;
    seen.add(one);
    for (const agent of Object.values(one.agents)) {
      const other = found.get(agent.name);
      if (other !== undefined && other !== agent) {
        throw new WorkflowDefinitionError({
          code: "E_AGENT_DUPLICATE",
          message: `Workflow "${root.name}" and the workflows it spawns have two different agents of the name "${agent.name}".`,
          hint: "give one of them another name in agent(…): agents are assigned to policies by name.",
          facts: { workflow: one.name, agent: agent.name },
        });
      }
      found.set(agent.name, agent);
    }
    for (const child of one.children) visit(child);
  };
  visit(root);
  return found;
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
  Result = unknown,
>(
  name: string,
  parts: WorkflowParts<Task, Agents, Tools>,
  run: (context: WorkflowContext<Task, Agents, Tools>) => Promise<Result>,
): Workflow<Task, Result> {
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
  for (const agent of Object.values(parts.agents)) chatToolsOf(agent, parts.tools ?? {});
  if (keyOf.size === 0 && (parts.children ?? []).length === 0) {
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
    children: Object.freeze([...(parts.children ?? [])]),
    limits: Object.freeze({ ...parts.limits }),
    // The context is built from these very maps, so the narrower type holds.
    run: run as (context: WorkflowContext<Task, AgentMap, ToolMap>) => Promise<Result>,
  });
}
