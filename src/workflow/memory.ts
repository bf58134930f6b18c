/** @file Memory of an episode, or of a whole run: a store behind the context, whose every use is an effect. */

import { type Effect, memoryArgument } from "./effect.ts";
import { EpisodeError, failureOf, restoreFailure, ToolError } from "./errors.ts";
import { jsonCopy } from "./json-value.ts";
import { handled } from "./open-effect.ts";
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
      get: (key) => handled(this.#use(scope, "get", key, undefined, () => store.get(key))),
      // A put gives nothing back, a store's `keys` is checked by its type.
      put: (key, value) =>
        handled(this.#use(scope, "put", key, value, () => store.put(key, value))) as Promise<void>,
      keys: (prefix = "") =>
        handled(this.#use(scope, "keys", prefix, undefined, () => store.keys(prefix))) as Promise<
          readonly string[]
        >,
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
    const name = `memory.${operation} ${JSON.stringify(key)}`;
    const written = this.#copy(name, given);
    const base = {
      scope: scope.path,
      issued: runtime.issue(),
      operation,
      key,
      startedAt: runtime.seconds(),
      ...(operation === "put" ? { value: written } : {}),
    };
    const { repeat, known } = runtime.ask(
      {
        scope: scope.path,
        kind: "memory",
        name: operation,
        argument: memoryArgument(operation, key, written),
      },
      base.issued,
    );
    if (runtime.recorded?.strict !== true)
      this.#records.set(base.issued, { ...base, settled: -1, seconds: 0, status: "cancelled" });
    if (known?.kind === "memory") return this.#answerFromJournal(known, base.issued, name);
    const settled = (ending: Pick<MemoryRecord, "status" | "value" | "failure">) => {
      const seconds = runtime.seconds() - base.startedAt;
      const record: MemoryRecord = { ...base, ...ending, settled: runtime.settle(), seconds };
      this.#records.set(base.issued, record);
      runtime.journal({ kind: "memory", record, repeat });
    };
    try {
      const read = await runtime.perform<unknown>({
        name,
        seconds: runtime.deadlines.tool,
        gate: undefined,
        onLate: () => this.#failed(name, `it was not finished after ${runtime.deadlines.tool} s`),
        work,
      });
      const value = operation === "put" ? written : this.#copy(name, read);
      settled({ status: "complete", ...(value === undefined ? {} : { value }) });
      return operation === "put" ? undefined : read;
    } catch (error) {
      const typed = error instanceof EpisodeError ? error : this.#failed(name, messageOf(error));
      const place = { workflow: runtime.workflow, episode: runtime.id };
      settled({ status: "failed", failure: failureOf(typed, place) });
      throw typed;
    }
  }

  /** @throws ToolError if the value is not JSON. */
  #copy(name: string, value: unknown): unknown {
    try {
      return jsonCopy(value);
    } catch (error) {
      throw this.#failed(name, messageOf(error));
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
    if (record.operation === "put" && record.status === "complete") {
      try {
        await this.#store.put(record.key, record.value);
      } catch (error) {
        throw this.#failed(name, messageOf(error));
      }
    }
    if (record.failure !== undefined) throw restoreFailure(record.failure);
    return record.operation === "put" ? undefined : jsonCopy(record.value);
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

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
