/** @file Errors of tree search: a plan that asks for something impossible, a tree that cannot be read back. */

import { TroupeError } from "../errors.ts";

export class SearchError extends TroupeError {}

/** Why one node failed, as data: it stays in the tree, and the search goes on. */
export interface NodeFailure {
  /** Stable. An episode's failure keeps its own code; E_EXPAND_THREW and E_NODE_VALUE are of the search. */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** Who failed, where an episode says so ("model", "tool", …). */
  readonly boundary?: string;
}

/** Turns what an expansion or a value function threw into data. */
export function nodeFailure(error: unknown, code: string, index: number): NodeFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (TroupeError.is(error)) {
    const { boundary } = error as { readonly boundary?: unknown };
    return {
      code: error.code,
      // The hint is a field of its own.
      message: message.split("\n  Try: ")[0]!,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(typeof boundary === "string" ? { boundary } : {}),
    };
  }
  return { code, message: `Node ${index}: ${message}` };
}
