/**
 * @file Messages and tools of the seam in OpenAI's structure, which services and chat templates read alike
 * (`tool_calls: [{ id, type, function: { name, arguments } }]`, tools as `{ type: "function", function: {…} }`).
 */

import type { ChatMessage, ChatToolCall } from "./policy.ts";

/** A message with whatever further fields a template reads. */
export interface OpenMessage {
  readonly role: string;
  readonly [field: string]: unknown;
}

export interface OpenAiToolCall {
  readonly id: string;
  readonly type: "function";
  /** Arguments as an object, as templates expect them; services take them as a string of JSON. */
  readonly function: ChatToolCall;
}

/**
 * Messages without tool calls and tool results are passed through. Calls get an id by their place in the conversation,
 * nine letters and digits because Mistral's templates refuse any other, and the tool messages that follow get the ids
 * of the calls they answer: those of their name first, in order.
 */
export function openAiMessages(messages: readonly (ChatMessage | OpenMessage)[]): readonly OpenMessage[] {
  const plain = messages as readonly OpenMessage[];
  if (!plain.some((message) => isObject(message) && (callsOf(message) || message.role === "tool")))
    return plain;
  let count = 0;
  let waiting: OpenAiToolCall[] = [];
  return plain.map((message) => {
    if (!isObject(message)) return message;
    const calls = callsOf(message);
    if (calls) {
      const { toolCalls: _, ...rest } = message;
      const named = calls.map((call): OpenAiToolCall => {
        count += 1;
        return {
          id: `call${String(count).padStart(5, "0")}`,
          type: "function",
          function: { name: call.name, arguments: call.arguments },
        };
      });
      waiting = [...named];
      return { ...rest, role: message.role, tool_calls: named };
    }
    if (message.role !== "tool" || "tool_call_id" in message) return message;
    const answered = waiting.findIndex((call) => call.function.name === message.name);
    const [call] = waiting.splice(Math.max(0, answered), 1);
    return call === undefined ? message : { ...message, tool_call_id: call.id };
  });
}

function callsOf({ toolCalls }: OpenMessage): readonly ChatToolCall[] | undefined {
  return Array.isArray(toolCalls) && toolCalls.length > 0 ? (toolCalls as ChatToolCall[]) : undefined;
}

/** Tools of the seam get the form of `transformers.utils.get_json_schema`; anything else is passed through. */
export function openAiTools(tools: readonly unknown[]): readonly unknown[] {
  return tools.map((tool) => {
    if (!isObject(tool) || "type" in tool || "function" in tool) return tool;
    const { name, description, parameters } = tool;
    if (typeof name !== "string" || !isObject(parameters)) return tool;
    return { type: "function", function: { name, description, parameters } };
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
