/**
 * @file The seam between what trains and what computes: a policy is a set of weights behind one interface.
 * The trainer, the workflow runtime and the methods see this file and nothing below it.
 */

import type { Key } from "../random/stream.ts";

/** How one request is sampled. Every field has the neutral value as its default. */
export interface SamplingSettings {
  /** Divides the logits; 0 means greedy. Default 1. */
  readonly temperature?: number;
  /** Keep the k most probable tokens; 0 = all. Default 0. */
  readonly topK?: number;
  /** Keep the smallest set of tokens whose mass reaches p. Default 1. (Holtzman et al., 2020) */
  readonly topP?: number;
  /** Keep tokens whose probability is at least minP × the largest. Default 0. (Nguyen et al., 2024) */
  readonly minP?: number;
  /** > 1 makes tokens of prompt and output less likely: positive logits are divided, negative ones multiplied. Default 1. (Keskar et al., 2019) */
  readonly repetitionPenalty?: number;
  /** Subtracted from the logit of each token that the output already has. Default 0. (OpenAI API) */
  readonly presencePenalty?: number;
  /** Added to logits before everything else: token id → bias. */
  readonly logitBias?: Readonly<Record<number, number>>;
}

/**
 * A deterministic automaton over tokens that constrains output; plain data, so it crosses threads.
 * In state s only `states[s].tokens` may be sampled, and `tokens[i]` leads to state `next[i]`.
 * A state without tokens ends the output (stop reason "constraint").
 */
export interface TokenConstraint {
  readonly start: number;
  readonly states: readonly { readonly tokens: Int32Array; readonly next: Int32Array }[];
}

/** Why an output ended. */
export type StopReason =
  /** The model sampled an end token of its generation config. */
  | "end"
  /** A stop string or stop token of the request appeared. */
  | "stop"
  /** `maxTokens` were sampled. */
  | "length"
  /** The context window is full. */
  | "context"
  /** The constraint allows nothing further. */
  | "constraint";

export interface SampledToken {
  readonly token: number;
  readonly logprob: number;
  /** Text that became certain with this token; "" while a character or a possible stop string is incomplete. */
  readonly text: string;
}

export interface SampleRequest {
  /** Token ids, at least one. */
  readonly prompt: Int32Array;
  readonly maxTokens: number;
  readonly sampling?: SamplingSettings;
  /** Output ends before the first of these strings; the tokens that spell it stay in `tokens`, not in `text`. */
  readonly stop?: readonly string[];
  /** Ends the output like the end token does, in addition to it. */
  readonly stopTokens?: readonly number[];
  /** Only these tokens may be sampled: a fixed set, or an automaton. */
  readonly allowedTokens?: Int32Array | TokenConstraint;
  /** Names the random stream; the same key gives the same tokens whatever else is in the batch. */
  readonly key: Key;
  readonly signal?: AbortSignal;
  /** Streaming: called once a token, in order. */
  readonly onToken?: (token: SampledToken) => void;
}

export interface SampleResult {
  /** Sampled ids with the end token if one was sampled. Exactly these are trained on. */
  readonly tokens: Int32Array;
  /** [tokens.length] log-probs under the distribution that was sampled from (after temperature, filters, masks). */
  readonly logprobs: Float32Array;
  /** [tokens.length] log-probs under the plain softmax of the logits. */
  readonly plainLogprobs: Float32Array;
  /** `tokens` decoded, without end token and without stop string. A view for people; ids are the record. */
  readonly text: string;
  readonly stopReason: StopReason;
  /** The policy's version (optimiser steps taken) that sampled every token of this output. */
  readonly version: number;
  /** Prompt tokens whose keys and values were reused from another request. */
  readonly sharedPromptTokens: number;
}

/**
 * One row of training data. `mask[i] = 1` says: token i was sampled by this policy and is scored given tokens < i.
 * `mask[0]` must be 0. Sequences that share prefixes are packed once by engines that can.
 */
export interface TrainingSequence {
  readonly tokens: Int32Array;
  readonly mask: Uint8Array;
  /** Logits are divided by it, as in sampling. Default 1. */
  readonly temperature?: number;
}

export interface ForwardOptions {
  readonly entropy?: boolean;
  readonly values?: boolean;
  /**
   * Keep what the backward pass needs, so that `backward` need not run the forward pass again.
   * At most one forward result is retained per policy; `backward` or the next `forward` releases it. Default false.
   */
  readonly retain?: boolean;
}

/** All arrays are flat over the scored tokens (mask = 1), sequence by sequence. S = their number. */
export interface ForwardResult {
  /** [S] log-prob of each scored token. */
  readonly logprobs: Float32Array;
  /** [S] entropy in nats of the distribution that each scored token was drawn from. */
  readonly entropies?: Float32Array;
  /**
   * [S] value head's output at the position before each scored token. With K heads [S, K], those of a token side by side;
   * `values.length / logprobs.length` is K.
   */
  readonly values?: Float32Array;
}

/** Gradients of a scalar loss, flat like {@link ForwardResult}. */
export interface TokenGradients {
  /** [S] ∂L/∂ℓ */
  readonly logprobs: Float32Array;
  /** [S] ∂L/∂H */
  readonly entropies?: Float32Array;
  /** [S] ∂L/∂v; with K value heads [S, K]. */
  readonly values?: Float32Array;
}

export interface StepOptions {
  readonly learningRate: number;
  /** Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Decoupled (AdamW). Default 0. Not applied to norms, biases and the value heads' biases. */
  readonly weightDecay?: number;
  /** Global-norm clipping; default: none. */
  readonly maxGradientNorm?: number;
}

export interface StepResult {
  /** Global norm before clipping. */
  readonly gradientNorm: number;
  readonly clipped: boolean;
  readonly version: number;
}

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  /** What an assistant message asked for, in the chat template's own format once rendered. */
  readonly toolCalls?: readonly ChatToolCall[];
  /** Of a message with role "tool": which tool answered. */
  readonly name?: string;
}

/** A tool call that a model wrote. */
export interface ChatToolCall {
  readonly name: string;
  /** JSON. */
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** A tool as a chat template shows it to the model. */
export interface ChatTool {
  readonly name: string;
  readonly description: string;
  /** JSON Schema of the arguments. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** What an output asks for: its text without the calls, the calls, and why something that looks like a call is none. */
export interface ParsedToolCalls {
  readonly content: string;
  readonly calls: readonly ChatToolCall[];
  readonly faults: readonly string[];
}

/** Text ↔ token ids of one policy. Lives on the caller's thread; pure functions. */
export interface PolicyTokenizer {
  readonly vocabularySize: number;
  readonly endTokens: readonly number[];
  /** `addSpecial: false`: the text goes on from other tokens, so no begin token comes first. Default true. */
  encode(text: string, options?: { readonly addSpecial?: boolean }): Int32Array;
  decode(tokens: Int32Array | readonly number[], options?: { readonly skipSpecial?: boolean }): string;
  /** Renders through the model's chat template (the only path for chat prompts) and encodes. */
  encodeChat(
    messages: readonly ChatMessage[],
    options?: { readonly addGenerationPrompt?: boolean; readonly tools?: readonly ChatTool[] },
  ): Int32Array;
  /**
   * Tokens that go after an earlier chat prompt and its sampled output, so that the conversation continues with
   * `messages` and the model's turn begins; nothing that was sampled is encoded again. Undefined where the template
   * rewrites what came before, so that no continuation is token-identical.
   */
  continueChat?(
    earlier: {
      readonly messages: readonly ChatMessage[];
      readonly output: Int32Array;
      readonly tools?: readonly ChatTool[];
    },
    messages: readonly ChatMessage[],
  ): Int32Array | undefined;
  /** Reads tool calls in the format of the model's chat template; undefined if the template has none. */
  parseToolCalls?(text: string): ParsedToolCalls | undefined;
}

/** A set of weights that answers. Frozen and remote models fit this half. */
export interface Policy {
  readonly name: string;
  /** Optimiser steps taken; stamped on every sample. */
  readonly version: number;
  readonly contextLength: number;
  readonly tokenizer: PolicyTokenizer;
  sample(request: SampleRequest): Promise<SampleResult>;
  close(): Promise<void>;
}

/** A request to a participant that speaks text only: an API model. */
export interface TextRequest {
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  readonly sampling?: SamplingSettings;
  readonly stop?: readonly string[];
  readonly tools?: readonly ChatTool[];
  /** Sent as `seed` where the service takes one. */
  readonly key: Key;
  readonly signal?: AbortSignal;
}

export interface TextResult {
  readonly text: string;
  readonly stopReason: StopReason;
  readonly toolCalls?: readonly ChatToolCall[];
  readonly usage: { readonly promptTokens: number; readonly outputTokens: number };
  /** US dollars, where prices are known. */
  readonly cost?: number;
}

/**
 * A participant without tokens of its own, such as a closed API model: it takes part frozen, and is never trained.
 */
export interface TextPolicy {
  readonly name: string;
  readonly version: number;
  generate(request: TextRequest): Promise<TextResult>;
  close(): Promise<void>;
}

/** Whatever can answer for an agent. */
export type AnyPolicy = Policy | TextPolicy;

/** A policy that also scores given tokens. Frozen open-weight policies and references fit this much. */
export interface ScoringPolicy extends Policy {
  readonly parameterCount: number;
  forward(batch: readonly TrainingSequence[], options?: ForwardOptions): Promise<ForwardResult>;
}

/** The trainable half: the two-phase contract (forward → loss in TypeScript → backward → step). */
export interface TrainablePolicy extends ScoringPolicy {
  /** Adds ∂L/∂θ to the gradient accumulators. `batch` must be the one given to `forward` when that was retained. */
  backward(batch: readonly TrainingSequence[], gradients: TokenGradients): Promise<void>;
  /** Clips, applies AdamW, clears the accumulators. A non-finite gradient is an error and leaves the weights as they were. */
  step(options: StepOptions): Promise<StepResult>;
  /** Drops accumulated gradients. */
  clearGradients(): Promise<void>;
  /** Writes weights (Hugging Face folder or PEFT adapter) and, with `optimizer`, what is needed to continue training bit-equal. Atomic. */
  save(folder: string, options?: { readonly optimizer?: boolean }): Promise<void>;
  /** Restores what `save` wrote, into this policy. */
  restore(folder: string): Promise<void>;
}
