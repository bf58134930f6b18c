/** @file A policy that answers from a function: tests a workflow without a model. It cannot be trained. */

import type { Policy, PolicyTokenizer, SampleRequest, SampleResult } from "../engine/policy.ts";
import type { PolicySpec } from "../engine/policy-spec.ts";

export interface ScriptedPolicyOptions {
  /** Text of the prompt → text of the answer. May be slow, and may throw. */
  readonly answer: (prompt: string, request: SampleRequest) => string | Promise<string>;
  /** Default 100,000. */
  readonly contextLength?: number;
}

/** Characters as tokens (UTF-16 units, after one end token), so that any text is exact. */
const tokenizer: PolicyTokenizer = {
  vocabularySize: 0x1_0001,
  endTokens: [0],
  encode: (text) => Int32Array.from({ length: text.length }, (_, i) => text.charCodeAt(i) + 1),
  decode: (tokens) => {
    let text = "";
    for (const id of tokens) if (id > 0) text += String.fromCharCode(id - 1);
    return text;
  },
  encodeChat: (messages) =>
    tokenizer.encode(messages.map(({ role, content }) => `${role}: ${content}\n`).join("")),
};

/**
 * @example
 * const policies = { oracle: scriptedPolicy({ answer: (prompt) => (prompt.includes("Queries:") ? "capital of Peru" : "Lima") }) };
 */
export function scriptedPolicy({
  answer,
  contextLength = 100_000,
}: ScriptedPolicyOptions): PolicySpec<Policy> {
  return {
    kind: "scripted",
    open: async ({ name }) => ({
      name,
      version: 0,
      contextLength,
      tokenizer,
      sample: (request) => answerTo(request, answer),
      close: async () => {},
    }),
  };
}

async function answerTo(
  request: SampleRequest,
  answer: ScriptedPolicyOptions["answer"],
): Promise<SampleResult> {
  request.signal?.throwIfAborted();
  let text = await answer(tokenizer.decode(request.prompt), request);
  request.signal?.throwIfAborted();
  let stopReason: SampleResult["stopReason"] = "end";
  for (const stop of request.stop ?? []) {
    const at = text.indexOf(stop);
    if (at >= 0) {
      text = text.slice(0, at);
      stopReason = "stop";
    }
  }
  if (text.length > request.maxTokens) {
    text = text.slice(0, request.maxTokens);
    stopReason = "length";
  }
  const tokens = new Int32Array(text.length + (stopReason === "end" ? 1 : 0));
  tokens.set(tokenizer.encode(text));
  // Every token is certain: log-prob 0.
  const logprobs = new Float32Array(tokens.length);
  return { tokens, logprobs, plainLogprobs: logprobs, text, stopReason, version: 0, sharedPromptTokens: 0 };
}
