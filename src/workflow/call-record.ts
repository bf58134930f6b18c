/** @file The record of a model call: what is known when it is issued, and what its answer adds. */

import type { ChatMessage } from "../engine/policy.ts";
import type { CallRecord } from "./trajectory.ts";

/** What a call without an answer has. */
export const nothing = {
  version: -1,
  output: new Int32Array(0),
  logprobs: new Float32Array(0),
  plainLogprobs: new Float32Array(0),
  mask: new Uint8Array(0),
  text: "",
};

export type Issued = Pick<
  CallRecord,
  | "id"
  | "scope"
  | "issued"
  | "agent"
  | "occurrence"
  | "policy"
  | "sampling"
  | "input"
  | "prompt"
  | "startedAt"
  | "origin"
> & { readonly continues?: number };

export type Answer = Omit<CallRecord, keyof Issued | "settled" | "seconds" | "status" | "failure">;

/** Field by field: with 80,000 calls in flight, spreading objects of this size is most of a call's cost. */
export function completeRecord(
  issued: Issued,
  given: Answer,
  parse: CallRecord["parse"],
  settled: number,
  now: number,
): CallRecord {
  const record: { -readonly [Name in keyof CallRecord]: CallRecord[Name] } = {
    id: issued.id,
    scope: issued.scope,
    issued: issued.issued,
    settled,
    agent: issued.agent,
    occurrence: issued.occurrence,
    policy: issued.policy,
    version: given.version,
    sampling: issued.sampling,
    input: issued.input,
    prompt: issued.prompt,
    output: given.output,
    logprobs: given.logprobs,
    plainLogprobs: given.plainLogprobs,
    mask: given.mask,
    text: given.text,
    origin: issued.origin,
    status: "complete",
    startedAt: issued.startedAt,
    seconds: now - issued.startedAt,
  };
  if (issued.continues !== undefined) record.continues = issued.continues;
  if (given.stopReason !== undefined) record.stopReason = given.stopReason;
  if (parse !== undefined) record.parse = parse;
  if (given.toolCalls !== undefined) record.toolCalls = given.toolCalls;
  if (given.content !== undefined) record.content = given.content;
  if (given.usage !== undefined) record.usage = given.usage;
  return record;
}

/** The output as the message that stands for it in a later prompt. */
export function answerMessage({
  text,
  content,
  toolCalls,
}: Pick<CallRecord, "text" | "content" | "toolCalls">): ChatMessage {
  return toolCalls === undefined
    ? { role: "assistant", content: text }
    : { role: "assistant", content: content ?? "", toolCalls };
}

const masks: Uint8Array[] = [];

/** [length] ones. One array for all calls of a length: nobody writes to a record. */
export function allSampled(length: number): Uint8Array {
  masks[length] ??= new Uint8Array(length).fill(1);
  return masks[length];
}
