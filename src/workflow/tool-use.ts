/**
 * @file An agent whose model uses tools by itself: calls it until an output asks for no tool. Each output and each tool
 * result is a turn of one conversation, so the next prompt continues the tokens of the last.
 */

import type { ChatMessage, ChatTool } from "../engine/policy.ts";
import type { AnyAgent, CallOptions } from "./agent.ts";
import type { AgentCalls } from "./agent-calls.ts";
import { answerMessage } from "./call-record.ts";
import { EpisodeError, LimitError, WorkflowDefinitionError } from "./errors.ts";
import type { EpisodeRuntime } from "./runtime.ts";
import type { Scope } from "./scope.ts";
import { type AnyTool, toolName } from "./tool.ts";
import type { ToolCalls } from "./tool-calls.ts";
import type { CallRecord, Prompt } from "./trajectory.ts";
import type { ToolMap } from "./workflow.ts";

/** The tools of an agent as its model sees them; undefined if it has none. */
export function chatToolsOf(agent: AnyAgent, tools: ToolMap): readonly ChatTool[] | undefined {
  if (agent.tools.length === 0) return undefined;
  return agent.tools.map((name) => {
    const tool = tools[name];
    if (tool === undefined || typeof tool === "function" || tool.parameters === undefined) {
      throw new WorkflowDefinitionError({
        code: "E_AGENT_TOOLS",
        message: `Agent "${agent.name}" is given tool "${name}", which ${tool === undefined ? "the workflow does not have" : "has no `parameters`, so a model cannot know how to call it"}.`,
        hint: 'define it with tool("…", { description, parameters: { type: "object", … }, run }).',
      });
    }
    return { name: tool.name, description: tool.description, parameters: tool.parameters };
  });
}

export interface Conversation {
  readonly agent: AnyAgent;
  readonly scope: Scope;
  readonly prompt: Prompt;
  readonly tools: ToolMap;
  readonly chatTools: readonly ChatTool[] | undefined;
  readonly options: CallOptions;
}

/** All calls of one reply, in order; the last one is the answer. */
export async function converse(
  { agent, scope, prompt, tools, chatTools, options }: Conversation,
  calls: AgentCalls,
  toolCalls: ToolCalls,
  runtime: EpisodeRuntime,
): Promise<readonly CallRecord[]> {
  const plan = { agent, scope, tools: chatTools, options };
  const records = [await calls.perform({ ...plan, input: prompt })];
  let messages: readonly ChatMessage[] = typeof prompt === "string" ? [] : prompt;
  for (;;) {
    const last = records.at(-1)!;
    if (last.toolCalls === undefined) return records;
    if (records.length >= agent.maxToolTurns) throw tooMany(agent, runtime);
    const results = await Promise.all(
      last.toolCalls.map(async ({ name, arguments: given }): Promise<ChatMessage> => {
        const key = agent.tools.find((own) => toolName(own, tools[own]!) === name);
        const found = key === undefined ? undefined : tools[key];
        const content = await answer(found, name, scope, given, last.id, toolCalls, agent);
        return { role: "tool", name, content };
      }),
    );
    messages = [...messages, answerMessage(last), ...results];
    records.push(await calls.perform({ ...plan, input: messages }));
  }
}

/** What the model is told. A tool that fails is told as well, and recorded as failed: the model may try another way. */
async function answer(
  tool: AnyTool | undefined,
  name: string,
  scope: Scope,
  given: unknown,
  call: number,
  toolCalls: ToolCalls,
  agent: AnyAgent,
): Promise<string> {
  if (tool === undefined)
    return JSON.stringify({ error: `There is no tool "${name}"; there are: ${agent.tools.join(", ")}.` });
  try {
    const output = await toolCalls.use(name, tool, scope, given, call);
    return typeof output === "string" ? output : JSON.stringify(output ?? null);
  } catch (error) {
    if (!(error instanceof EpisodeError) || error.boundary !== "tool") throw error;
    if (error.code === "E_TOOL_DEADLINE")
      return JSON.stringify({ error: "the tool was not finished in time" });
    if (error.cause === undefined) throw error;
    return JSON.stringify({ error: messageOf(error.cause) });
  }
}

const messageOf = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause));

function tooMany({ name, maxToolTurns }: AnyAgent, { id }: EpisodeRuntime): LimitError {
  return new LimitError({
    boundary: "workflow",
    code: "E_TOOL_TURNS",
    message: `Agent "${name}" still asked for a tool after ${maxToolTurns} calls in episode ${id}.`,
    hint: "raise the agent's maxToolTurns, or catch the error and reward the episode low.",
    facts: { agent: name, maxToolTurns },
  });
}
