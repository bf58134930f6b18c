/** @file What travels between the main thread and the engine's thread: text, ids and numbers; never weights. */

import type {
  ForwardOptions,
  ForwardResult,
  SampledToken,
  SampleRequest,
  SampleResult,
  StepOptions,
  StepResult,
  TokenGradients,
  TrainingSequence,
} from "../../policy.ts";
import type { ValueHeads } from "../../value-heads.ts";
import type { LoraSettings } from "../model/parameters.ts";

/** Settings of a worker group: one thread and the policies on it. The first policy of a group fixes them. */
export interface EngineSettings {
  /**
   * Kernel threads. Default: the number of processors that this process may use. ONNX Runtime has one pool for a
   * process, so all groups of a process have the same number.
   */
  readonly threads?: number;
  /** Which binding: "ffi" (default, falls back to "stock" with a warning) or one of them, without fallback. */
  readonly backend?: "ffi" | "stock";
  /**
   * Whether idle kernel threads wait in a loop: a few percent faster on a machine that does nothing else, many times
   * slower where other work wants the processors. Default false. One choice for a process, like `threads`.
   */
  readonly spinning?: boolean;
}

/** What `local(…)` and `openLocalPolicy` take besides the model's options. */
export interface WorkerSettings extends EngineSettings {
  /**
   * Name of the worker group: policies of one group take turns on one thread and share the weights of a base that
   * none of them trains. Default: the folder, so that adapters over one base, and its frozen users, are together.
   */
  readonly worker?: string;
}

/** How a model folder becomes a policy. */
export interface LocalModelOptions {
  /**
   * Default true. A frozen policy samples and scores; it allocates neither gradients nor moments, and shares its weights
   * with adapters of its worker group.
   */
  readonly trainable?: boolean;
  /** Train a low-rank adapter over the folder's weights, which stay frozen and are shared by all adapters over them. */
  readonly lora?: LoraSettings;
  /** PEFT folder to start the adapter from; its settings take the place of `lora`. */
  readonly adapter?: string;
  /**
   * Adds a value head, a scalar a token (for PPO), or with a number so many of them (for methods with several streams of
   * rewards). They start at 0. Default false.
   */
  readonly valueHead?: ValueHeads;
  /** Concurrent sequences in the decode batch. Default 64. */
  readonly slots?: number;
  /** Longest sequence (prompt and output). Default: the model's. */
  readonly contextLength?: number;
  /** Tokens of one microbatch. Default 8192; 2048 for a frozen policy. */
  readonly microbatchTokens?: number;
  /** Seeds fresh weights (adapter, value head). Default 0. */
  readonly seed?: number;
}

export interface OpenedModel {
  readonly handle: number;
  readonly parameterCount: number;
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly version: number;
  /** Which binding computes, for example "ffi 1.30.0". */
  readonly backend: string;
}

/** Requests of the main thread. `sample` streams; the rest answer once. */
export interface EngineCalls {
  open(folder: string, options: LocalModelOptions): OpenedModel;
  close(handle: number): void;
  sample(handle: number, request: TransferableRequest, streaming: boolean): SampleResult;
  forward(handle: number, batch: readonly TrainingSequence[], options: ForwardOptions): ForwardResult;
  backward(handle: number, batch: readonly TrainingSequence[], gradients: TokenGradients): void;
  step(handle: number, options: StepOptions): StepResult;
  clearGradients(handle: number): void;
  save(handle: number, folder: string, options: { readonly optimizer?: boolean }): void;
  restore(handle: number, folder: string): { readonly version: number };
}

/** A request without what cannot be cloned: cancellation and streaming are messages of their own. */
export type TransferableRequest = Omit<SampleRequest, "signal" | "onToken">;

export type EngineMethod = keyof EngineCalls;

export type ToEngine =
  | {
      readonly kind: "call";
      readonly id: number;
      readonly method: EngineMethod;
      readonly parameters: readonly unknown[];
    }
  | { readonly kind: "cancel"; readonly id: number }
  | { readonly kind: "shut down" };

export type FromEngine =
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: TransferableError }
  | { readonly kind: "tokens"; readonly id: number; readonly tokens: readonly SampledToken[] };

/** Structured clone drops an error's class, code and facts; this keeps them. */
export interface TransferableError {
  readonly name: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly facts: Readonly<Record<string, unknown>>;
  readonly stack: string | undefined;
}
