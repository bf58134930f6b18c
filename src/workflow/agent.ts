/** @file An agent: a named role with a typed prompt, a parser and its defaults. It knows nothing of weights. */

import type { ChatMessage, SamplingSettings, StopReason } from "../engine/policy.ts";
import { ParseError, WorkflowDefinitionError } from "./errors.ts";
import { describeIssue, type TaskSchema } from "./task-schema.ts";

/** What an episode is run for; agents may sample differently in each. */
export type Stage = "train" | "evaluate";

export interface AgentOptions<Variables, Parsed> {
  /**
   * Text becomes tokens as it is (raw prompt, no template); a list of messages goes through the chat template of the
   * policy that answers.
   */
  readonly prompt: (variables: Variables) => string | readonly ChatMessage[];
  /** Default 256. */
  readonly maxTokens?: number;
  /** Output ends before the first of these strings. */
  readonly stop?: readonly string[];
  /** Defaults: the plain distribution (temperature 1) in training, greedy (temperature 0) in evaluation. */
  readonly sampling?: Partial<Readonly<Record<Stage, SamplingSettings>>>;
  /** Turns the text into a value; throws if it cannot. The outcome is recorded with the call. Default: the text. */
  readonly parse?: (text: string) => Parsed;
  /**
   * Structured output: the text must be JSON of this shape (any Standard Schema validator: zod, valibot, arktype). The
   * outcome is recorded like that of `parse`; the two exclude each other.
   */
  readonly output?: TaskSchema<Parsed>;
  /**
   * Tools of the workflow, by name, that the model itself may call in the format of its chat template; `prompt` must
   * return messages. The reply is the first output that calls no tool.
   */
  readonly tools?: readonly string[];
  /** Calls of the model in one such conversation. Default 8. */
  readonly maxToolTurns?: number;
}

export interface Agent<Variables = never, Parsed = unknown> {
  readonly name: string;
  readonly prompt: (variables: Variables) => string | readonly ChatMessage[];
  readonly maxTokens: number;
  readonly stop: readonly string[];
  readonly sampling: Readonly<Record<Stage, SamplingSettings>>;
  readonly parse: ((text: string) => Parsed) | undefined;
  readonly tools: readonly string[];
  readonly maxToolTurns: number;
}

/** Any agent, whatever its variables: what a workflow's list of agents holds. */
export type AnyAgent = Agent<never, unknown>;

/**
 * Defines an agent.
 *
 * @example
 * const planner = agent("planner", {
 *   prompt: (v: { question: string }) => `Question: ${v.question}\nQueries:`,
 *   maxTokens: 32,
 *   stop: ["\n\n"],
 *   parse: (text) => text.split("\n").filter((line) => line !== ""),
 * });
 */
export function agent<Variables, Parsed = string>(
  name: string,
  options: AgentOptions<Variables, Parsed>,
): Agent<Variables, Parsed> {
  const maxTokens = options.maxTokens ?? 256;
  if (name.trim() === "" || /[/\\\n]/.test(name)) {
    throw new WorkflowDefinitionError({
      code: "E_AGENT_NAME",
      message: `An agent was given the name ${JSON.stringify(name)}; names are not empty and have no slashes or line breaks.`,
      hint: 'use a short word such as "planner".',
    });
  }
  if (!Number.isInteger(maxTokens) || maxTokens < 1) {
    throw new WorkflowDefinitionError({
      code: "E_AGENT_MAX_TOKENS",
      message: `Agent "${name}" has maxTokens ${maxTokens}; it must be an integer of at least 1.`,
      hint: "leave it out for the default of 256.",
    });
  }
  if (options.parse !== undefined && options.output !== undefined) {
    throw new WorkflowDefinitionError({
      code: "E_AGENT_PARSE",
      message: `Agent "${name}" has both \`parse\` and \`output\`; it is not clear which of them reads the text.`,
      hint: "keep one; `output` is JSON with a schema, `parse` anything else.",
    });
  }
  const maxToolTurns = options.maxToolTurns ?? 8;
  if (!Number.isInteger(maxToolTurns) || maxToolTurns < 1) {
    throw new WorkflowDefinitionError({
      code: "E_AGENT_TOOL_TURNS",
      message: `Agent "${name}" has maxToolTurns ${maxToolTurns}; it must be an integer of at least 1.`,
      hint: "leave it out for the default of 8.",
    });
  }
  if (options.stop?.includes("")) {
    throw new WorkflowDefinitionError({
      code: "E_AGENT_STOP",
      message: `Agent "${name}" has an empty stop string, which would end every output before its first token.`,
      hint: "remove it from `stop`.",
    });
  }
  return Object.freeze({
    name,
    prompt: options.prompt,
    maxTokens,
    stop: options.stop ?? [],
    sampling: {
      train: options.sampling?.train ?? {},
      evaluate: options.sampling?.evaluate ?? { temperature: 0 },
    },
    parse: options.output === undefined ? options.parse : jsonParser(options.output),
    tools: options.tools ?? [],
    maxToolTurns,
  });
}

/** What one call may do differently from its agent's defaults. */
export interface CallOptions {
  readonly sampling?: SamplingSettings;
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
  /** Stops this call alone, for example when another branch has found the answer; its promise then rejects. */
  readonly signal?: AbortSignal;
}

/** Whether an agent's parser took the text. Recorded with the call, so parse rates can be reported. */
export type ParseOutcome<Parsed> =
  | { readonly ok: true; readonly value: Parsed }
  | { readonly ok: false; readonly reason: string };

export interface ReplyFacts<Parsed> {
  readonly text: string;
  readonly tokens: Int32Array;
  readonly stopReason: StopReason;
  readonly call: number;
  readonly calls: readonly number[];
  readonly agent: string;
  readonly policy: string;
  readonly parse: ParseOutcome<Parsed>;
}

/** What calling an agent gives back to the workflow. */
export class AgentReply<Parsed = string> {
  readonly text: string;
  /** The sampled ids, end token included. The text is only a view of them. */
  readonly tokens: Int32Array;
  readonly stopReason: StopReason;
  /** The call's number in its trajectory; give it to `reward(…, { call })`. */
  readonly call: number;
  /** All calls that this reply took: more than one where the model used tools first. */
  readonly calls: readonly number[];
  readonly agent: string;
  readonly policy: string;
  /** Look here when the agent may write what the parser refuses, to reward or punish it. */
  readonly parse: ParseOutcome<Parsed>;

  constructor(facts: ReplyFacts<Parsed>) {
    this.text = facts.text;
    this.tokens = facts.tokens;
    this.stopReason = facts.stopReason;
    this.call = facts.call;
    this.calls = facts.calls;
    this.agent = facts.agent;
    this.policy = facts.policy;
    this.parse = facts.parse;
  }

  /**
   * The parser's value.
   * @throws ParseError if the parser refused the text: the episode fails, typed, and is not trained on.
   */
  get parsed(): Parsed {
    if (this.parse.ok) return this.parse.value;
    throw new ParseError({
      boundary: "parser",
      code: "E_PARSE",
      message: `The parser of agent "${this.agent}" refused the output of call ${this.call}: ${this.parse.reason} (text: ${JSON.stringify(this.text.slice(0, 120))})`,
      hint: "look at `reply.parse.ok` first and give such an output a low reward, so that the agent learns the format.",
    });
  }
}

export function parseText<Parsed>(of: Agent<never, Parsed>, text: string): ParseOutcome<Parsed> {
  // Without a parser `Parsed` is string, by the signature of `agent`.
  if (of.parse === undefined) return { ok: true, value: text as Parsed };
  try {
    return { ok: true, value: of.parse(text) };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

/** JSON of one shape. A fence of Markdown around it is allowed: models write one whatever they are told. */
function jsonParser<Parsed>(schema: TaskSchema<Parsed>): (text: string) => Parsed {
  return (text) => {
    const json = /^\s*```(?:json)?\s*\n([\s\S]*?)\n?\s*```\s*$/.exec(text)?.[1] ?? text;
    const checked = schema["~standard"].validate(JSON.parse(json));
    if (checked instanceof Promise)
      throw new TypeError("the schema checks asynchronously; use one that does not");
    if (checked.issues !== undefined) throw new TypeError(checked.issues.map(describeIssue).join("; "));
    return checked.value;
  };
}
