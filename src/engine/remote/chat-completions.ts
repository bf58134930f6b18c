/** @file OpenAI's /chat/completions: what is sent, and what an answer says. Pure functions. */

import { type OpenAiToolCall, openAiMessages, openAiTools } from "../openai-messages.ts";
import type { ChatToolCall, StopReason, TextRequest, TextResult } from "../policy.ts";
import { excerpt, RemoteError } from "./errors.ts";

export interface BodySettings {
  readonly model: string;
  readonly maxTokensField: "max_tokens" | "max_completion_tokens";
  readonly seed: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Settings that are not neutral are sent under the names that vLLM and SGLang have; a service that lacks one refuses. */
export function requestBody(
  { messages, maxTokens, sampling = {}, stop = [], tools = [], key }: TextRequest,
  { model, maxTokensField, seed, body }: BodySettings,
): Readonly<Record<string, unknown>> {
  const { temperature = 1, topK = 0, topP, minP = 0, repetitionPenalty = 1, presencePenalty = 0 } = sampling;
  const bias = sampling.logitBias ?? {};
  return {
    model,
    messages: openAiMessages(messages).map((message) =>
      Array.isArray(message.tool_calls)
        ? { ...message, content: message.content || null, tool_calls: message.tool_calls.map(wireCall) }
        : message,
    ),
    [maxTokensField]: maxTokens,
    temperature,
    ...(topP === undefined || topP === 1 ? {} : { top_p: topP }),
    ...(topK === 0 ? {} : { top_k: topK }),
    ...(minP === 0 ? {} : { min_p: minP }),
    ...(repetitionPenalty === 1 ? {} : { repetition_penalty: repetitionPenalty }),
    ...(presencePenalty === 0 ? {} : { presence_penalty: presencePenalty }),
    ...(Object.keys(bias).length === 0 ? {} : { logit_bias: bias }),
    ...(stop.length === 0 ? {} : { stop }),
    ...(tools.length === 0 ? {} : { tools: openAiTools(tools) }),
    // 31 bits: some services read a signed integer.
    ...(seed ? { seed: key[0] & 0x7fffffff } : {}),
    ...body,
  };
}

function wireCall({ id, type, function: { name, arguments: given } }: OpenAiToolCall) {
  return { id, type, function: { name, arguments: JSON.stringify(given) } };
}

type Json = Readonly<Record<string, unknown>>;

/** @throws RemoteError E_REMOTE_RESPONSE, E_REMOTE_FILTERED, E_REMOTE_TOOL_CALL */
export function readCompletion(json: unknown, policy: string): Omit<TextResult, "cost"> {
  const broken = (what: string) =>
    new RemoteError({
      code: "E_REMOTE_RESPONSE",
      message: `The answer to policy "${policy}" ${what}: ${excerpt(JSON.stringify(json) ?? "nothing")}`,
      hint: "check that `baseUrl` is an OpenAI-compatible endpoint, usually ending in /v1.",
      facts: { policy },
    });
  if (!isObject(json) || !Array.isArray(json.choices)) throw broken("has no choices");
  const [choice] = json.choices as unknown[];
  if (!isObject(choice) || !isObject(choice.message)) throw broken("has no message");
  const { message } = choice;
  const usage = readUsage(json.usage);
  if (usage === undefined) throw broken("has no token counts");
  if (choice.finish_reason === "content_filter" || typeof message.refusal === "string")
    throw filtered(policy, message.refusal);
  const stopReason = readStopReason(choice);
  if (stopReason === undefined) throw broken("has no known finish_reason");
  const toolCalls = readToolCalls(message.tool_calls, policy);
  const text = readText(message.content);
  // An answer without content is one where tokens were spent on it: a call, an end token, or unseen thinking.
  if (text === undefined && toolCalls.length === 0 && usage.outputTokens === 0)
    throw broken("has no content");
  return { text: text ?? "", stopReason, usage, ...(toolCalls.length === 0 ? {} : { toolCalls }) };
}

function readUsage(usage: unknown): TextResult["usage"] | undefined {
  if (!isObject(usage)) return undefined;
  const { prompt_tokens: promptTokens, completion_tokens: outputTokens = 0 } = usage;
  return isCount(promptTokens) && isCount(outputTokens) ? { promptTokens, outputTokens } : undefined;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function readStopReason({ finish_reason: reason, stop_reason: stop }: Json): StopReason | undefined {
  switch (reason) {
    case "stop":
      // vLLM names the stop string; elsewhere it cannot be told from the end token.
      return typeof stop === "string" ? "stop" : "end";
    case "tool_calls":
      return "end";
    case "length":
      return "length";
    default:
      return undefined;
  }
}

function readText(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return undefined;
  return content
    .map((part) => (isObject(part) && part.type === "text" && typeof part.text === "string" ? part.text : ""))
    .join("");
}

function readToolCalls(calls: unknown, policy: string): readonly ChatToolCall[] {
  if (!Array.isArray(calls)) return [];
  return calls.map((call: unknown) => {
    const written = isObject(call) && isObject(call.function) ? call.function : {};
    return readToolCall(written.name, written.arguments, policy);
  });
}

/** A call whose arguments arrive as a string of JSON. An empty string stands for no arguments, as some services have it. */
export function readToolCall(name: unknown, given: unknown, policy: string): ChatToolCall {
  let value: unknown = given;
  try {
    if (typeof given === "string") value = given.trim() === "" ? {} : JSON.parse(given);
  } catch {
    value = undefined;
  }
  if (typeof name === "string" && name !== "" && isObject(value)) return { name, arguments: value };
  throw new RemoteError({
    code: "E_REMOTE_TOOL_CALL",
    message: `Policy "${policy}" asked for the tool ${JSON.stringify(name)} with arguments that are no JSON object: ${excerpt(String(given))}`,
    hint: "describe the tool's parameters more plainly, or use another model.",
    facts: { policy, tool: name },
  });
}

export function filtered(policy: string, why: unknown): RemoteError {
  return new RemoteError({
    code: "E_REMOTE_FILTERED",
    message: `The service withheld its answer to policy "${policy}"${typeof why === "string" ? `: ${excerpt(why)}` : " (content filter)"}.`,
    hint: "change the prompt; the episode has no answer to go on with.",
    facts: { policy },
  });
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
