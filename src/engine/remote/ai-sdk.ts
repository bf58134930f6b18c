/**
 * @file A language model of the AI SDK as a frozen participant: specification v3 (AI SDK 6) or v4 (7), which agree in
 * what is used here. The type below is that part, so no package is needed. `doGenerate` is called directly, with
 * attempts of our own.
 */

import { type OpenAiToolCall, openAiMessages } from "../openai-messages.ts";
import type { ChatMessage, ChatTool, StopReason, TextPolicy, TextRequest, TextResult } from "../policy.ts";
import type { PolicySpec } from "../policy-spec.ts";
import { retryAfterSeconds } from "./attempts.ts";
import { filtered, isObject, readToolCall } from "./chat-completions.ts";
import { excerpt, RemoteError, Retryable } from "./errors.ts";
import { checkLimits, type RemoteLimits, settingsFault, textPolicy } from "./text-policy.ts";

/** What is used of `LanguageModelV3` and `LanguageModelV4` of `@ai-sdk/provider`. */
export interface AiSdkModel {
  readonly specificationVersion: string;
  readonly provider: string;
  readonly modelId: string;
  /** The SDK's option types are not repeated here, and its answers are checked. */
  doGenerate(options: never): PromiseLike<unknown>;
}

/**
 * @throws RemoteError E_REMOTE_SETTINGS when it is no model of specification v3 or v4
 * @example
 * import { anthropic } from "@ai-sdk/anthropic";
 * policies: { small: local("assets/atlas-small"), judge: aiSdk(anthropic("claude-sonnet-4-5")) }
 */
export function aiSdk(model: AiSdkModel, limits: RemoteLimits = {}): PolicySpec<TextPolicy> {
  if (!isObject(model) || typeof model.doGenerate !== "function")
    throw settingsFault('aiSdk(…) takes a language model such as openai("gpt-5-mini")');
  if (!["v3", "v4"].includes(model.specificationVersion))
    throw settingsFault(
      `the model ${model.modelId} has specification ${model.specificationVersion}, and v3 or v4 is needed`,
    );
  checkLimits(limits);
  const { provider, modelId } = model;
  return {
    kind: "ai-sdk",
    settings: { provider, model: modelId, ...limits },
    open: async ({ name }) => {
      const told = new Set<string>();
      return textPolicy({ name, model: `${provider} ${modelId}`, limits }, async (request, signal) => {
        let result: unknown;
        try {
          result = await model.doGenerate(callOptions(request, signal) as never);
        } catch (cause) {
          throw failed(name, model, cause);
        }
        warnOnce(result, name, told);
        return readResult(result, name);
      });
    },
  };
}

/** Providers drop settings that their model lacks, and say so here. Many have no seed; that one is not told. */
function warnOnce(result: unknown, policy: string, told: Set<string>): void {
  if (!isObject(result) || !Array.isArray(result.warnings)) return;
  for (const warning of result.warnings.filter(isObject)) {
    const subject = warning.feature ?? warning.setting ?? warning.message;
    if (typeof subject !== "string" || subject === "seed" || told.has(subject)) continue;
    told.add(subject);
    const details = typeof warning.details === "string" ? `: ${excerpt(warning.details)}` : "";
    process.emitWarning(
      `Policy "${policy}": the provider reports ${String(warning.type)} ${subject}${details}`,
      {
        code: "TROUPE_REMOTE_SETTING",
      },
    );
  }
}

function callOptions(
  { messages, maxTokens, sampling = {}, stop = [], tools = [], key }: TextRequest,
  abortSignal: AbortSignal,
) {
  const { temperature = 1, topP, topK = 0, presencePenalty = 0 } = sampling;
  const lacking = (["minP", "repetitionPenalty", "logitBias"] as const).filter(
    (name) =>
      sampling[name] !== undefined &&
      sampling[name] !== { minP: 0, repetitionPenalty: 1, logitBias: undefined }[name],
  );
  if (lacking.length > 0)
    throw settingsFault(`the AI SDK has no ${lacking.join(", ")}; leave it out for this agent`);
  return {
    prompt: promptOf(messages),
    maxOutputTokens: maxTokens,
    temperature,
    ...(topP === undefined || topP === 1 ? {} : { topP }),
    ...(topK === 0 ? {} : { topK }),
    ...(presencePenalty === 0 ? {} : { presencePenalty }),
    ...(stop.length === 0 ? {} : { stopSequences: [...stop] }),
    ...(tools.length === 0 ? {} : { tools: tools.map(toolOf), toolChoice: { type: "auto" } }),
    seed: key[0] & 0x7fffffff,
    abortSignal,
  };
}

function toolOf({ name, description, parameters }: ChatTool) {
  return { type: "function", name, description, inputSchema: parameters };
}

/** Tool results that stand together are one message, as the specification has it. */
function promptOf(messages: readonly ChatMessage[]): readonly unknown[] {
  const prompt: { readonly role: string; readonly content: unknown }[] = [];
  for (const message of openAiMessages(messages)) {
    const { role } = message;
    const content = String(message.content ?? "");
    const text = content === "" ? [] : [{ type: "text", text: content }];
    if (role === "system") prompt.push({ role, content });
    else if (role === "assistant") {
      const calls = ((message.tool_calls ?? []) as readonly OpenAiToolCall[]).map((call) => ({
        type: "tool-call",
        toolCallId: call.id,
        toolName: call.function.name,
        input: call.function.arguments,
      }));
      prompt.push({ role, content: [...text, ...calls] });
    } else if (role === "tool") {
      const result = {
        type: "tool-result",
        toolCallId: message.tool_call_id,
        toolName: message.name,
        output: { type: "text", value: content },
      };
      const last = prompt.at(-1);
      if (last?.role === "tool") (last.content as unknown[]).push(result);
      else prompt.push({ role, content: [result] });
    } else if (role === "user") prompt.push({ role, content: text });
    else throw settingsFault(`the AI SDK has no message role ${JSON.stringify(role)}`);
  }
  return prompt;
}

function readResult(result: unknown, policy: string): Omit<TextResult, "cost"> {
  const broken = (what: string) =>
    new RemoteError({
      code: "E_REMOTE_RESPONSE",
      message: `The AI SDK's answer to policy "${policy}" ${what}.`,
      hint: "check that the provider package fits the installed version of `ai`.",
      facts: { policy },
    });
  if (!isObject(result) || !Array.isArray(result.content)) throw broken("has no content");
  const usage = isObject(result.usage) ? result.usage : {};
  const promptTokens = total(usage.inputTokens);
  const outputTokens = total(usage.outputTokens);
  if (promptTokens === undefined || outputTokens === undefined) throw broken("has no token counts");
  const reason = isObject(result.finishReason) ? result.finishReason.unified : result.finishReason;
  if (reason === "content-filter") throw filtered(policy, undefined);
  const stopReason = stopReasons.get(reason);
  if (stopReason === undefined) throw broken(`ended for the reason ${JSON.stringify(reason)}`);
  const parts = result.content.filter(isObject);
  const text = parts.map((part) => (part.type === "text" ? String(part.text) : "")).join("");
  const toolCalls = parts
    .filter(({ type, providerExecuted }) => type === "tool-call" && providerExecuted !== true)
    .map(({ toolName, input }) => readToolCall(toolName, input, policy));
  return {
    ...{ text, stopReason },
    usage: { promptTokens, outputTokens },
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
  };
}

/** A stop string cannot be told from the end. "other" and "error" are failures. */
const stopReasons: ReadonlyMap<unknown, StopReason> = new Map<unknown, StopReason>([
  ["stop", "end"],
  ["tool-calls", "end"],
  ["length", "length"],
]);

function total(count: unknown): number | undefined {
  const value = isObject(count) ? count.total : count;
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

/** `APICallError` of the SDK says whether another attempt may succeed. */
function failed(policy: string, { provider, modelId }: AiSdkModel, cause: unknown): unknown {
  if (cause instanceof RemoteError) return cause;
  const facts =
    isObject(cause) || cause instanceof Error ? (cause as unknown as Record<string, unknown>) : {};
  const { statusCode, isRetryable, responseHeaders } = facts;
  const error = new RemoteError({
    code: statusCode === undefined ? "E_REMOTE_NETWORK" : "E_REMOTE_STATUS",
    message: `${provider} ${modelId} failed for policy "${policy}": ${excerpt(cause instanceof Error ? cause.message : String(cause))}`,
    hint: "check the provider's key and the model's name.",
    facts: { policy, ...(statusCode === undefined ? {} : { status: statusCode }) },
    cause,
  });
  if (isRetryable !== true) return error;
  const headers = isObject(responseHeaders) ? responseHeaders : {};
  const header = (name: string) => (typeof headers[name] === "string" ? (headers[name] as string) : null);
  return new Retryable(error, retryAfterSeconds(header("retry-after"), header("date")));
}
