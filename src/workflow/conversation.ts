/**
 * @file Prompts that go on from an earlier call of the same episode: their tokens are the earlier prompt and output as
 * they were sampled, and only what is new is encoded. Text would be encoded differently now and then, and a model would
 * be trained on tokens that it never saw.
 */

import type { ChatMessage, ChatTool, Policy } from "../engine/policy.ts";
import { type EncodedPrompt, fingerprint } from "./prompt-cache.ts";
import type { Prompt } from "./trajectory.ts";

interface Turn {
  readonly call: number;
  readonly policy: string;
  readonly input: Prompt;
  readonly tools: readonly ChatTool[] | undefined;
  readonly prompt: Int32Array;
  readonly output: Int32Array;
  readonly text: string;
  /** The output as the message that stands for it in a later prompt. */
  readonly answer: ChatMessage;
}

export interface ContinuedPrompt extends EncodedPrompt {
  readonly call: number;
}

/** The turns of one episode. */
export class Conversations {
  readonly #turns: Turn[] = [];

  add(turn: Turn): void {
    this.#turns.push(turn);
  }

  /**
   * The prompt as a continuation of the longest earlier call that it begins with, or undefined if there is none or the
   * model's template does not allow it.
   */
  continue(
    policyName: string,
    policy: Policy,
    input: Prompt,
    tools: readonly ChatTool[] | undefined,
  ): ContinuedPrompt | undefined {
    let longest: ContinuedPrompt | undefined;
    let known = 0;
    // The longest is most often the newest. Of two of one length the first call, whichever was answered first.
    for (let i = this.#turns.length - 1; i >= 0; i--) {
      const turn = this.#turns[i]!;
      const { length } = turn.prompt;
      const size = length + turn.output.length;
      if (turn.policy !== policyName || size < known) continue;
      if (longest !== undefined && size === known && turn.call > longest.call) continue;
      const more =
        typeof input === "string"
          ? rawContinuation(policy, turn, input)
          : chatContinuation(policy, turn, input, tools);
      if (more === undefined) continue;
      known = size;
      const tokens = new Int32Array(known + more.length);
      tokens.set(turn.prompt);
      tokens.set(turn.output, length);
      tokens.set(more, known);
      longest = { tokens, hash: fingerprint(tokens), call: turn.call };
    }
    return longest;
  }
}

/** Raw text: the earlier text, all that was sampled, then more. */
function rawContinuation(policy: Policy, turn: Turn, input: string): Int32Array | undefined {
  if (typeof turn.input !== "string" || input.length <= turn.input.length || !input.startsWith(turn.input))
    return undefined;
  if (!input.startsWith(turn.text, turn.input.length)) return undefined;
  // With a stop string or an end token at the end of the output, the text alone is not all that was sampled.
  const sampled = policy.tokenizer.decode(turn.output);
  if (!input.startsWith(sampled, turn.input.length)) return undefined;
  const rest = input.slice(turn.input.length + sampled.length);
  return rest === "" ? undefined : policy.tokenizer.encode(rest, { addSpecial: false });
}

function chatContinuation(
  policy: Policy,
  turn: Turn,
  input: readonly ChatMessage[],
  tools: readonly ChatTool[] | undefined,
): Int32Array | undefined {
  if (typeof turn.input === "string" || turn.tools !== tools) return undefined;
  const { length } = turn.input;
  const answer = input[length];
  if (input.length < length + 2 || answer === undefined || !sameMessage(answer, turn.answer))
    return undefined;
  for (let i = length - 1; i >= 0; i--) if (!sameMessage(turn.input[i]!, input[i]!)) return undefined;
  return policy.tokenizer.continueChat?.(
    { messages: turn.input, output: turn.output, ...(tools === undefined ? {} : { tools }) },
    input.slice(length + 1),
  );
}

function sameMessage(left: ChatMessage, right: ChatMessage): boolean {
  if (left === right) return true;
  return (
    left.role === right.role &&
    left.content === right.content &&
    left.name === right.name &&
    (left.toolCalls === right.toolCalls || JSON.stringify(left.toolCalls) === JSON.stringify(right.toolCalls))
  );
}
