/** @file Checks a request before anything is spent on it. */

import type { SampleRequest, TokenConstraint } from "../../policy.ts";
import { ContextOverflowError, InvalidSampleRequestError } from "./errors.ts";

export interface RequestLimits {
  readonly vocabularySize: number;
  readonly contextLength: number;
}

function refuse(message: string, hint: string, facts: Readonly<Record<string, unknown>>): never {
  throw new InvalidSampleRequestError({ code: "E_SAMPLE_REQUEST", message, hint, facts });
}

/** Throws E_SAMPLE_REQUEST or E_CONTEXT_LENGTH. */
export function checkRequest(request: SampleRequest, { vocabularySize, contextLength }: RequestLimits): void {
  const { prompt, maxTokens, stop, stopTokens, key, allowedTokens } = request;
  if (prompt.length === 0)
    refuse("The prompt has no tokens.", "give at least one token, such as the start token.", {});
  checkTokens(prompt, vocabularySize, "prompt");
  if (!(Number.isInteger(maxTokens) && maxTokens >= 1))
    refuse(`maxTokens is ${maxTokens}; it must be an integer of at least 1.`, "set maxTokens.", {
      maxTokens,
    });
  if (prompt.length >= contextLength)
    throw new ContextOverflowError({
      code: "E_CONTEXT_LENGTH",
      message: `The prompt has ${prompt.length} tokens; prompt and output together may have ${contextLength}.`,
      hint: `shorten the prompt to at most ${contextLength - 1} tokens, or open the model with a larger contextLength if it was trained for one.`,
      facts: { promptTokens: prompt.length, contextLength },
    });
  for (const [index, text] of (stop ?? []).entries())
    if (typeof text !== "string" || text === "")
      refuse(`stop[${index}] is empty.`, "leave empty stop strings out.", { index });
  checkTokens(stopTokens ?? [], vocabularySize, "stopTokens");
  if (!(Array.isArray(key) && key.length === 2 && key.every(Number.isInteger)))
    refuse(
      `key is ${JSON.stringify(key)}; it must be two integers.`,
      "make it with key(…) of troupe's random streams.",
      { key },
    );
  if (allowedTokens instanceof Int32Array) {
    if (allowedTokens.length === 0)
      refuse("allowedTokens is empty.", "leave it out to allow all tokens.", {});
    checkTokens(allowedTokens, vocabularySize, "allowedTokens");
  } else if (allowedTokens !== undefined) checkState(allowedTokens, allowedTokens.start);
}

function checkTokens(tokens: ArrayLike<number>, vocabularySize: number, field: string): void {
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index]!;
    if (!(Number.isInteger(token) && token >= 0 && token < vocabularySize))
      refuse(
        `${field}[${index}] is ${token}; the model's token ids go from 0 to ${vocabularySize - 1}.`,
        "encode with this policy's tokenizer.",
        { field, index, token, vocabularySize },
      );
  }
}

function checkState(constraint: TokenConstraint, state: number): void {
  if (!(Number.isInteger(state) && state >= 0 && state < constraint.states.length))
    refuse(
      `The token constraint leads to state ${state}; it has states 0 to ${constraint.states.length - 1}.`,
      "check `start` and `next` of the automaton.",
      { state, states: constraint.states.length },
    );
}

/** Walks a token constraint. A state's lists are checked when it is entered: automata are large and mostly unvisited. */
export class ConstraintWalk {
  readonly #constraint: TokenConstraint;
  readonly #vocabularySize: number;
  #state: number;
  #allowed: Int32Array;

  constructor(constraint: TokenConstraint, vocabularySize: number) {
    this.#constraint = constraint;
    this.#vocabularySize = vocabularySize;
    this.#state = constraint.start;
    this.#allowed = this.#enter(constraint.start);
  }

  /** Ascending; empty where nothing may follow. */
  get allowed(): Int32Array {
    return this.#allowed;
  }

  advance(token: number): void {
    const { tokens, next } = this.#constraint.states[this.#state]!;
    this.#state = next[tokens.indexOf(token)]!;
    this.#allowed = this.#enter(this.#state);
  }

  #enter(state: number): Int32Array {
    checkState(this.#constraint, state);
    const { tokens, next } = this.#constraint.states[state]!;
    if (next.length !== tokens.length)
      refuse(
        `State ${state} of the token constraint has ${tokens.length} tokens and ${next.length} next states.`,
        "give one next state for each token.",
        { state },
      );
    checkTokens(tokens, this.#vocabularySize, `allowedTokens.states[${state}].tokens`);
    const ascending = ascendingSet(tokens);
    if (ascending.length !== tokens.length)
      refuse(
        `State ${state} of the token constraint names a token twice.`,
        "name each token once: the automaton must be deterministic.",
        { state },
      );
    return ascending;
  }
}

/** `tokens` in ascending order and each once; the same array if it is so already. */
export function ascendingSet(tokens: Int32Array): Int32Array {
  for (let i = 1; i < tokens.length; i++)
    if (tokens[i]! <= tokens[i - 1]!) return Int32Array.from(new Set(tokens)).sort();
  return tokens;
}
