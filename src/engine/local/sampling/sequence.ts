/** @file One request while it is sampled: its tokens, its random stream, its text, and when it ends. */

import type { SampledToken, SampleRequest, SampleResult, StopReason } from "../../policy.ts";
import type { TokenBytes } from "../tokenizer/token-decoder.ts";
import type { ChoiceContext } from "./choose-token.ts";
import { ascendingSet, ConstraintWalk } from "./request.ts";
import { OutputText } from "./stop-strings.ts";
import { compileRules, type TokenRules } from "./token-rules.ts";

/** Each request ends in exactly one `onDone` or `onError`. */
export interface SampleCallbacks {
  /** In addition to the request's own `onToken`. */
  readonly onToken?: (token: SampledToken) => void;
  readonly onDone: (result: SampleResult) => void;
  readonly onError: (error: unknown) => void;
}

/** What a sequence needs to know of its model. */
export interface SequenceModel {
  readonly vocabularySize: number;
  readonly contextLength: number;
  readonly endTokens: ReadonlySet<number>;
  readonly tokenBytes: TokenBytes;
}

export class Sequence implements ChoiceContext {
  readonly id: number;
  readonly request: SampleRequest;
  readonly callbacks: SampleCallbacks;
  readonly rules: TokenRules;
  /** Temperature 1 and nothing else: the plain head is enough. */
  readonly plain: boolean;
  /** Temperature and nothing else: no step of `choose` is needed. */
  readonly drawn: boolean;
  /** Prompt, then output; the first `length` count. */
  tokens: Int32Array;
  length: number;
  /** Tokens whose keys and values its row holds. */
  cached = 0;
  sharedPromptTokens = 0;
  /** Set by `cancel`; acted upon between steps. */
  cancelled = false;
  stopReason: StopReason | null = null;

  readonly seen: Int32Array;
  seenCount = 0;
  readonly produced: Int32Array;
  producedCount = 0;

  readonly #model: SequenceModel;
  readonly #streams: boolean;
  readonly #stopTokens: ReadonlySet<number>;
  readonly #constraint: ConstraintWalk | null;
  readonly #fixed: Int32Array | null;
  /** By token id: 1 = in `seen`, 2 = in `produced`; empty where no penalty asks. */
  readonly #marks: Uint8Array;
  readonly #text: OutputText;
  #logprobs: Float32Array;
  #plainLogprobs: Float32Array;

  constructor(id: number, request: SampleRequest, callbacks: SampleCallbacks, model: SequenceModel) {
    const { prompt, allowedTokens, sampling, stop, stopTokens, maxTokens } = request;
    this.id = id;
    this.request = request;
    this.callbacks = callbacks;
    this.#model = model;
    this.rules = compileRules(sampling, model.vocabularySize);
    const room = Math.min(maxTokens, 32);
    this.tokens = new Int32Array(prompt.length + room);
    this.tokens.set(prompt);
    this.length = prompt.length;
    this.#logprobs = new Float32Array(room);
    this.#plainLogprobs = new Float32Array(room);
    this.#stopTokens = new Set(stopTokens);
    const automaton = allowedTokens !== undefined && !(allowedTokens instanceof Int32Array);
    this.#constraint = automaton ? new ConstraintWalk(allowedTokens, model.vocabularySize) : null;
    this.#fixed = allowedTokens instanceof Int32Array ? ascendingSet(allowedTokens) : null;
    this.drawn =
      !this.rules.greedy && !this.rules.reshapes && !this.rules.filters && allowedTokens === undefined;
    this.plain = this.drawn && this.rules.inverseTemperature === 1;
    this.#streams = (stop?.length ?? 0) > 0 || !!request.onToken || !!callbacks.onToken;
    this.#text = new OutputText(model.tokenBytes, stop ?? []);

    const penalised = this.rules.repetitionPenalty !== 1 || this.rules.presencePenalty !== 0;
    this.#marks = new Uint8Array(penalised ? model.vocabularySize : 0);
    const distinct = Math.min(model.vocabularySize, prompt.length + maxTokens);
    this.seen = new Int32Array(penalised ? distinct : 0);
    this.produced = new Int32Array(penalised ? Math.min(model.vocabularySize, maxTokens) : 0);
    if (penalised) for (const token of prompt) this.#mark(token, false);
    if (this.#constraint && this.#constraint.allowed.length === 0) this.stopReason = "constraint";
  }

  get promptLength(): number {
    return this.request.prompt.length;
  }

  get outputLength(): number {
    return this.length - this.promptLength;
  }

  /** Cached tokens that another prompt may build on: those of the prompt (see rows.ts). */
  get reusable(): number {
    return Math.min(this.cached, this.promptLength);
  }

  get allowed(): Int32Array | null {
    return this.#constraint ? this.#constraint.allowed : this.#fixed;
  }

  /** Takes a sampled token; sets `stopReason` if the output ends with it. */
  accept(token: number, logprob: number, plainLogprob: number): void {
    const index = this.outputLength;
    this.#grow(index);
    this.tokens[this.length++] = token;
    this.#logprobs[index] = logprob;
    this.#plainLogprobs[index] = plainLogprob;
    if (this.#marks.length > 0) this.#mark(token, true);

    const ends = this.#model.endTokens.has(token);
    const stops = this.#stopTokens.has(token);
    let text = this.#streams && !ends && !stops ? this.#text.push(token) : "";
    this.stopReason = ends ? "end" : stops || this.#text.stopped ? "stop" : this.#limit(token);
    if (this.#streams) {
      if (this.stopReason) text += this.#text.finish();
      const sampled: SampledToken = { token, logprob, text };
      this.callbacks.onToken?.(sampled);
      this.request.onToken?.(sampled);
    }
  }

  #limit(token: number): StopReason | null {
    this.#constraint?.advance(token);
    if (this.#constraint && this.#constraint.allowed.length === 0) return "constraint";
    if (this.outputLength >= this.request.maxTokens) return "length";
    if (this.length >= this.#model.contextLength) return "context";
    return null;
  }

  #mark(token: number, output: boolean): void {
    const mark = this.#marks[token]!;
    if ((mark & 1) === 0) this.seen[this.seenCount++] = token;
    if (output && (mark & 2) === 0) this.produced[this.producedCount++] = token;
    this.#marks[token] = mark | 1 | (output ? 2 : 0);
  }

  #grow(index: number): void {
    if (index < this.#logprobs.length) return;
    const size = Math.min(this.request.maxTokens, 2 * this.#logprobs.length);
    const tokens = new Int32Array(this.promptLength + size);
    tokens.set(this.tokens);
    this.tokens = tokens;
    const logprobs = new Float32Array(size);
    logprobs.set(this.#logprobs);
    this.#logprobs = logprobs;
    const plain = new Float32Array(size);
    plain.set(this.#plainLogprobs);
    this.#plainLogprobs = plain;
  }

  result(version: number): SampleResult {
    const count = this.outputLength;
    const tokens = this.tokens.slice(this.promptLength, this.length);
    if (!this.#streams) {
      const ended = this.stopReason === "end" || this.stopReason === "stop" ? 1 : 0;
      for (let i = 0; i < count - ended; i++) this.#text.push(tokens[i]!);
      this.#text.finish();
    }
    return {
      tokens,
      logprobs: this.#logprobs.slice(0, count),
      plainLogprobs: this.#plainLogprobs.slice(0, count),
      text: this.#text.text,
      stopReason: this.stopReason!,
      version,
      sharedPromptTokens: this.sharedPromptTokens,
    };
  }
}
