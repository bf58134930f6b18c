/** @file Errors across the thread border: the code, the facts and the hint survive. */

import { TroupeError } from "../../../errors.ts";
import type { TransferableError } from "./protocol.ts";

/** Raised by the engine's thread or about it. `name` and `code` are those of the original error. */
export class EngineError extends TroupeError {}

export function toTransferable(error: unknown): TransferableError {
  if (TroupeError.is(error)) {
    const suffix = error.hint === undefined ? "" : `\n  Try: ${error.hint}`;
    const message = error.message.endsWith(suffix)
      ? error.message.slice(0, error.message.length - suffix.length)
      : error.message;
    return {
      name: error.name,
      code: error.code,
      message,
      hint: error.hint,
      facts: cloneable(error.facts),
      stack: error.stack,
    };
  }
  const original = error instanceof Error ? error : new Error(String(error));
  return {
    name: "EngineError",
    code: "E_ENGINE_INTERNAL",
    message: `The local engine failed unexpectedly: ${original.message}`,
    hint: "report this with the stack below; it is a fault of Troupe, not of your workflow.",
    facts: {},
    stack: original.stack,
  };
}

export function fromTransferable({
  name,
  code,
  message,
  hint,
  facts,
  stack,
}: TransferableError): EngineError {
  const error = new EngineError({ code, message, facts, ...(hint === undefined ? {} : { hint }) });
  error.name = name;
  if (stack !== undefined) error.stack = `${stack}\n    on the engine's thread`;
  return error;
}

/** Facts are for programs; what cannot be cloned is told as text rather than lost. */
function cloneable(facts: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(facts).map(([name, value]) => [
      name,
      typeof value === "object" || typeof value === "function" ? describe(value) : value,
    ]),
  );
}

function describe(value: unknown): unknown {
  try {
    return structuredClone(value);
  } catch {
    return String(value);
  }
}
