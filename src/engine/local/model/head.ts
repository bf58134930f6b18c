/**
 * @file The head: hidden rows → log-probs and entropies of their targets, and gradients of those → gradients of
 * hidden rows and weight. Works in chunks of rows over one buffer of at most 64 MB of logits, so that nothing of
 * size [tokens, vocabulary] is ever stored; the backward pass computes the chunk's logits again.
 */

import { TroupeError } from "../../../errors.ts";
import type { OrtBackend, OrtSession, OrtTensor } from "../ort/backend.ts";
import {
  entropyGraph,
  entropySlopeGraph,
  type HeadSize,
  headGradientGraph,
  logitsGraph,
  softmaxGraph,
} from "./head-graphs.ts";

export class HeadError extends TroupeError {}

/** Bytes of logits in memory at once, unless asked otherwise. */
export const headChunkBytes = 64 * 2 ** 20;

export interface HeadOptions extends HeadSize {
  /** The weight gets a gradient. Default true. */
  readonly trainable?: boolean;
  /** Bytes of logits in memory at once. Default 64 MB. */
  readonly chunkBytes?: number;
}

/** What the head is run on: N rows. */
export interface HeadRows {
  /** [N, D] */
  readonly hidden: OrtTensor;
  /** [V, D] */
  readonly weight: OrtTensor;
  /** [N] */
  readonly targets: Int32Array;
  /** [N] */
  readonly inverseTemperatures: Float32Array;
}

export interface HeadResult {
  /** [N] */
  readonly logprobs: Float32Array;
  /** [N] */
  readonly entropies?: Float32Array;
}

/** ∂L/∂ℓ and ∂L/∂H, [N] each. */
export interface HeadGradients {
  readonly logprobs: Float32Array;
  readonly entropies?: Float32Array;
}

/** Where gradients go. */
export interface HeadSink {
  /** [N·D], overwritten. */
  readonly hidden: Float32Array;
  /** [V, D], added to; `null` leaves the weight frozen. */
  readonly weight: OrtTensor | null;
}

interface Sessions {
  readonly logits: OrtSession;
  readonly softmax: OrtSession;
  readonly logSoftmax: OrtSession;
  readonly entropy: OrtSession;
  readonly entropySlope: OrtSession;
  readonly gradient: OrtSession;
  readonly gradientWithWeight: OrtSession | null;
}

/** What the buffer holds of a chunk. */
type Content = "probabilities" | "logarithms";

export class DecoderHead {
  readonly options: HeadOptions;
  readonly #backend: OrtBackend;
  readonly #sessions: Sessions;
  readonly #chunkRows: number;
  /** [rows · V]; grows to the largest chunk asked for. */
  #buffer = new Float32Array(0);
  /** The rows whose only chunk is in the buffer, so that a backward pass that follows need not compute it again. */
  #held: { readonly hidden: OrtTensor; readonly content: Content } | null = null;

  private constructor(backend: OrtBackend, options: HeadOptions, sessions: Sessions) {
    this.#backend = backend;
    this.options = options;
    this.#sessions = sessions;
    const bytes = options.chunkBytes ?? headChunkBytes;
    this.#chunkRows = Math.max(1, Math.floor(bytes / (4 * options.vocabularySize)));
  }

  static async create(backend: OrtBackend, options: HeadOptions): Promise<DecoderHead> {
    const { trainable = true } = options;
    const session = (model: Uint8Array) => backend.createSession(model);
    return new DecoderHead(backend, options, {
      logits: await session(logitsGraph(options)),
      softmax: await session(softmaxGraph("Softmax", options)),
      logSoftmax: await session(softmaxGraph("LogSoftmax", options)),
      entropy: await session(entropyGraph(options)),
      entropySlope: await session(entropySlopeGraph(options)),
      gradient: await session(headGradientGraph(options, "hidden")),
      gradientWithWeight: trainable ? await session(headGradientGraph(options, "hidden and weight")) : null,
    });
  }

  forward(rows: HeadRows, { entropy = false } = {}): HeadResult {
    const count = this.#check(rows);
    const logprobs = new Float32Array(count);
    const entropies = entropy ? new Float32Array(count) : null;
    this.#held = null;
    const content: Content = entropy ? "logarithms" : "probabilities";
    for (const chunk of this.#chunks(rows)) {
      this.#fill(chunk, content);
      this.#readLogprobs(chunk, content, logprobs);
      if (entropies) {
        const out = this.#backend.tensor(entropies.subarray(chunk.from, chunk.to), [chunk.count, 1]);
        this.#sessions.entropy.run([chunk.scores], [out]);
        out.dispose();
      }
      chunk.dispose();
    }
    if (count <= this.#chunkRows) this.#held = { hidden: rows.hidden, content };
    return entropies ? { logprobs, entropies } : { logprobs };
  }

  /** The weight must be as it was in `forward`, if that was run on the same `hidden`. */
  backward(rows: HeadRows, gradients: HeadGradients, sink: HeadSink): void {
    const count = this.#check(rows);
    this.#checkGradients(count, gradients, sink);
    const held = this.#held?.hidden === rows.hidden ? this.#held.content : null;
    this.#held = null;
    const content: Content = gradients.entropies ? "logarithms" : (held ?? "probabilities");
    for (const chunk of this.#chunks(rows)) {
      if (held !== content) this.#fill(chunk, content);
      this.#differentiate(chunk, content, gradients, sink);
      chunk.dispose();
    }
  }

  /** Both at once, where ∂L/∂ℓ is known beforehand: one evaluation of the logits instead of two. */
  forwardBackward(
    rows: HeadRows,
    gradients: { readonly logprobs: Float32Array },
    sink: HeadSink,
  ): HeadResult {
    const count = this.#check(rows);
    this.#checkGradients(count, gradients, sink);
    const logprobs = new Float32Array(count);
    this.#held = null;
    for (const chunk of this.#chunks(rows)) {
      this.#fill(chunk, "probabilities");
      this.#readLogprobs(chunk, "probabilities", logprobs);
      this.#differentiate(chunk, "probabilities", gradients, sink);
      chunk.dispose();
    }
    return { logprobs };
  }

  /** Forgets what `forward` left for `backward`: to be called when weights change. */
  release(): void {
    this.#held = null;
  }

  dispose(): void {
    for (const session of Object.values(this.#sessions) as (OrtSession | null)[]) session?.dispose();
    this.#buffer = new Float32Array(0);
    this.#held = null;
  }

  *#chunks(rows: HeadRows): Generator<Chunk> {
    const { hiddenSize, vocabularySize } = this.options;
    const count = rows.targets.length;
    // Equal chunks: a short last one would run the weight's accumulator through memory for little.
    const chunks = Math.ceil(count / this.#chunkRows);
    const size = Math.ceil(count / chunks);
    if (this.#buffer.length < size * vocabularySize) {
      this.#buffer = new Float32Array(size * vocabularySize);
    }
    const tensor = this.#backend.tensor.bind(this.#backend);
    const all = rows.hidden.data as Float32Array;
    for (let from = 0; from < count; from += size) {
      const to = Math.min(count, from + size);
      const n = to - from;
      const whole = n === count;
      const hidden = whole
        ? rows.hidden
        : tensor(all.subarray(from * hiddenSize, to * hiddenSize), [n, hiddenSize]);
      const scale = tensor(rows.inverseTemperatures.subarray(from, to), [n, 1]);
      const values = this.#buffer.subarray(0, n * vocabularySize);
      const scores = tensor(values, [n, vocabularySize]);
      yield {
        ...{ from, to, count: n, rows, hidden, scale, scores, values },
        dispose() {
          if (!whole) hidden.dispose();
          scale.dispose();
          scores.dispose();
        },
      };
    }
  }

  #fill({ hidden, scale, scores, rows }: Chunk, content: Content): void {
    const { logits, softmax, logSoftmax } = this.#sessions;
    logits.run([hidden, scale, rows.weight], [scores]);
    (content === "probabilities" ? softmax : logSoftmax).run([scores], [scores]);
  }

  #readLogprobs({ from, to, rows, values }: Chunk, content: Content, out: Float32Array): void {
    const { vocabularySize } = this.options;
    for (let n = from; n < to; n++) {
      const row = values.subarray((n - from) * vocabularySize, (n - from + 1) * vocabularySize);
      const value = row[rows.targets[n]!]!;
      const logprob =
        content === "logarithms" ? value : value > 1e-30 ? Math.log(value) : rareLogprob(rows, n, row);
      if (!Number.isFinite(logprob)) {
        throw new HeadError({
          code: "E_HEAD_NON_FINITE",
          message: `The log-prob of token ${rows.targets[n]} (row ${n} of ${rows.targets.length}) is ${logprob}.`,
          hint: "the weights hold non-finite or huge numbers; go back to an earlier checkpoint and lower the learning rate",
          facts: { row: n, target: rows.targets[n] },
        });
      }
      out[n] = logprob;
    }
  }

  /** Turns the buffer into A (see head-graphs.ts) and takes the products with it. */
  #differentiate(chunk: Chunk, content: Content, gradients: HeadGradients, sink: HeadSink): void {
    const { from, to, count, rows, values, scores } = chunk;
    const { hiddenSize, vocabularySize } = this.options;
    const tensor = this.#backend.tensor.bind(this.#backend);
    const column = (data: Float32Array): OrtTensor => tensor(data, [count, 1]);
    const slopes = gradients.logprobs.subarray(from, to);
    const factors = new Float32Array(count);
    if (content === "logarithms") {
      // A carries the slopes itself.
      const forLogprob = column(slopes);
      const forEntropy = column(gradients.entropies?.subarray(from, to) ?? new Float32Array(count));
      this.#sessions.entropySlope.run([scores, forLogprob, forEntropy], [scores]);
      forLogprob.dispose();
      forEntropy.dispose();
      factors.fill(-1);
    } else {
      for (let i = 0; i < count; i++) factors[i] = -slopes[i]!;
    }
    for (let i = 0; i < count; i++) {
      values[i * vocabularySize + rows.targets[from + i]!]! -= content === "logarithms" ? slopes[i]! : 1;
    }
    const factor = column(factors);
    const hiddenGradient = tensor(sink.hidden.subarray(from * hiddenSize, to * hiddenSize), [
      count,
      hiddenSize,
    ]);
    const inputs = [scores, chunk.hidden, chunk.scale, factor, rows.weight];
    if (sink.weight === null) {
      this.#sessions.gradient.run(inputs, [hiddenGradient]);
    } else {
      this.#sessions.gradientWithWeight!.run([...inputs, sink.weight], [hiddenGradient, sink.weight]);
    }
    factor.dispose();
    hiddenGradient.dispose();
  }

  #check({ hidden, weight, targets, inverseTemperatures }: HeadRows): number {
    const { hiddenSize, vocabularySize } = this.options;
    const count = targets.length;
    const expect = (name: string, actual: readonly number[], wanted: readonly number[]) => {
      if (String(actual) === String(wanted)) return;
      throw new HeadError({
        code: "E_HEAD_SHAPE",
        message: `The head's ${name} is [${actual}], not [${wanted}].`,
      });
    };
    expect("hidden", hidden.dimensions, [count, hiddenSize]);
    expect("weight", weight.dimensions, [vocabularySize, hiddenSize]);
    expect("inverseTemperatures", [inverseTemperatures.length], [count]);
    const stray = targets.findIndex((target) => target < 0 || target >= vocabularySize);
    if (stray >= 0) {
      throw new HeadError({
        code: "E_HEAD_TARGET",
        message: `Target ${stray} is token ${targets[stray]}; the vocabulary has ${vocabularySize}.`,
      });
    }
    return count;
  }

  #checkGradients(count: number, { logprobs, entropies }: HeadGradients, sink: HeadSink): void {
    const sizes = [logprobs.length, entropies?.length ?? count, sink.hidden.length / this.options.hiddenSize];
    if (sizes.some((size) => size !== count)) {
      throw new HeadError({
        code: "E_HEAD_SHAPE",
        message: `Gradients of log-probs, entropies and hidden rows have ${sizes.join(", ")} rows, not ${count}.`,
      });
    }
    if (sink.weight && !this.#sessions.gradientWithWeight) {
      throw new HeadError({
        code: "E_HEAD_FROZEN",
        message: "A gradient of the head's weight was asked for, but the head was created frozen.",
        hint: "create it with trainable: true",
      });
    }
  }
}

interface Chunk {
  readonly from: number;
  readonly to: number;
  /** to − from */
  readonly count: number;
  readonly rows: HeadRows;
  /** [count, D] */
  readonly hidden: OrtTensor;
  /** [count, 1] */
  readonly scale: OrtTensor;
  /** [count, V] over the buffer: logits, then probabilities or their logarithms, then A. */
  readonly scores: OrtTensor;
  /** The elements of `scores`. */
  readonly values: Float32Array;
  dispose(): void;
}

/**
 * The log-prob of a target whose probability underflows float32, from the row's most probable token j:
 * log p_target = z_target − z_j + log p_j, both logits taken again in float64.
 */
function rareLogprob(
  { hidden, weight, targets, inverseTemperatures }: HeadRows,
  n: number,
  row: Float32Array,
): number {
  let best = 0;
  for (let j = 1; j < row.length; j++) if (row[j]! > row[best]!) best = j;
  const size = hidden.dimensions[1]!;
  const h = hidden.data;
  const w = weight.data;
  const target = targets[n]!;
  let difference = 0;
  for (let d = 0; d < size; d++) {
    difference +=
      (h[n * size + d]! as number) * ((w[target * size + d]! as number) - (w[best * size + d]! as number));
  }
  return difference * inverseTemperatures[n]! + Math.log(row[best]!);
}
