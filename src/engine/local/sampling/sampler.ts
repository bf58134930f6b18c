/**
 * @file Continuous batching: requests join and leave the decode batch between steps. Synchronous; the engine's
 * thread calls {@link Sampler.step} and reads its messages in between.
 *
 * A step is one prefill run or one decode run. Prefill comes first, so that the batch is full while it decodes:
 * requests with one prompt are prefilled once and forked; a prompt that extends one whose keys and values are still
 * there runs only what is new; fresh prompts of similar length run together; a long prompt runs in pieces, in turn
 * with decode steps. The same key gives the same tokens whatever of this happened (see model/decode-graph.ts).
 */

import type { SampleRequest } from "../../policy.ts";
import { samplingBlock } from "../model/decode-graph.ts";
import type { FlatTensors } from "../model/weights.ts";
import type { TokenBytes } from "../tokenizer/token-decoder.ts";
import { byTemperature, gatherUnits, startOf, type Unit, unitsOfOneRun } from "./admission.ts";
import { TokenChooser } from "./choose-token.ts";
import { chooseTokens } from "./choose-tokens.ts";
import { Decoder, type DecodeSessions, even } from "./decoder.ts";
import { SampleAbortedError, SampleRunError, SamplerBusyError } from "./errors.ts";
import { checkRequest } from "./request.ts";
import { RowTable } from "./rows.ts";
import { type SampleCallbacks, Sequence, type SequenceModel } from "./sequence.ts";

export interface SamplerOptions {
  readonly sessions: DecodeSessions;
  readonly weights: FlatTensors;
  /** Of the LoRA settings that the sessions were made with. */
  readonly adapter?: FlatTensors;
  readonly tokenBytes: TokenBytes;
  /** Tokens that end every output. */
  readonly endTokens: readonly number[];
  /** Sequences in the decode batch. Default 64. */
  readonly slots?: number;
  /** Longest sequence. Default: the model's. */
  readonly contextLength?: number;
  /** Tokens of one prefill run. Default 2048. */
  readonly prefillTokens?: number;
  /** Of the weights; stamped on every result. Default 0. */
  readonly version?: number;
}

export interface SamplerStatistics {
  readonly queued: number;
  readonly active: number;
  /** Finished prompts whose keys and values are still there. */
  readonly kept: number;
  readonly decodeRuns: number;
  readonly prefillRuns: number;
  /** Prompt tokens that were computed, and those that were shared instead. */
  readonly promptTokens: number;
  readonly sharedPromptTokens: number;
  readonly sampledTokens: number;
  readonly cacheBytes: number;
}

export class Sampler {
  readonly #decoder: Decoder;
  readonly #rows: RowTable;
  readonly #chooser: TokenChooser;
  readonly #model: SequenceModel;
  readonly #slots: number;
  readonly #prefillTokens: number;
  readonly #queue: Sequence[] = [];
  /** Those in flight, by id. */
  readonly #sequences = new Map<number, Sequence>();
  #staged: Unit | null = null;
  #stagedRanLast = false;
  #version: number;
  #decodeRuns = 0;
  #prefillRuns = 0;
  #promptTokens = 0;
  #sharedPromptTokens = 0;
  #sampledTokens = 0;

  constructor(options: SamplerOptions) {
    const { sessions, weights, adapter, tokenBytes, endTokens, slots = 64, prefillTokens = 2048 } = options;
    const { config } = sessions;
    const contextLength = Math.min(options.contextLength ?? config.contextLength, config.contextLength);
    // Without a slot nothing would ever be admitted, and `step` would promise work for ever.
    if (!(Number.isInteger(slots) && slots >= 1))
      throw new RangeError(`Sampler needs at least one slot, got ${slots}.`);
    if (!(Number.isInteger(prefillTokens) && prefillTokens >= 1))
      throw new RangeError(`Sampler needs prefill runs of at least one token, got ${prefillTokens}.`);
    this.#slots = slots;
    this.#prefillTokens = prefillTokens;
    this.#version = options.version ?? 0;
    this.#model = {
      vocabularySize: config.vocabularySize,
      contextLength,
      endTokens: new Set(endTokens),
      tokenBytes,
    };
    // Two more than slots: one pads a batch of one, one lets a prompt be kept while all others are active.
    this.#decoder = new Decoder(sessions, weights, adapter ?? null, slots + 2, Math.max(2, contextLength));
    this.#rows = new RowTable(this.#decoder);
    this.#chooser = new TokenChooser(config.vocabularySize, samplingBlock(config.vocabularySize));
  }

  get version(): number {
    return this.#version;
  }

  /** Requests that have not ended. */
  get inFlight(): number {
    return this.#sequences.size;
  }

  get stats(): SamplerStatistics {
    return {
      queued: this.#queue.length,
      active: this.#rows.active.length + (this.#staged?.members.length ?? 0),
      kept: this.#rows.keptCount,
      decodeRuns: this.#decodeRuns,
      prefillRuns: this.#prefillRuns,
      promptTokens: this.#promptTokens,
      sharedPromptTokens: this.#sharedPromptTokens,
      sampledTokens: this.#sampledTokens,
      cacheBytes: this.#decoder.cache.bytes,
    };
  }

  /** Queues a request under an id of the caller's. A request that cannot be honoured throws here. */
  submit(id: number, request: SampleRequest, callbacks: SampleCallbacks): void {
    if (this.#sequences.has(id)) throw new RangeError(`A request with id ${id} is in flight already.`);
    checkRequest(request, this.#model);
    const sequence = new Sequence(id, request, callbacks, this.#model);
    this.#sequences.set(id, sequence);
    this.#queue.push(sequence);
  }

  /** The request ends with E_SAMPLE_ABORTED at the next step; false if there is none with this id. */
  cancel(id: number): boolean {
    const sequence = this.#sequences.get(id);
    if (sequence) sequence.cancelled = true;
    return sequence !== undefined;
  }

  /**
   * The weights are other ones now: everything computed with the old ones is forgotten. Refused while sequences are
   * half sampled, because no version could be stamped on them.
   */
  weightsChanged(version: number): void {
    const active = this.#rows.active.length + (this.#staged?.members.length ?? 0);
    if (active > 0)
      throw new SamplerBusyError({
        code: "E_SAMPLER_BUSY",
        message: `The weights changed to version ${version} while ${active} sequences were being sampled with version ${this.#version}.`,
        hint: "await all samples of a policy before its optimiser step.",
        facts: { active, version: this.#version },
      });
    this.#rows.forget();
    this.#version = version;
  }

  /** One prefill or decode run. True while work remains. */
  step(): boolean {
    this.#dropCancelled();
    const { active } = this.#rows;
    if (this.#staged && (active.length === 0 || !this.#stagedRanLast)) this.#runStaged();
    else if (!this.#staged && this.#queue.length > 0 && active.length < this.#slots) this.#admit();
    else if (active.length > 0) this.#decode();
    return this.#sequences.size > 0;
  }

  dispose(): void {
    this.#decoder.dispose();
  }

  // ── Leaving ──

  #dropCancelled(): void {
    if (this.#sequences.size === 0) return;
    const dropped: Sequence[] = [];
    for (const sequence of this.#sequences.values())
      if (sequence.cancelled || sequence.request.signal?.aborted) dropped.push(sequence);
    for (const sequence of dropped) {
      const place = this.#queue.indexOf(sequence);
      if (place >= 0) this.#queue.splice(place, 1);
      const row = this.#rows.active.indexOf(sequence);
      if (row >= 0) this.#rows.release(row);
      const member = this.#staged?.members.indexOf(sequence) ?? -1;
      if (member >= 0) this.#staged!.members.splice(member, 1);
      if (this.#staged?.members.length === 0) {
        this.#rows.dropStaged();
        this.#staged = null;
      }
      this.#fail(
        sequence,
        new SampleAbortedError({
          code: "E_SAMPLE_ABORTED",
          message: `Sampling was cancelled after ${sequence.outputLength} tokens.`,
          cause: sequence.request.signal?.reason,
        }),
      );
    }
  }

  #fail(sequence: Sequence, error: unknown): void {
    this.#sequences.delete(sequence.id);
    sequence.callbacks.onError(error);
  }

  #finish(sequence: Sequence): void {
    this.#sequences.delete(sequence.id);
    sequence.callbacks.onDone(sequence.result(this.#version));
  }

  /** Runs a graph for sequences; if the kernel fails, they fail with it and the sampler goes on. */
  #attempt(sequences: readonly Sequence[], what: string, run: () => void): boolean {
    try {
      run();
      return true;
    } catch (cause) {
      // What a failed run left behind is not to be built upon, and a half-written staged prompt is part of it.
      const doomed = new Set([...sequences, ...(this.#staged?.members ?? [])]);
      for (let row = this.#rows.active.length - 1; row >= 0; row--)
        if (doomed.has(this.#rows.active[row]!)) this.#rows.release(row);
      this.#rows.forget();
      this.#staged = null;
      const error = new SampleRunError({
        code: "E_SAMPLE_RUN",
        message: `The ${what} failed: ${cause instanceof Error ? cause.message : String(cause)}`,
        hint: "if memory ran out, lower `slots` or `contextLength`; run `troupe doctor <model>` for the numbers.",
        cause,
        facts: { requests: [...doomed].map(({ id }) => id) },
      });
      for (const sequence of doomed) this.#fail(sequence, error);
      return false;
    }
  }

  // ── Prefill ──

  #admit(): void {
    const waiting = this.#queue.slice(0, this.#slots - this.#rows.active.length);
    // A constraint may end an output before it begins.
    const over = waiting.filter((sequence) => sequence.stopReason);
    for (const sequence of over) {
      this.#queue.splice(this.#queue.indexOf(sequence), 1);
      this.#finish(sequence);
    }
    const units = gatherUnits(
      waiting.filter((sequence) => !sequence.stopReason),
      this.#rows,
    );
    const first = units[0];
    if (!first) return;
    const start = startOf(first);
    if (first.prompt.length - start > this.#prefillTokens) this.#stage(first, start);
    else if (start > 0) this.#prefillOne(first, start);
    else this.#prefillTogether(unitsOfOneRun(units, this.#prefillTokens));
  }

  #takeFromQueue(units: readonly Unit[]): Sequence[] {
    const sequences = units.flatMap(({ members }) => members);
    const taken = new Set(sequences);
    const rest = this.#queue.filter((sequence) => !taken.has(sequence));
    this.#queue.length = 0;
    this.#queue.push(...rest);
    return sequences;
  }

  #prefillTogether(units: readonly Unit[]): void {
    const sequences = this.#takeFromQueue(units);
    const groups = units.flatMap((unit, index) =>
      byTemperature(unit.members).map((group) => ({ group, index })),
    );
    const done = this.#attempt(sequences, `prefill of ${units.length} prompts`, () => {
      this.#rows.reserve(even(units.reduce((longest, { prompt }) => Math.max(longest, prompt.length), 2)));
      const firstRow = this.#rows.makeRoom(sequences.length);
      this.#decoder.prefill(
        firstRow,
        units.map(({ prompt }) => prompt),
        groups.map(({ index }) => index),
      );
      this.#prefillRuns++;
      for (const { prompt } of units) this.#promptTokens += prompt.length;
      // Units' first members take the rows that were filled; the others copy.
      for (const unit of units) this.#join(unit.members[0]!, 0);
      for (const [index, unit] of units.entries())
        for (const member of unit.members.slice(1)) this.#fork(member, firstRow + index);
    });
    if (done) this.#chooseGroups(groups.map(({ group }) => group));
  }

  /** The sequence's prompt is in row `active.length`. */
  #join(sequence: Sequence, shared: number): void {
    sequence.cached = sequence.promptLength;
    sequence.sharedPromptTokens = shared;
    this.#sharedPromptTokens += shared;
    this.#rows.activate(sequence);
  }

  #fork(sequence: Sequence, from: number): void {
    this.#decoder.cache.copyRow(from, this.#rows.active.length, sequence.promptLength);
    this.#join(sequence, sequence.promptLength);
  }

  /** A prompt whose first `start` tokens are in `unit.match.row`. */
  #prefillOne(unit: Unit, start: number): void {
    const { prompt, members, match } = unit;
    const sequences = this.#takeFromQueue([unit]);
    const groups = byTemperature(members);
    const done = this.#attempt(sequences, "prefill of a continued prompt", () => {
      this.#rows.reserve(prompt.length + 1);
      this.#rows.touch(match!);
      const row = this.#rows.makeRoom(members.length);
      this.#decoder.cache.copyRow(match!.row, row, start);
      this.#decoder.append(row, prompt.subarray(start), start, groups.length);
      this.#prefillRuns++;
      this.#promptTokens += prompt.length - start;
      this.#join(members[0]!, start);
      for (const member of members.slice(1)) this.#fork(member, row);
    });
    if (done) this.#chooseGroups(groups);
  }

  #stage(unit: Unit, start: number): void {
    this.#takeFromQueue([unit]);
    const done = this.#attempt(unit.members, "reservation of the cache", () => {
      this.#rows.reserve(unit.prompt.length + 1);
      if (unit.match) this.#rows.touch(unit.match);
      this.#rows.stage(unit.prompt, unit.match, start);
    });
    if (!done) return;
    this.#staged = unit;
    this.#stagedRanLast = false;
  }

  /** The next piece of the staged prompt. */
  #runStaged(): void {
    const unit = this.#staged!;
    const { prompt, members } = unit;
    const groups = byTemperature(members);
    const begin = this.#rows.stagedLength;
    const left = prompt.length - begin;
    const count = Math.min(left, this.#prefillTokens);
    this.#stagedRanLast = true;
    const last = begin + count === prompt.length;
    const done = this.#attempt(members, "prefill of a long prompt", () => {
      const wanted = last ? groups.length : 1;
      this.#decoder.append(this.#rows.stagedRow, prompt.subarray(begin, begin + count), begin, wanted);
      this.#prefillRuns++;
      this.#promptTokens += count;
      this.#rows.advanceStaged(begin + count);
      if (!last) return;
      this.#rows.unstage(members.length);
      this.#staged = null;
      const row = this.#rows.active.length;
      this.#join(members[0]!, startOf(unit));
      for (const member of members.slice(1)) this.#fork(member, row);
    });
    if (done && last) this.#chooseGroups(groups);
  }

  // ── Decode ──

  #decode(): void {
    this.#stagedRanLast = false;
    const { active } = this.#rows;
    const decoder = this.#decoder;
    let needed = 0;
    for (let row = 0; row < active.length; row++) {
      const sequence = active[row]!;
      decoder.tokens[row] = sequence.tokens[sequence.length - 1]!;
      decoder.lasts[row] = sequence.length - 1;
      if (sequence.length > needed) needed = sequence.length;
    }
    if (active.length === 1) {
      decoder.tokens[1] = 0;
      decoder.lasts[1] = 0;
    }
    const done = this.#attempt(active, "decode step", () => {
      this.#rows.reserve(needed);
      decoder.decode(Math.max(2, active.length));
    });
    if (!done) return;
    this.#decodeRuns++;
    for (let row = 0; row < active.length; row++) active[row]!.cached++;
    this.#choose(active, null);
  }

  /** The members of group i all draw from hidden row i. */
  #chooseGroups(groups: readonly (readonly Sequence[])[]): void {
    this.#choose(
      groups.flat(),
      groups.flatMap((group, hidden) => group.map(() => hidden)),
    );
  }

  /** Chooses a token for each sequence from hidden row `hiddenRows[i]` (ascending; null = i), then lets go of those that ended. */
  #choose(sequences: readonly Sequence[], hiddenRows: readonly number[] | null): void {
    const { chosen, ended, failures } = chooseTokens(this.#decoder, this.#chooser, sequences, hiddenRows);
    this.#sampledTokens += chosen;
    if (ended > 0 || failures) this.#letGo(sequences, failures);
  }

  /** Those that ended or failed leave their rows; then they answer. */
  #letGo(sequences: readonly Sequence[], failures: ReadonlyMap<Sequence, unknown> | null): void {
    const { active } = this.#rows;
    const leaving = sequences.filter((sequence) => sequence.stopReason || failures?.has(sequence));
    for (let row = active.length - 1; row >= 0; row--)
      if (active[row]!.stopReason || failures?.has(active[row]!)) this.#rows.release(row);
    for (const sequence of leaving)
      if (failures?.has(sequence)) this.#fail(sequence, failures.get(sequence));
      else this.#finish(sequence);
  }
}
