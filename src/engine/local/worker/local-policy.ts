/** @file A policy whose weights live on the engine's thread of this process. */

import type {
  ForwardOptions,
  ForwardResult,
  PolicyTokenizer,
  SampleRequest,
  SampleResult,
  StepOptions,
  StepResult,
  TokenGradients,
  TrainablePolicy,
  TrainingSequence,
} from "../../policy.ts";
import { ModelTokenizer } from "../tokenizer/tokenizer.ts";
import { type EngineClient, engineClient } from "./engine-client.ts";
import type { EngineSettings, LocalModelOptions, OpenedModel } from "./protocol.ts";

/**
 * Opens a Hugging Face folder (Llama, Qwen2 or Qwen3 family) as a policy.
 *
 * @throws CheckpointError, TokenizerError, ConfigError, MemoryPlanError — before any work, naming file and field.
 * @example
 * const policy = await openLocalPolicy("small", "assets/atlas-small");
 * const { text } = await policy.sample({ prompt: policy.tokenizer.encode("Q:"), maxTokens: 8, key: key(0) });
 */
export async function openLocalPolicy(
  name: string,
  folder: string,
  options: LocalModelOptions = {},
  settings: EngineSettings = {},
): Promise<LocalPolicy> {
  // The tokenizer is read first: a folder without one must be refused before weights are.
  const tokenizer = await ModelTokenizer.load(folder);
  const client = engineClient(settings);
  return new LocalPolicy(name, client, await client.call("open", folder, options), tokenizer);
}

export class LocalPolicy implements TrainablePolicy {
  readonly name: string;
  readonly tokenizer: PolicyTokenizer;
  readonly contextLength: number;
  readonly parameterCount: number;
  /** Which binding computes, for example "ffi 1.30.0". */
  readonly backend: string;
  readonly #client: EngineClient;
  readonly #handle: number;
  #version: number;

  constructor(name: string, client: EngineClient, opened: OpenedModel, tokenizer: PolicyTokenizer) {
    this.name = name;
    this.tokenizer = tokenizer;
    this.contextLength = opened.contextLength;
    this.parameterCount = opened.parameterCount;
    this.backend = opened.backend;
    this.#client = client;
    this.#handle = opened.handle;
    this.#version = opened.version;
  }

  get version(): number {
    return this.#version;
  }

  sample({ signal, onToken, ...request }: SampleRequest): Promise<SampleResult> {
    const onTokens =
      onToken && ((tokens: readonly Parameters<typeof onToken>[0][]) => tokens.forEach(onToken));
    return this.#client.sample([this.#handle, request, onToken !== undefined], signal, onTokens);
  }

  forward(batch: readonly TrainingSequence[], options: ForwardOptions = {}): Promise<ForwardResult> {
    return this.#client.call("forward", this.#handle, batch, options);
  }

  backward(batch: readonly TrainingSequence[], gradients: TokenGradients): Promise<void> {
    return this.#client.call("backward", this.#handle, batch, gradients);
  }

  async step(options: StepOptions): Promise<StepResult> {
    const result = await this.#client.call("step", this.#handle, options);
    this.#version = result.version;
    return result;
  }

  clearGradients(): Promise<void> {
    return this.#client.call("clearGradients", this.#handle);
  }

  save(folder: string, options: { readonly optimizer?: boolean } = {}): Promise<void> {
    return this.#client.call("save", this.#handle, folder, options);
  }

  async restore(folder: string): Promise<void> {
    this.#version = (await this.#client.call("restore", this.#handle, folder)).version;
  }

  close(): Promise<void> {
    return this.#client.call("close", this.#handle);
  }
}
