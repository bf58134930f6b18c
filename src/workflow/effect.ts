/**
 * @file What a journal holds: the settled effects of an episode, whatever their kind. `repeat`: how often the same request
 * had been made before. A journal that ends early may hold the second of two equal requests and not the first.
 */

import type { CallRecord, DrawRecord, MemoryRecord, Prompt, ToolRecord, Trajectory } from "./trajectory.ts";

export type Effect =
  | { readonly kind: "call"; readonly record: CallRecord; readonly repeat?: number }
  | { readonly kind: "tool"; readonly record: ToolRecord; readonly repeat?: number }
  | { readonly kind: "memory"; readonly record: MemoryRecord; readonly repeat?: number }
  | { readonly kind: "draw"; readonly record: DrawRecord };

/** All effects of an episode, in the order in which they were issued. */
export function effectsOf(trajectory: Trajectory): Effect[] {
  const effects: Effect[] = [
    ...trajectory.calls.map((record) => ({ kind: "call", record }) as const),
    ...trajectory.tools.map((record) => ({ kind: "tool", record }) as const),
    ...trajectory.memory.map((record) => ({ kind: "memory", record }) as const),
    ...trajectory.draws.map((record) => ({ kind: "draw", record }) as const),
  ];
  return effects.sort((left, right) => left.record.issued - right.record.issued);
}

/** What makes two effects of one scope the same request; how often it was made before tells equal ones apart. */
export interface EffectRequest {
  readonly scope: string;
  readonly kind: "call" | "tool" | "memory";
  /** Agent, tool, or operation. */
  readonly name: string;
  /** The prompt, the tool's input as JSON, the memory's key. */
  readonly argument: string;
}

export function promptText(prompt: Prompt): string {
  return typeof prompt === "string" ? prompt : JSON.stringify(prompt);
}

export function requestOf({ kind, record }: Exclude<Effect, { readonly kind: "draw" }>): EffectRequest {
  const { scope } = record;
  if (kind === "call") return { scope, kind, name: record.agent, argument: promptText(record.input) };
  if (kind === "tool")
    return { scope, kind, name: record.tool, argument: JSON.stringify(record.input) ?? "" };
  return {
    scope,
    kind,
    name: record.operation,
    argument: memoryArgument(record.operation, record.key, record.value),
  };
}

/** A `put` is the same request only with the same value. */
export function memoryArgument(operation: string, key: string, value: unknown): string {
  return operation === "put" ? `${key}=${JSON.stringify(value)}` : key;
}

/** The key under which an effect is found again, less its count. Scope and name have no line breaks. */
export const keyOf = ({ scope, kind, name, argument }: EffectRequest) =>
  `${scope}\n${kind}\n${name}\n${argument}`;

export function describeRequest({ scope, kind, name }: Omit<EffectRequest, "argument">): string {
  const what = kind === "call" ? `agent "${name}"` : kind === "tool" ? `tool "${name}"` : `memory.${name}`;
  return scope === "" ? what : `${what} in ${scope}`;
}
