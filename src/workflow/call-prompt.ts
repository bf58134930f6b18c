/** @file From an agent's variables to the prompt of one call, in text and in tokens. Nothing is cut silently. */

import type { ChatTool, Policy } from "../engine/policy.ts";
import type { AnyAgent } from "./agent.ts";
import { PromptError } from "./errors.ts";
import type { EncodedPrompt, PromptCache } from "./prompt-cache.ts";
import type { Prompt } from "./trajectory.ts";

/** For messages. */
export interface PromptPlace {
  readonly agent: string;
  readonly episode: string;
  readonly workflow: string;
}

const describe = ({ agent, episode, workflow }: PromptPlace) =>
  `agent "${agent}" in episode ${episode} of workflow "${workflow}"`;

/** @throws PromptError if the prompt function throws or returns neither text nor messages. */
export function renderPrompt(agent: AnyAgent, variables: never, place: PromptPlace): Prompt {
  let prompt: Prompt;
  try {
    prompt = agent.prompt(variables);
  } catch (error) {
    throw failed(place, error);
  }
  const fault =
    typeof prompt === "string"
      ? agent.tools.length === 0
        ? undefined
        : "it is a text, but an agent with tools needs messages, since tools are part of the chat template"
      : !Array.isArray(prompt)
        ? `it is ${prompt === null ? "null" : `a ${typeof prompt}`}, not a text or a list of messages`
        : prompt.every((message) => typeof message?.role === "string" && typeof message?.content === "string")
          ? undefined
          : "a message of it has no role or no content";
  // A copy: a workflow that goes on writing to its list of messages must not rewrite what was asked.
  if (fault === undefined)
    return typeof prompt === "string" ? prompt : prompt.map((message) => ({ ...message }));
  throw new PromptError({
    boundary: "workflow",
    code: "E_PROMPT",
    message: `The prompt of ${describe(place)} cannot be used: ${fault}.`,
    hint: 'return a text, or messages such as [{ role: "user", content: "…" }].',
  });
}

/** @throws PromptError if the tokenizer refuses it, if it is empty, or if it leaves no room for an output. */
export function encodePrompt(
  policy: Policy,
  prompts: PromptCache,
  input: Prompt,
  tools: readonly ChatTool[] | undefined,
  continued: EncodedPrompt | undefined,
  place: PromptPlace,
): EncodedPrompt {
  let prompt: EncodedPrompt;
  try {
    prompt = continued ?? prompts.encode(policy.tokenizer, input, tools);
  } catch (error) {
    throw failed(place, error);
  }
  const { length } = prompt.tokens;
  if (length === 0) {
    throw new PromptError({
      boundary: "workflow",
      code: "E_PROMPT_EMPTY",
      message: `The prompt of ${describe(place)} has no tokens; a model needs at least one to go on from.`,
      hint: "return a text that is not empty from `prompt`.",
    });
  }
  if (length >= policy.contextLength) {
    throw new PromptError({
      boundary: "workflow",
      code: "E_PROMPT_TOO_LONG",
      message: `The prompt of ${describe(place)} has ${length} tokens; policy "${policy.name}" can see ${policy.contextLength}, and at least one must stay free for the output.`,
      hint: "shorten what goes into the prompt (fewer or shorter passages); nothing is cut silently.",
      facts: { tokens: length, contextLength: policy.contextLength },
    });
  }
  return prompt;
}

function failed(place: PromptPlace, error: unknown): PromptError {
  return new PromptError({
    boundary: "workflow",
    code: "E_PROMPT",
    message: `The prompt of ${describe(place)} could not be made: ${error instanceof Error ? error.message : String(error)}`,
    cause: error,
  });
}
