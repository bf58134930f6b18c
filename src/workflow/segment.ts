/**
 * @file Segments: calls whose tokens are continuous, as one sequence. A conversation of five turns is one segment whose
 * prompts are context and whose outputs are scored; a summary that replaces the history begins a new one.
 */

import type { CallRecord, Trajectory } from "./trajectory.ts";

export interface Segment {
  /** Ids of its calls, in order; each continues the one before. */
  readonly calls: readonly number[];
  /** Prompt and output of the last call: every earlier prompt and output is a prefix of it, by token identity. */
  readonly tokens: Int32Array;
  /** [tokens.length] 1 where a policy sampled the token in one of the calls. */
  readonly mask: Uint8Array;
  /** [tokens.length] id of the call that sampled the token; −1 for context. */
  readonly owner: Int32Array;
}

/**
 * The complete calls of an episode as segments, in the order of their first calls. Where two calls continue the same
 * one, each branch is a segment; what they share is in both, and scored in the first.
 */
export function segmentsOf({ calls }: Pick<Trajectory, "calls">): Segment[] {
  const continued = new Set(calls.filter(isComplete).map(({ continues }) => continues));
  const byId = new Map(calls.map((call) => [call.id, call]));
  const scored = new Set<number>();
  return calls
    .filter((call) => isComplete(call) && !continued.has(call.id))
    .map((last) => {
      const chain: CallRecord[] = [last];
      for (let call = last; call.continues !== undefined; ) {
        call = byId.get(call.continues)!;
        chain.unshift(call);
      }
      const tokens = new Int32Array(last.prompt.length + last.output.length);
      tokens.set(last.prompt);
      tokens.set(last.output, last.prompt.length);
      const mask = new Uint8Array(tokens.length);
      const owner = new Int32Array(tokens.length).fill(-1);
      for (const call of chain) {
        if (scored.has(call.id)) continue;
        scored.add(call.id);
        mask.set(call.mask, call.prompt.length);
        owner.fill(call.id, call.prompt.length, call.prompt.length + call.output.length);
      }
      return { calls: chain.map(({ id }) => id), tokens, mask, owner };
    })
    .sort((left, right) => left.calls[0]! - right.calls[0]!);
}

const isComplete = ({ status, output }: CallRecord) => status === "complete" && output.length > 0;
