/** @file Memory of an episode, or of a whole run: a store behind the context, whose every use is an effect. */

import { type Effect, memoryArgument } from "./effect.ts";
import { EpisodeError, failureOf, restoreFailure, ToolError } from "./errors.ts";
import { jsonCopy } from "./json-value.ts";
import type { EpisodeRuntime } from "./runtime.ts";
import type { Scope } from "./scope.ts";
import type { MemoryRecord } from "./trajectory.ts";

/** Where memories are kept. Values are JSON. The default lives as long as the episode. */
export interface MemoryStore {
  get(key: string): unknown | Promise<unknown>;
  put(key: string, value: unknown): void | Promise<void>;
  keys(prefix: string): readonly string[] | Promise<readonly string[]>;
  /** Everything in it, as JSON, for checkpoints of a run that shares it; absent if it outlives the process by itself. */
  state?(): unknown;
  restore?(state: unknown): void;
}

/** What a workflow sees. Shared by an episode and its children. */
export interface EpisodeMemory {
  /** The value last put under the key, or undefined. */
  get(key: string): Promise<unknown>;
  put(key: string, value: unknown): Promise<void>;
  /** Keys that begin with `prefix`, sorted. Default: all. */
  keys(prefix?: string): Promise<readonly string[]>;
}

export class MapStore implements MemoryStore {
  readonly #values = new Map<string, unknown>();

  get(key: string): unknown {
    return jsonCopy(this.#values.get(key));
  }

  put(key: string, value: unknown): void {
    this.#values.set(key, jsonCopy(value));
  }

  keys(prefix: string): readonly string[] {
    return [...this.#values.keys()].filter((key) => key.startsWith(prefix)).sort();
  }

  state(): unknown {
    return [...this.#values];
  }

  restore(state: unknown): void {
    this.#values.clear();
    // What `state` gave: pairs of key and value.
    for (const [key, value] of state as readonly (readonly [string, unknown])[]) this.#values.set(key, value);
  }
}

/** The memory effects of one episode. */
export class MemoryUses {
  readonly #runtime: EpisodeRuntime;
  readonly #store: MemoryStore;
  /** By the place of their issue; the open ones are cancelled when the episode closes. */
  readonly #records = new Map<number, MemoryRecord>();

  constructor(runtime: EpisodeRuntime, store: MemoryStore) {
    this.#runtime = runtime;
    this.#store = store;
  }

  close(): readonly MemoryRecord[] {
    return [...this.#records.values()].sort((left, right) => left.issued - right.issued);
  }

  bind(scope: Scope): EpisodeMemory {
    const store = this.#store;
    return {
      get: (key) => this.#use(scope, "get", key, undefined, () => store.get(key)),
      put: async (key, value) => {
        await this.#use(scope, "put", key, value, () => store.put(key, value));
      },
      // What a store gives for `keys` is checked by its type.
      keys: (prefix = "") =>
        this.#use(scope, "keys", prefix, undefined, () => store.keys(prefix)) as Promise<readonly string[]>,
    };
  }

  async #use(
    scope: Scope,
    operation: MemoryRecord["operation"],
    key: string,
    given: unknown,
    work: () => unknown,
  ): Promise<unknown> {
    const runtime = this.#runtime;
    if (runtime.stopped) return runtime.afterStop();
    const began = runtime.seconds();
    const base = { scope: scope.path, issued: runtime.issue(), operation, key, startedAt: began };
    const known = runtime.recorded?.take(
      { scope: scope.path, kind: "memory", name: operation, argument: memoryArgument(operation, key, given) },
      base.issued,
    );
    const name = `memory.${operation} ${JSON.stringify(key)}`;
    const plan = {
      name,
      seconds: runtime.deadlines.tool,
      gate: undefined,
      onLate: () => this.#failed(name, `it was not finished after ${runtime.deadlines.tool} s`),
    };
    try {
      const copy = jsonCopy(given);
      const argument = operation === "put" ? { value: copy } : {};
      if (runtime.recorded?.strict !== true)
        this.#records.set(base.issued, {
          ...base,
          ...argument,
          settled: -1,
          seconds: 0,
          status: "cancelled",
        });
      if (known?.kind === "memory") return await this.#answerFromJournal(known, base.issued, name);
      const read = await runtime.perform<unknown>({ ...plan, work });
      const value = jsonCopy(operation === "put" ? given : read);
      this.#keep({
        ...base,
        ...(value === undefined ? {} : { value }),
        settled: runtime.settle(),
        status: "complete",
        seconds: runtime.seconds() - began,
      });
      return read;
    } catch (error) {
      if (error instanceof EpisodeError && known !== undefined) throw error;
      const typed =
        error instanceof EpisodeError
          ? error
          : this.#failed(name, error instanceof Error ? error.message : String(error));
      const failure = failureOf(typed, { workflow: runtime.workflow, episode: runtime.id });
      if (!runtime.stopped)
        this.#keep({
          ...base,
          settled: runtime.settle(),
          status: "failed",
          seconds: runtime.seconds() - began,
          failure,
        });
      throw typed;
    }
  }

  async #answerFromJournal(
    known: Extract<Effect, { readonly kind: "memory" }>,
    issued: number,
    name: string,
  ): Promise<unknown> {
    const runtime = this.#runtime;
    const { record } = known;
    const { strict } = runtime.recorded!;
    if (strict) this.#records.set(record.issued, record);
    await runtime.turn(name, known);
    if (!strict) this.#records.set(issued, { ...record, issued, settled: runtime.settle() });
    // The store must be as it was, for what happens anew after the journal ends.
    if (record.operation === "put" && record.status === "complete")
      await this.#store.put(record.key, record.value);
    if (record.failure !== undefined) throw restoreFailure(record.failure);
    return record.operation === "put" ? undefined : jsonCopy(record.value);
  }

  #keep(record: MemoryRecord): void {
    this.#records.set(record.issued, record);
    this.#runtime.journal({ kind: "memory", record });
  }

  #failed(name: string, why: string): ToolError {
    return new ToolError({
      boundary: "tool",
      code: "E_MEMORY",
      message: `${name} of episode ${this.#runtime.id} failed: ${why}.`,
      hint: "memories are JSON values; check the store that the run was given.",
    });
  }
}
