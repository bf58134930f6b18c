/**
 * @file Runs of the decode graphs over rows of the key/value cache. It knows tokens, rows and positions, and
 * nothing of requests. Tensors and input lists are made once per batch size, so a decode step allocates nothing.
 */

import type { DecoderConfig } from "../model/config.ts";
import { bodyInputs, decodeBodyGraph, decodeHeadGraph, samplingBlock } from "../model/decode-graph.ts";
import { headName, type LoraSettings } from "../model/parameters.ts";
import { type RotaryTable, rotaryTable } from "../model/rotary.ts";
import type { FlatTensors } from "../model/weights.ts";
import type { OrtBackend, OrtSession, OrtTensor } from "../ort/backend.ts";
import { KeyValueCache } from "./kv-cache.ts";

export interface DecodeSessionOptions {
  readonly config: DecoderConfig;
  readonly lora?: LoraSettings;
  /** Kernel threads of the backend. */
  readonly threads: number;
}

/** The compiled graphs. They hold no weights: several samplers of one shape may share them. */
export class DecodeSessions {
  readonly backend: OrtBackend;
  readonly config: DecoderConfig;
  readonly body: OrtSession;
  /** Hidden rows → probabilities, block sums. */
  readonly plainHead: OrtSession;
  /** Hidden rows → logits, probabilities, probabilities at each row's temperature, block sums of the latter. */
  readonly fullHead: OrtSession;
  readonly weightNames: readonly string[];
  readonly adapterNames: readonly string[];

  private constructor(
    backend: OrtBackend,
    config: DecoderConfig,
    sessions: readonly [OrtSession, OrtSession, OrtSession],
    weightNames: readonly string[],
    adapterNames: readonly string[],
  ) {
    this.backend = backend;
    this.config = config;
    [this.body, this.plainHead, this.fullHead] = sessions;
    this.weightNames = weightNames;
    this.adapterNames = adapterNames;
  }

  static async create(backend: OrtBackend, options: DecodeSessionOptions): Promise<DecodeSessions> {
    const { config, threads } = options;
    const graph = decodeBodyGraph(options);
    const sessions = [
      await backend.createSession(graph.model),
      await backend.createSession(decodeHeadGraph(config, "plain", threads)),
      await backend.createSession(decodeHeadGraph(config, "full", threads)),
    ] as const;
    return new DecodeSessions(backend, config, sessions, graph.weights, graph.adapter);
  }

  dispose(): void {
    for (const session of [this.body, this.plainHead, this.fullHead]) session.dispose();
  }
}

/** Inputs and outputs of one run, and the tensors to dispose with it. */
interface Binding {
  readonly session: OrtSession;
  readonly inputs: readonly OrtTensor[];
  readonly outputs: readonly OrtTensor[];
  readonly owned: readonly OrtTensor[];
}

/** Rows of a head run: `count` hidden rows from `first`, written to rows 0… of the distribution arrays. */
export interface HeadChunk {
  readonly first: number;
  readonly count: number;
}

/** Elements of a distribution array: bounds memory where the vocabulary is large. */
const headElements = 16 * 2 ** 20;

export class Decoder {
  readonly cache: KeyValueCache;
  /** Set before {@link decode}: the token that each row feeds, and its position. [rows] */
  readonly tokens: Int32Array;
  readonly lasts: Int32Array;
  /** Set before {@link runHead} of the full head. [rows] */
  readonly inverseTemperatures: Float32Array;
  /** Results of {@link runHead}: [chunk, V] each, and [chunk, V / block]. */
  readonly logits: Float32Array;
  readonly probabilities: Float32Array;
  readonly sampledProbabilities: Float32Array;
  readonly blockSums: Float32Array;

  readonly #sessions: DecodeSessions;
  readonly #weights: readonly OrtTensor[];
  readonly #head: OrtTensor;
  /** Low words of int64 positions. */
  readonly #positions: BigInt64Array;
  readonly #positionWords: Int32Array;
  readonly #total = new Int32Array(1);
  readonly #everyRow: Int32Array;
  readonly #hidden: Float32Array;
  readonly #chunkRows: number;
  readonly #decodeBindings = new Map<number, Binding>();
  readonly #headBindings = new Map<string, Binding>();
  readonly #chunks = new Map<number, readonly HeadChunk[]>();
  #table: RotaryTable | null = null;
  #tableTensors: readonly OrtTensor[] = [];

  /** `rows` sequences at once, each of at most `longest` tokens. */
  constructor(
    sessions: DecodeSessions,
    weights: FlatTensors,
    adapter: FlatTensors | null,
    rows: number,
    longest: number,
  ) {
    const { backend, config } = sessions;
    const vocabulary = config.vocabularySize;
    this.#sessions = sessions;
    this.#weights = [
      ...sessions.weightNames.map((name) => weights.tensor(name)),
      ...sessions.adapterNames.map((name) => adapter!.tensor(name)),
    ];
    this.#head = weights.tensor(headName(config));
    this.cache = new KeyValueCache(backend, config, rows, longest);
    this.tokens = new Int32Array(rows);
    this.lasts = new Int32Array(rows);
    this.inverseTemperatures = new Float32Array(rows).fill(1);
    this.#positions = new BigInt64Array(rows);
    this.#positionWords = new Int32Array(this.#positions.buffer);
    this.#everyRow = Int32Array.from({ length: rows }, (_, row) => row);
    this.#hidden = new Float32Array(rows * config.hiddenSize);
    this.#chunkRows = Math.min(rows, Math.max(2, Math.floor(headElements / vocabulary)));
    const row = this.#chunkRows * vocabulary;
    this.logits = new Float32Array(row);
    this.probabilities = new Float32Array(row);
    this.sampledProbabilities = new Float32Array(row);
    const block = samplingBlock(vocabulary);
    this.blockSums = new Float32Array(block > 0 ? row / block : 0);
  }

  /** Room for `needed` tokens a row; keeps `lengths[row]` tokens of each. */
  reserve(needed: number, lengths: ArrayLike<number>): void {
    if (!this.cache.reserve(needed, lengths)) return;
    for (const binding of this.#decodeBindings.values()) disposeAll(binding.owned);
    this.#decodeBindings.clear();
    disposeAll(this.#tableTensors);
    const { backend, config } = this.#sessions;
    this.#table = rotaryTable(config.rope, this.cache.capacity);
    const shape = [this.#table.length, config.headSize / 2];
    this.#tableTensors = [
      backend.tensor(this.#table.cosines, shape),
      backend.tensor(this.#table.sines, shape),
    ];
  }

  /**
   * Runs prompts, each from its first token, into rows `firstRow`…, right-padded to one length. Hidden row i is that
   * of the last token of prompt `wanted[i]`. There is room for them: see {@link reserve}.
   */
  prefill(firstRow: number, prompts: readonly Int32Array[], wanted: readonly number[]): void {
    const rows = prompts.length;
    const width = even(prompts.reduce((longest, prompt) => Math.max(longest, prompt.length), 2));
    const tokens = new Int32Array(rows * width);
    const lasts = new Int32Array(rows);
    for (const [row, prompt] of prompts.entries()) {
      tokens.set(prompt, row * width);
      lasts[row] = prompt.length - 1;
    }
    const selected = atLeastTwo(wanted.map((row) => row * width + lasts[row]!));
    this.#runOnce(firstRow, rows, width, 0, width, { tokens, lasts, selected });
  }

  /**
   * Runs `tokens` at positions `start`… of one row, whose earlier positions are filled. Hidden rows 0 to `wanted`
   * are all that of the last token.
   */
  append(row: number, tokens: Int32Array, start: number, wanted: number): void {
    // A padded token's keys and values are overwritten before anything attends to them.
    const width = even(tokens.length);
    const padded = new Int32Array(width);
    padded.set(tokens);
    const parts = {
      tokens: padded,
      lasts: Int32Array.of(start + width - 1),
      selected: atLeastTwo(Array.from({ length: wanted }, () => tokens.length - 1)),
    };
    this.#runOnce(row, 1, width, start, start + width, parts);
  }

  #runOnce(
    firstRow: number,
    rows: number,
    width: number,
    start: number,
    total: number,
    parts: { readonly tokens: Int32Array; readonly lasts: Int32Array; readonly selected: Int32Array },
  ): void {
    const { backend, config } = this.#sessions;
    const positions = new BigInt64Array(rows * width);
    const words = new Int32Array(positions.buffer);
    for (let i = 0; i < rows * width; i++) words[2 * i] = start + (i % width);
    const count = parts.selected.length;
    const hidden = this.#hidden.subarray(0, count * config.hiddenSize);
    const binding = this.#bodyBinding(firstRow, rows, {
      tokens: backend.tensor(parts.tokens, [rows * width]),
      positions: backend.tensor(positions, [rows, width]),
      last: backend.tensor(parts.lasts, [rows]),
      total: backend.tensor(Int32Array.of(total), [1]),
      selected: backend.tensor(parts.selected, [count]),
      shape: backend.tensor(BigInt64Array.of(BigInt(rows), BigInt(width), -1n), [3]),
      hidden: backend.tensor(hidden, [count, config.hiddenSize]),
    });
    try {
      binding.session.run(binding.inputs, binding.outputs);
    } finally {
      disposeAll(binding.owned);
    }
  }

  /** Feeds `tokens[row]` at position `lasts[row]` for rows 0 to `rows` (≥ 2). Hidden row i is that of row i. */
  decode(rows: number): void {
    let binding = this.#decodeBindings.get(rows);
    if (!binding) {
      const { backend, config } = this.#sessions;
      binding = this.#bodyBinding(0, rows, {
        tokens: backend.tensor(this.tokens.subarray(0, rows), [rows]),
        positions: backend.tensor(this.#positions.subarray(0, rows), [rows, 1]),
        last: backend.tensor(this.lasts.subarray(0, rows), [rows]),
        total: backend.tensor(this.#total, [1]),
        selected: backend.tensor(this.#everyRow.subarray(0, rows), [rows]),
        shape: backend.tensor(BigInt64Array.of(BigInt(rows), 1n, -1n), [3]),
        hidden: backend.tensor(this.#hidden.subarray(0, rows * config.hiddenSize), [rows, config.hiddenSize]),
      });
      this.#decodeBindings.set(rows, binding);
    }
    let longest = 0;
    for (let row = 0; row < rows; row++) {
      const last = this.lasts[row]!;
      this.#positionWords[2 * row] = last;
      if (last > longest) longest = last;
    }
    this.#total[0] = longest + 1;
    binding.session.run(binding.inputs, binding.outputs);
  }

  #bodyBinding(
    firstRow: number,
    rows: number,
    own: Readonly<
      Record<"tokens" | "positions" | "last" | "total" | "selected" | "shape" | "hidden", OrtTensor>
    >,
  ): Binding {
    const [cos, sin] = this.#tableTensors as [OrtTensor, OrtTensor];
    const named: Readonly<Record<(typeof bodyInputs)[number], OrtTensor>> = { ...own, cos, sin };
    const cache = this.cache.tensors(firstRow, rows);
    return {
      session: this.#sessions.body,
      inputs: [...bodyInputs.map((name) => named[name]), ...cache, ...this.#weights],
      outputs: [own.hidden, ...cache],
      owned: [...Object.values(own), ...cache],
    };
  }

  /** How the hidden rows 0 to `count` are divided into head runs; each has at least two rows. */
  headChunks(count: number): readonly HeadChunk[] {
    let chunks = this.#chunks.get(count);
    if (!chunks) {
      const made: HeadChunk[] = [];
      const padded = Math.max(2, count);
      for (let first = 0; first < padded; first += this.#chunkRows) {
        // A last chunk of one row starts one row earlier: one row alone would take another kernel.
        const start = padded - first === 1 ? first - 1 : first;
        made.push({ first: start, count: Math.min(this.#chunkRows, padded - start) });
      }
      chunks = made;
      this.#chunks.set(count, chunks);
    }
    return chunks;
  }

  /** Distributions of one chunk's hidden rows. The plain head fills `probabilities` and `blockSums` only. */
  runHead({ first, count }: HeadChunk, kind: "plain" | "full"): void {
    const name = `${kind} ${first} ${count}`;
    let binding = this.#headBindings.get(name);
    if (!binding) {
      binding = this.#headBinding(first, count, kind);
      this.#headBindings.set(name, binding);
    }
    binding.session.run(binding.inputs, binding.outputs);
  }

  #headBinding(first: number, count: number, kind: "plain" | "full"): Binding {
    const { backend, config, plainHead, fullHead } = this.#sessions;
    const { hiddenSize, vocabularySize } = config;
    const hidden = backend.tensor(this.#hidden.subarray(first * hiddenSize, (first + count) * hiddenSize), [
      count,
      hiddenSize,
    ]);
    const matrix = (array: Float32Array) =>
      backend.tensor(array.subarray(0, count * vocabularySize), [count, vocabularySize]);
    const block = samplingBlock(vocabularySize);
    const blocks = block > 0 ? vocabularySize / block : 0;
    const sums =
      blocks > 0 ? [backend.tensor(this.blockSums.subarray(0, count * blocks), [count, blocks])] : [];
    if (kind === "plain") {
      const outputs = [matrix(this.probabilities), ...sums];
      return {
        session: plainHead,
        inputs: [hidden, this.#head],
        outputs,
        owned: [hidden, ...outputs],
      };
    }
    const inverse = backend.tensor(this.inverseTemperatures.subarray(first, first + count), [count, 1]);
    const outputs = [
      matrix(this.logits),
      matrix(this.probabilities),
      matrix(this.sampledProbabilities),
      ...sums,
    ];
    return {
      session: fullHead,
      inputs: [hidden, this.#head, inverse],
      outputs,
      owned: [hidden, inverse, ...outputs],
    };
  }

  dispose(): void {
    for (const bindings of [this.#decodeBindings, this.#headBindings]) {
      for (const binding of bindings.values()) disposeAll(binding.owned);
      bindings.clear();
    }
    disposeAll(this.#tableTensors);
    this.#tableTensors = [];
  }
}

/** The next even number: prefill runs have even widths (see decode-graph.ts on batch invariance). */
export const even = (length: number): number => length + (length % 2);

function atLeastTwo(positions: readonly number[]): Int32Array {
  return Int32Array.from(positions.length === 1 ? [positions[0]!, positions[0]!] : positions);
}

function disposeAll(tensors: readonly OrtTensor[]): void {
  for (const tensor of tensors) tensor.dispose();
}
