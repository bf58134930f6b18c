/**
 * @file Messages and tools of the seam in the form that chat templates read: OpenAI's, as `transformers` passes it on
 * (`tool_calls: [{ id, type, function: { name, arguments } }]`, tools as `{ type: "function", function: {…} }`).
 */

import type { ChatMessage } from "../../policy.ts";
import type { TemplateMessage } from "./chat-template.ts";
import { isObject } from "./tokenizer-files.ts";

/**
 * Messages without tool calls and tool results are passed through. Calls get an id by their place in the conversation,
 * nine letters and digits because Mistral's templates refuse any other, and the tool messages that follow get the ids
 * of the calls they answer: those of their name first, in order.
 */
export function templateMessages(
  messages: readonly (ChatMessage | TemplateMessage)[],
): readonly (ChatMessage | TemplateMessage)[] {
  if (!messages.some((message) => isObject(message) && (hasCalls(message) || message.role === "tool")))
    return messages;
  let count = 0;
  let waiting: { readonly id: string; readonly name: string }[] = [];
  return messages.map((message) => {
    if (!isObject(message)) return message;
    if (hasCalls(message)) {
      const { toolCalls, ...rest } = message;
      const calls = toolCalls.map(({ name, arguments: given }) => {
        count += 1;
        return {
          id: `call${String(count).padStart(5, "0")}`,
          type: "function",
          function: { name, arguments: given },
        };
      });
      waiting = calls.map(({ id, function: { name } }) => ({ id, name }));
      return { ...rest, tool_calls: calls };
    }
    if (message.role !== "tool" || "tool_call_id" in message) return message;
    const named = waiting.findIndex(({ name }) => name === message.name);
    const [answered] = waiting.splice(Math.max(0, named), 1);
    return answered === undefined ? message : { ...message, tool_call_id: answered.id };
  });
}

function hasCalls(
  message: ChatMessage | TemplateMessage,
): message is ChatMessage & Required<Pick<ChatMessage, "toolCalls">> {
  return Array.isArray(message.toolCalls) && message.toolCalls.length > 0;
}

/** Tools of the seam get the form of `transformers.utils.get_json_schema`; anything else is passed through. */
export function templateTools(tools: readonly unknown[]): readonly unknown[] {
  return tools.map((tool) => {
    if (!isObject(tool) || "type" in tool || "function" in tool) return tool;
    const { name, description, parameters } = tool;
    if (typeof name !== "string" || !isObject(parameters)) return tool;
    return { type: "function", function: { name, description, parameters } };
  });
}
