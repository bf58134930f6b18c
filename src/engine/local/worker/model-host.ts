/** @file The models of the engine's thread, by handle: opens, samples, trains and saves them. */

import type { SampledToken } from "../../policy.ts";
import type { OrtBackend } from "../ort/backend.ts";
import { EngineError, toTransferable } from "./errors.ts";
import { HostedModel } from "./hosted-model.ts";
import type {
  EngineCalls,
  EngineMethod,
  FromEngine,
  LocalModelOptions,
  OpenedModel,
  TransferableRequest,
} from "./protocol.ts";

/** The calls that answer once; sampling has its own path. */
type Answers = {
  readonly [M in Exclude<EngineMethod, "sample">]: (
    ...parameters: Parameters<EngineCalls[M]>
  ) => ReturnType<EngineCalls[M]> | Promise<ReturnType<EngineCalls[M]>>;
};

export class ModelHost {
  readonly #backend: OrtBackend;
  readonly #threads: number;
  readonly #post: (message: FromEngine) => void;
  readonly #models = new Map<number, HostedModel>();
  /** Which model samples each request in flight. */
  readonly #requests = new Map<number, HostedModel>();
  /** Tokens streamed since the last message, by request. */
  readonly #streamed = new Map<number, SampledToken[]>();
  #nextHandle = 1;

  constructor(backend: OrtBackend, threads: number, post: (message: FromEngine) => void) {
    this.#backend = backend;
    this.#threads = threads;
    this.#post = post;
  }

  readonly #answers: Answers = {
    open: (folder, options) => this.#open(folder, options),
    close: (handle) => this.#close(handle),
    forward: (handle, batch, options) => this.#model(handle).forward(batch, options),
    backward: (handle, batch, gradients) => this.#model(handle).training.backward(batch, gradients),
    step: (handle, options) => this.#model(handle).step(options),
    clearGradients: (handle) => this.#model(handle).training.clearGradients(),
    save: (handle, folder, options) => this.#model(handle).save(folder, options),
    restore: async (handle, folder) => ({ version: await this.#model(handle).restore(folder) }),
  };

  /** Any call but `sample`. */
  async call(method: Exclude<EngineMethod, "sample">, parameters: readonly unknown[]): Promise<unknown> {
    return (this.#answers[method] as (...p: readonly unknown[]) => unknown)(...parameters);
  }

  submit(id: number, [handle, request, streaming]: Parameters<EngineCalls["sample"]>): void {
    const model = this.#model(handle);
    model.sampler.submit(id, request satisfies TransferableRequest, {
      ...(streaming ? { onToken: (token: SampledToken) => this.#stream(id, token) } : {}),
      onDone: (value) => {
        this.#flush(id);
        this.#requests.delete(id);
        this.#post({ kind: "result", id, value });
      },
      onError: (error) => {
        this.#flush(id);
        this.#requests.delete(id);
        this.#post({ kind: "error", id, error: toTransferable(error) });
      },
    });
    this.#requests.set(id, model);
  }

  /** A request that has ended meanwhile is not an error: the messages crossed. */
  cancel(id: number): void {
    this.#requests.get(id)?.sampler.cancel(id);
  }

  /** One run of every model that has requests in flight; true while any has more to do. */
  sampleRound(): boolean {
    let more = false;
    for (const model of new Set(this.#requests.values())) more = model.sampler.step() || more;
    for (const id of this.#streamed.keys()) this.#flush(id);
    return more;
  }

  dispose(): void {
    for (const handle of [...this.#models.keys()]) this.#close(handle);
    this.#backend.dispose();
  }

  async #open(folder: string, options: LocalModelOptions): Promise<OpenedModel> {
    const model = await HostedModel.open(this.#backend, this.#threads, folder, options);
    const handle = this.#nextHandle++;
    this.#models.set(handle, model);
    return {
      handle,
      parameterCount: model.parameterCount,
      contextLength: model.contextLength,
      vocabularySize: model.config.vocabularySize,
      version: model.version,
      backend: `${this.#backend.kind} ${this.#backend.version}`,
    };
  }

  #close(handle: number): void {
    const model = this.#model(handle);
    for (const [id, used] of this.#requests) if (used === model) model.sampler.cancel(id);
    model.dispose();
    this.#models.delete(handle);
  }

  #model(handle: number): HostedModel {
    const model = this.#models.get(handle);
    if (!model) {
      throw new EngineError({
        code: "E_POLICY_CLOSED",
        message: `The policy (handle ${handle}) was closed.`,
        hint: "open it again, or close it after the last call.",
      });
    }
    return model;
  }

  #stream(id: number, token: SampledToken): void {
    const waiting = this.#streamed.get(id);
    if (waiting) waiting.push(token);
    else this.#streamed.set(id, [token]);
  }

  #flush(id: number): void {
    const tokens = this.#streamed.get(id);
    if (!tokens) return;
    this.#streamed.delete(id);
    this.#post({ kind: "tokens", id, tokens });
  }
}
