/** @file Policies whose weights live on a worker thread of this process: one that only answers and scores, one that trains. */

import { resolve } from "node:path";
import type {
  ForwardOptions,
  ForwardResult,
  PolicyTokenizer,
  SampleRequest,
  SampleResult,
  ScoringPolicy,
  StepOptions,
  StepResult,
  TokenGradients,
  TrainablePolicy,
  TrainingSequence,
} from "../../policy.ts";
import { ModelTokenizer } from "../tokenizer/tokenizer.ts";
import type { EngineClient } from "./engine-client.ts";
import { EngineError } from "./errors.ts";
import type { LocalModelOptions, OpenedModel, WorkerSettings } from "./protocol.ts";
import { type GroupPlace, joinGroup } from "./worker-groups.ts";

/**
 * Opens a Hugging Face folder (Llama, Qwen2 or Qwen3 family) as a policy. With `trainable: false` the policy has no
 * trainable half at all, so that a trainer takes it for what it is.
 *
 * @throws CheckpointError, TokenizerError, ConfigError, MemoryPlanError — before any work, naming file and field.
 * @example
 * const policy = await openLocalPolicy("small", "assets/atlas-small");
 * const { text } = await policy.sample({ prompt: policy.tokenizer.encode("Q:"), maxTokens: 8, key: key(0) });
 */
export function openLocalPolicy(
  name: string,
  folder: string,
  options?: LocalModelOptions & { readonly trainable?: true },
  settings?: WorkerSettings,
): Promise<LocalPolicy>;
export function openLocalPolicy(
  name: string,
  folder: string,
  options: LocalModelOptions & { readonly trainable: false },
  settings?: WorkerSettings,
): Promise<FrozenLocalPolicy>;
export function openLocalPolicy(
  name: string,
  folder: string,
  options?: LocalModelOptions,
  settings?: WorkerSettings,
): Promise<LocalPolicy | FrozenLocalPolicy>;
export async function openLocalPolicy(
  name: string,
  folder: string,
  options: LocalModelOptions = {},
  { worker = resolve(folder), ...settings }: WorkerSettings = {},
): Promise<LocalPolicy | FrozenLocalPolicy> {
  // The tokenizer is read first: a folder without one must be refused before weights are.
  const tokenizer = await ModelTokenizer.load(folder);
  const place = await joinGroup(worker, settings);
  try {
    const opened = await place.client.call("open", folder, options);
    const Class = options.trainable === false ? FrozenLocalPolicy : LocalPolicy;
    return new Class(name, place, opened, tokenizer);
  } catch (error) {
    await place.leave();
    throw error;
  }
}

/** Answers and scores. */
export class FrozenLocalPolicy implements ScoringPolicy {
  readonly name: string;
  readonly tokenizer: PolicyTokenizer;
  readonly contextLength: number;
  readonly parameterCount: number;
  /** Which binding computes, for example "ffi 1.30.0". */
  readonly backend: string;
  readonly #place: GroupPlace;
  readonly #handle: number;
  #version: number;
  #closed = false;

  constructor(name: string, place: GroupPlace, opened: OpenedModel, tokenizer: PolicyTokenizer) {
    this.name = name;
    this.tokenizer = tokenizer;
    this.contextLength = opened.contextLength;
    this.parameterCount = opened.parameterCount;
    this.backend = opened.backend;
    this.#place = place;
    this.#handle = opened.handle;
    this.#version = opened.version;
  }

  get version(): number {
    return this.#version;
  }

  async sample({ signal, onToken, ...request }: SampleRequest): Promise<SampleResult> {
    const onTokens =
      onToken && ((tokens: readonly Parameters<typeof onToken>[0][]) => tokens.forEach(onToken));
    const { client, handle } = this.engine();
    return client.sample([handle, request, onToken !== undefined], signal, onTokens);
  }

  async forward(batch: readonly TrainingSequence[], options: ForwardOptions = {}): Promise<ForwardResult> {
    const { client, handle } = this.engine();
    return client.call("forward", handle, batch, options);
  }

  /** Frees the policy; the last one of its worker group ends the group's thread. */
  async close(): Promise<void> {
    const { client, handle } = this.engine();
    this.#closed = true;
    // A thread that has stopped holds nothing any more.
    await this.#place.leave(async () => {
      if (!client.failed) await client.call("close", handle);
    });
  }

  /** Where the weights are. @throws EngineError after `close`. */
  protected engine(): { readonly client: EngineClient; readonly handle: number } {
    if (!this.#closed) return { client: this.#place.client, handle: this.#handle };
    throw new EngineError({
      code: "E_POLICY_CLOSED",
      message: `Policy "${this.name}" was closed.`,
      hint: "open it again, or close it after the last call.",
      facts: { policy: this.name },
    });
  }

  protected changed(version: number): void {
    this.#version = version;
  }
}

export class LocalPolicy extends FrozenLocalPolicy implements TrainablePolicy {
  async backward(batch: readonly TrainingSequence[], gradients: TokenGradients): Promise<void> {
    const { client, handle } = this.engine();
    return client.call("backward", handle, batch, gradients);
  }

  async step(options: StepOptions): Promise<StepResult> {
    const { client, handle } = this.engine();
    const result = await client.call("step", handle, options);
    this.changed(result.version);
    return result;
  }

  async clearGradients(): Promise<void> {
    const { client, handle } = this.engine();
    return client.call("clearGradients", handle);
  }

  async save(folder: string, options: { readonly optimizer?: boolean } = {}): Promise<void> {
    const { client, handle } = this.engine();
    return client.call("save", handle, folder, options);
  }

  async restore(folder: string): Promise<void> {
    const { client, handle } = this.engine();
    this.changed((await client.call("restore", handle, folder)).version);
  }
}
