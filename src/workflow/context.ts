/** @file What a workflow function is given, and the child workflows that it spawns: the same thing one level down. */

import { AgentReply, type AnyAgent, type CallOptions, parseText } from "./agent.ts";
import type { AgentCalls } from "./agent-calls.ts";
import { renderPrompt } from "./call-prompt.ts";
import { EpisodeStream, meterOf, timeOf } from "./draws.ts";
import { count } from "./effect-ids.ts";
import { failureOf, ReplayDivergenceError } from "./errors.ts";
import { jsonCopy, NotJsonError } from "./json-value.ts";
import type { MemoryUses } from "./memory.ts";
import { handled } from "./open-effect.ts";
import type { RewardLedger } from "./reward-ledger.ts";
import type { EpisodeRuntime } from "./runtime.ts";
import { childScope, type Scope } from "./scope.ts";
import { type AnyTool, toolName } from "./tool.ts";
import type { ToolCalls } from "./tool-calls.ts";
import { chatToolsOf, converse } from "./tool-use.ts";
import type { CallRecord, ChildRecord } from "./trajectory.ts";
import type { AgentMap, AnyWorkflow, ToolMap, WorkflowContext } from "./workflow.ts";

export interface ContextParts {
  readonly runtime: EpisodeRuntime;
  readonly calls: AgentCalls;
  readonly tools: ToolCalls;
  readonly memory: MemoryUses;
  readonly rewards: RewardLedger;
}

type Context = WorkflowContext<unknown, AgentMap, ToolMap>;

/** Makes the contexts of one episode. */
export class Contexts {
  readonly #parts: ContextParts;
  readonly #children: (ChildRecord | undefined)[] = [];
  readonly #open: (
    | Pick<ChildRecord, "scope" | "issued" | "startedAt" | "workflow" | "child" | "task">
    | undefined
  )[] = [];
  readonly #occurrences = new Map<string, number>();

  constructor(parts: ContextParts) {
    this.#parts = parts;
  }

  /** Records of all children; what still runs is cancelled. */
  close(): readonly ChildRecord[] {
    const now = this.#parts.runtime.seconds();
    return this.#open.map(
      (open, i) =>
        this.#children[i] ?? { ...open!, settled: -1, status: "cancelled", seconds: now - open!.startedAt },
    );
  }

  of(workflow: AnyWorkflow, task: unknown, scope: Scope): Context {
    const { runtime, memory, rewards } = this.#parts;
    return {
      task,
      agents: this.#agents(workflow, scope),
      tools: this.#tools(workflow, scope),
      reward: (value, about) => rewards.give(scope, workflow.agents, value, about),
      spawn: (child, childTask) =>
        handled(this.#spawn(child as AnyWorkflow, childTask, scope)) as Promise<never>,
      memory: memory.bind(scope),
      random: new EpisodeStream(runtime, scope),
      now: timeOf(runtime, scope),
      meter: meterOf(runtime, scope),
      get signal() {
        return runtime.signal;
      },
      stage: runtime.stage,
      scope: scope.path,
    };
  }

  #agents({ agents, tools }: AnyWorkflow, scope: Scope): Context["agents"] {
    const bound: Record<string, (variables: never, options?: CallOptions) => Promise<AgentReply<unknown>>> =
      {};
    for (const [name, agent] of Object.entries(agents)) {
      const chatTools = chatToolsOf(agent, tools);
      bound[name] = (variables, options = {}) =>
        handled(this.#call(agent, variables, options, { scope, tools, chatTools }));
    }
    return bound as Context["agents"];
  }

  async #call(
    agent: AnyAgent,
    variables: never,
    options: CallOptions,
    {
      scope,
      tools,
      chatTools,
    }: { readonly scope: Scope; readonly tools: ToolMap; readonly chatTools: ReturnType<typeof chatToolsOf> },
  ): Promise<AgentReply<unknown>> {
    const { runtime, calls, tools: toolCalls } = this.#parts;
    if (runtime.stopped) return runtime.afterStop();
    let records: readonly CallRecord[];
    try {
      const place = { agent: agent.name, episode: runtime.id, workflow: scope.workflow };
      const prompt = renderPrompt(agent, variables, place);
      // Most agents use no tools by themselves: one call is their answer.
      records =
        chatTools === undefined
          ? [await calls.perform({ agent, scope, input: prompt, tools: undefined, options })]
          : await converse({ agent, scope, prompt, tools, chatTools, options }, calls, toolCalls, runtime);
    } catch (error) {
      note(runtime, error);
      throw error;
    }
    const last = records.at(-1)!;
    return new AgentReply({
      text: last.text,
      tokens: last.output,
      // A complete call has a reason to have stopped.
      stopReason: last.stopReason!,
      call: last.id,
      calls: records.map(({ id }) => id),
      agent: agent.name,
      policy: last.policy,
      parse: last.parse ?? parseText(agent, last.text),
    });
  }

  #tools({ tools }: AnyWorkflow, scope: Scope): Context["tools"] {
    const bound: Record<string, (input: never) => Promise<unknown>> = {};
    for (const [key, tool] of Object.entries(tools)) {
      bound[key] = (input) => handled(this.#use(key, tool, scope, input));
    }
    return bound as Context["tools"];
  }

  async #use(key: string, tool: AnyTool, scope: Scope, input: unknown): Promise<unknown> {
    const { runtime, tools } = this.#parts;
    try {
      return await tools.use(toolName(key, tool), tool, scope, input);
    } catch (error) {
      note(runtime, error);
      throw error;
    }
  }

  async #spawn(child: AnyWorkflow, task: unknown, parent: Scope): Promise<unknown> {
    const { runtime } = this.#parts;
    if (runtime.stopped) return runtime.afterStop();
    try {
      runtime.countDepth(parent.depth + 1, child.name);
    } catch (error) {
      note(runtime, error);
      throw error;
    }
    const scope = childScope(parent, child.name, (path) => count(this.#occurrences, path));
    const place = this.#open.length;
    const open = {
      scope: parent.path,
      child: scope.path,
      workflow: child.name,
      issued: runtime.issue(),
      startedAt: runtime.seconds(),
      task: recordable(task),
    };
    this.#open.push(open);
    const close = (ending: Pick<ChildRecord, "status" | "result" | "failure">) => {
      this.#children[place] = {
        ...open,
        ...ending,
        settled: runtime.settle(),
        seconds: runtime.seconds() - open.startedAt,
      };
    };
    try {
      const result = await child.run(this.of(child, task, scope));
      if (!runtime.stopped) close({ status: "complete", result: recordable(result) });
      return result;
    } catch (error) {
      if (!runtime.stopped)
        close({ status: "failed", failure: failureOf(error, { workflow: child.name, episode: runtime.id }) });
      throw error;
    }
  }
}

/** A replay that has diverged has failed, whatever the workflow makes of the error. */
function note(runtime: EpisodeRuntime, error: unknown): void {
  if (error instanceof ReplayDivergenceError) runtime.giveUp(error);
  else runtime.refused(error);
}

/** For the record only: a child's task and result may be anything, and what JSON cannot hold is shown as text. */
function recordable(value: unknown): unknown {
  try {
    return jsonCopy(value);
  } catch (error) {
    if (error instanceof NotJsonError) return String(value);
    throw error;
  }
}
