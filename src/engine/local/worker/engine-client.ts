/**
 * @file The main thread's end of one worker group: calls as messages to its thread. The event loop never computes; an
 * idle engine does not keep the process alive.
 */

import { Worker } from "node:worker_threads";
import type { SampledToken } from "../../policy.ts";
import { EngineError, fromTransferable } from "./errors.ts";
import type { EngineCalls, EngineMethod, EngineSettings, FromEngine, ToEngine } from "./protocol.ts";

interface Pending {
  readonly method: EngineMethod;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  readonly onTokens: ((tokens: readonly SampledToken[]) => void) | undefined;
}

/** Compiled beside this file; under a TypeScript loader the worker still needs the built JavaScript. */
function workerUrl(): URL {
  const url = new URL("./engine-thread.js", import.meta.url);
  if (import.meta.url.endsWith(".ts")) url.pathname = url.pathname.replace("/src/engine/", "/dist/engine/");
  return url;
}

export class EngineClient {
  readonly #name: string;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #failure: EngineError | undefined;
  #ending = false;

  constructor(name: string, settings: EngineSettings = {}) {
    this.#name = name;
    this.#worker = new Worker(workerUrl(), {
      workerData: settings,
      name: "troupe-engine",
      // A script given on the command line has it; Node refuses it for a file.
      execArgv: process.execArgv.filter((argument) => !argument.startsWith("--input-type")),
    });
    this.#worker.on("message", (message: FromEngine) => this.#receive(message));
    this.#worker.on("error", (error) => this.#fail(`threw: ${error.message}`, error));
    this.#worker.on("exit", (code) => this.#fail(`exited with code ${code}`));
    this.#worker.unref();
  }

  /** Pending calls, by method; for watchdogs. */
  get inFlight(): readonly EngineMethod[] {
    return [...this.#pending.values()].map((p) => p.method);
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  call<M extends EngineMethod>(
    method: M,
    ...parameters: Parameters<EngineCalls[M]>
  ): Promise<ReturnType<EngineCalls[M]>> {
    return this.#start(method, parameters, undefined, undefined);
  }

  /** A call that streams tokens and can be cancelled. */
  sample(
    parameters: Parameters<EngineCalls["sample"]>,
    signal: AbortSignal | undefined,
    onTokens: ((tokens: readonly SampledToken[]) => void) | undefined,
  ): Promise<ReturnType<EngineCalls["sample"]>> {
    return this.#start("sample", parameters, signal, onTokens);
  }

  /** Ends the thread once it has done what was asked before, and frees what it holds. */
  async shutDown(): Promise<void> {
    if (this.#failure) return;
    this.#ending = true;
    const ended = new Promise<void>((resolve) => this.#worker.once("exit", () => resolve()));
    this.#worker.ref();
    this.#post({ kind: "shut down" });
    await ended;
  }

  /** Ends the thread at once, whatever it does: for a run that is given up. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }

  #start<M extends EngineMethod>(
    method: M,
    parameters: readonly unknown[],
    signal: AbortSignal | undefined,
    onTokens: ((tokens: readonly SampledToken[]) => void) | undefined,
  ): Promise<ReturnType<EngineCalls[M]>> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = this.#nextId++;
    return new Promise<never>((resolve, reject) => {
      const abort = () => {
        this.#post({ kind: "cancel", id });
        this.#settle(id)?.reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      const finished = () => signal?.removeEventListener("abort", abort);
      if (this.#pending.size === 0) this.#worker.ref();
      this.#pending.set(id, {
        method,
        onTokens,
        resolve: (value) => {
          finished();
          resolve(value);
        },
        reject: (error) => {
          finished();
          reject(error);
        },
      });
      try {
        this.#post({ kind: "call", id, method, parameters });
      } catch (cause) {
        this.#settle(id)?.reject(
          new EngineError({
            code: "E_ENGINE_ARGUMENT",
            message: `The arguments of "${method}" cannot be sent to the engine's thread: ${String(cause)}`,
            hint: "pass plain data (arrays, typed arrays, numbers, strings).",
            cause,
          }),
        );
      }
    });
  }

  #post(message: ToEngine): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromEngine): void {
    if (message.kind === "tokens") {
      this.#pending.get(message.id)?.onTokens?.(message.tokens);
      return;
    }
    const pending = this.#settle(message.id);
    if (message.kind === "result") pending?.resolve(message.value as never);
    else pending?.reject(fromTransferable(message.error));
  }

  /** A cancelled call has no entry any more: its late result is dropped here. */
  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (!pending) return undefined;
    this.#pending.delete(id);
    // A thread that ends is waited for, whatever answers still arrive.
    if (this.#pending.size === 0 && !this.#ending) this.#worker.unref();
    return pending;
  }

  #fail(what: string, cause?: unknown): void {
    if (this.#failure) return;
    this.#failure = new EngineError({
      code: "E_ENGINE_STOPPED",
      message: `The engine's thread "${this.#name}" ${what} while ${this.inFlight.join(", ") || "nothing"} was in flight.`,
      hint: "start again from the last checkpoint; if it repeats, run `troupe doctor <model>`.",
      facts: { worker: this.#name },
      cause,
    });
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(this.#failure);
  }
}
