/**
 * @file A tiny trainable policy in plain TypeScript: one row of logits for every pair of last tokens. It has true softmax
 * log-probs, true gradients and AdamW, so a training loop can be tested for learning, in milliseconds and without an
 * engine. AdamW: Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (arXiv 1711.05101).
 */

import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type {
  ForwardOptions,
  ForwardResult,
  SampleRequest,
  SampleResult,
  StepOptions,
  StepResult,
  TokenGradients,
  TrainablePolicy,
  TrainingSequence,
} from "../engine/policy.ts";
import type { PolicySpec } from "../engine/policy-spec.ts";
import { countValueHeads, type ValueHeads } from "../engine/value-heads.ts";
import { TroupeError } from "../errors.ts";
import { uniformAt } from "../random/stream.ts";
import { WordTokenizer } from "./word-tokenizer.ts";

export class TabularPolicyError extends TroupeError {}

export interface TabularPolicyOptions {
  /** Every word that prompts and outputs may use. */
  readonly words: readonly string[];
  /** Default 64. */
  readonly contextLength?: number;
  /** A value for every pair of last tokens, or so many, for methods that need value heads. Default false. */
  readonly valueHead?: ValueHeads;
}

/**
 * @example
 * const policies = { toy: tabularPolicy({ words: ["red", "blue", "pick"] }) };
 */
export function tabularPolicy(options: TabularPolicyOptions): PolicySpec<TabularPolicy> {
  const heads = countValueHeads(options.valueHead);
  return {
    kind: "tabular",
    settings: {
      words: options.words.length,
      contextLength: options.contextLength ?? 64,
      ...(heads > 0 ? { valueHead: heads === 1 ? true : heads } : {}),
    },
    open: async ({ name }) => new TabularPolicy(name, options),
  };
}

export class TabularPolicy implements TrainablePolicy {
  readonly name: string;
  readonly tokenizer: WordTokenizer;
  readonly contextLength: number;
  #version = 0;
  /** [V · V, V] logits of the next token after a pair; then [V · V, K] values of the pairs, with K value heads. */
  readonly #table: Float32Array;
  /** Where the values begin. */
  readonly #valuesAt: number;
  /** K; 0 without a value head. */
  readonly #heads: number;
  readonly #gradient: Float32Array;
  readonly #first: Float32Array;
  readonly #second: Float32Array;
  readonly #probabilities: Float64Array;

  constructor(name: string, { words, contextLength = 64, valueHead = false }: TabularPolicyOptions) {
    this.name = name;
    this.tokenizer = new WordTokenizer(words);
    this.contextLength = contextLength;
    const { vocabularySize } = this.tokenizer;
    const logits = vocabularySize ** 3;
    this.#heads = countValueHeads(valueHead);
    this.#valuesAt = logits;
    const size = logits + vocabularySize ** 2 * this.#heads;
    this.#table = new Float32Array(size);
    this.#gradient = new Float32Array(size);
    this.#first = new Float32Array(size);
    this.#second = new Float32Array(size);
    this.#probabilities = new Float64Array(this.tokenizer.vocabularySize);
  }

  get version(): number {
    return this.#version;
  }

  get parameterCount(): number {
    return this.#table.length;
  }

  async sample(request: SampleRequest): Promise<SampleResult> {
    request.signal?.throwIfAborted();
    const temperature = request.sampling?.temperature ?? 1;
    this.#refuseFilters(request);
    const tokens = Array.from(request.prompt);
    const logprobs: number[] = [];
    const plain: number[] = [];
    let stopReason: SampleResult["stopReason"] = "length";
    for (let i = 0; i < request.maxTokens; i++) {
      if (tokens.length >= this.contextLength) {
        stopReason = "context";
        break;
      }
      const row = this.#row(tokens, tokens.length);
      const plainLog = this.#softmax(row, 1);
      const token = temperature === 0 ? argmax(this.#probabilities) : undefined;
      const plainOf = (chosen: number) => this.#table[row + chosen]! - plainLog;
      if (token !== undefined) {
        tokens.push(token);
        logprobs.push(0);
        plain.push(plainOf(token));
      } else {
        const log = this.#softmax(row, temperature);
        const drawn = pick(this.#probabilities, uniformAt(request.key, i));
        tokens.push(drawn);
        logprobs.push(this.#table[row + drawn]! / temperature - log);
        plain.push(plainOf(drawn));
      }
      if (tokens.at(-1) === 0) {
        stopReason = "end";
        break;
      }
      const text = this.tokenizer.decode(tokens.slice(request.prompt.length));
      if (request.stop?.some((stop) => text.includes(stop)) === true) {
        stopReason = "stop";
        break;
      }
    }
    const output = Int32Array.from(tokens.slice(request.prompt.length));
    let text = this.tokenizer.decode(output);
    for (const stop of request.stop ?? []) text = text.split(stop)[0]!;
    return {
      tokens: output,
      logprobs: Float32Array.from(logprobs),
      plainLogprobs: Float32Array.from(plain),
      text: text.trim(),
      stopReason,
      version: this.#version,
      sharedPromptTokens: 0,
    };
  }

  async forward(batch: readonly TrainingSequence[], options: ForwardOptions = {}): Promise<ForwardResult> {
    const logprobs: number[] = [];
    const entropies: number[] = [];
    const values: number[] = [];
    const heads = this.#heads;
    const wantsValues = options.values === true && heads > 0;
    this.#eachScored(batch, (sequence, i, row, temperature) => {
      if (wantsValues) values.push(...this.#table.subarray(this.#valueOf(row), this.#valueOf(row) + heads));
      const log = this.#softmax(row, temperature);
      logprobs.push(this.#table[row + sequence.tokens[i]!]! / temperature - log);
      entropies.push(this.#entropy());
    });
    return {
      logprobs: Float32Array.from(logprobs),
      ...(options.entropy === true ? { entropies: Float32Array.from(entropies) } : {}),
      ...(wantsValues ? { values: Float32Array.from(values) } : {}),
    };
  }

  async backward(batch: readonly TrainingSequence[], gradients: TokenGradients): Promise<void> {
    const { logprobs, entropies, values } = gradients;
    const heads = this.#heads;
    this.#checkShapes(batch, gradients);
    let scored = 0;
    // ∂L/∂z_j = (g·(1[j = y] − p_j) − h·p_j·(log p_j + H)) / τ
    this.#eachScored(batch, (sequence, i, row, temperature) => {
      this.#softmax(row, temperature);
      const g = logprobs[scored]!;
      const h = entropies?.[scored] ?? 0;
      const entropy = h === 0 ? 0 : this.#entropy();
      const target = sequence.tokens[i]!;
      for (let j = 0; j < this.#probabilities.length; j++) {
        const p = this.#probabilities[j]!;
        const shape = h === 0 ? 0 : h * p * (Math.log(p) + entropy);
        this.#gradient[row + j]! += (g * ((j === target ? 1 : 0) - p) - shape) / temperature;
      }
      for (let k = 0; values !== undefined && k < heads; k++)
        this.#gradient[this.#valueOf(row) + k]! += values[scored * heads + k]!;
      scored++;
    });
  }

  #checkShapes(batch: readonly TrainingSequence[], gradients: TokenGradients): void {
    let scored = 0;
    this.#eachScored(batch, () => scored++);
    for (const [array, found] of Object.entries(gradients) as [string, Float32Array | undefined][]) {
      const wanted = array === "values" ? scored * this.#heads : scored;
      if (found === undefined || found.length === wanted) continue;
      const heads = array === "values" ? ` and ${this.#heads} value heads` : "";
      throw new TabularPolicyError({
        code: "E_GRADIENT_SHAPE",
        message: `Policy "${this.name}" was given ${found.length} gradients of ${array} for ${scored} scored tokens${heads}.`,
      });
    }
  }

  async step(options: StepOptions): Promise<StepResult> {
    const { learningRate, betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0, maxGradientNorm } = options;
    let squares = 0;
    for (const value of this.#gradient) squares += value * value;
    const gradientNorm = Math.sqrt(squares);
    if (!Number.isFinite(gradientNorm)) {
      throw new TabularPolicyError({
        code: "E_GRADIENT_NOT_FINITE",
        message: `The gradient of policy "${this.name}" has norm ${gradientNorm}.`,
      });
    }
    const clipped = maxGradientNorm !== undefined && gradientNorm > maxGradientNorm;
    const scale = clipped ? maxGradientNorm / gradientNorm : 1;
    const time = this.#version + 1;
    for (let i = 0; i < this.#table.length; i++) {
      const g = this.#gradient[i]! * scale;
      this.#first[i] = betas[0] * this.#first[i]! + (1 - betas[0]) * g;
      this.#second[i] = betas[1] * this.#second[i]! + (1 - betas[1]) * g * g;
      const first = this.#first[i]! / (1 - betas[0] ** time);
      const second = this.#second[i]! / (1 - betas[1] ** time);
      const weight = this.#table[i]!;
      this.#table[i] = weight - learningRate * (first / (Math.sqrt(second) + epsilon) + weightDecay * weight);
    }
    this.#gradient.fill(0);
    this.#version = time;
    return { gradientNorm, clipped, version: time };
  }

  async clearGradients(): Promise<void> {
    this.#gradient.fill(0);
  }

  async save(folder: string, { optimizer = false }: { readonly optimizer?: boolean } = {}): Promise<void> {
    const partial = `${folder}.partial`;
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    await writeFile(
      join(partial, "tabular.json"),
      JSON.stringify({ words: this.tokenizer.words.slice(2), version: this.#version }),
    );
    await writeFile(join(partial, "table.f32"), this.#table);
    if (optimizer) {
      await writeFile(join(partial, "first.f32"), this.#first);
      await writeFile(join(partial, "second.f32"), this.#second);
    }
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
  }

  async restore(folder: string): Promise<void> {
    const load = async (name: string, into: Float32Array) => {
      const bytes = await readFile(join(folder, name));
      if (bytes.length !== into.byteLength) {
        throw new TabularPolicyError({
          code: "E_TABULAR_CHECKPOINT",
          message: `${join(folder, name)} has ${bytes.length / 4} numbers; policy "${this.name}" has ${into.length}.`,
          hint: "restore into a policy with the same words and as many value heads.",
        });
      }
      into.set(new Float32Array(bytes.buffer, bytes.byteOffset, into.length));
    };
    await load("table.f32", this.#table);
    if (existsSync(join(folder, "first.f32"))) {
      await load("first.f32", this.#first);
      await load("second.f32", this.#second);
    }
    this.#version = (
      JSON.parse(await readFile(join(folder, "tabular.json"), "utf8")) as { version: number }
    ).version;
  }

  async close(): Promise<void> {}

  /** Place of the first value of the pair whose logits begin at `row`. */
  #valueOf(row: number): number {
    return this.#valuesAt + (row / this.tokenizer.vocabularySize) * this.#heads;
  }

  /** Offset of the logits that follow the first `length` tokens. */
  #row(tokens: ArrayLike<number>, length: number): number {
    const size = this.tokenizer.vocabularySize;
    const last = tokens[length - 1]!;
    const before = length > 1 ? tokens[length - 2]! : 0;
    return (before * size + last) * size;
  }

  /** Fills the probabilities of a row; returns log Σ e^{z/τ}. */
  #softmax(row: number, temperature: number): number {
    const size = this.#probabilities.length;
    let largest = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < size; j++) largest = Math.max(largest, this.#table[row + j]! / temperature);
    let sum = 0;
    for (let j = 0; j < size; j++) {
      const e = Math.exp(this.#table[row + j]! / temperature - largest);
      this.#probabilities[j] = e;
      sum += e;
    }
    for (let j = 0; j < size; j++) this.#probabilities[j]! /= sum;
    return largest + Math.log(sum);
  }

  #entropy(): number {
    let entropy = 0;
    for (const p of this.#probabilities) if (p > 0) entropy -= p * Math.log(p);
    return entropy;
  }

  #eachScored(
    batch: readonly TrainingSequence[],
    visit: (sequence: TrainingSequence, i: number, row: number, temperature: number) => void,
  ): void {
    for (const sequence of batch) {
      for (let i = 1; i < sequence.tokens.length; i++) {
        if (sequence.mask[i] === 1)
          visit(sequence, i, this.#row(sequence.tokens, i), sequence.temperature ?? 1);
      }
    }
  }

  #refuseFilters({ sampling = {}, allowedTokens }: SampleRequest): void {
    const asked = Object.keys(sampling).filter((name) => name !== "temperature");
    if (allowedTokens !== undefined) asked.push("allowedTokens");
    if (asked.length === 0) return;
    throw new TabularPolicyError({
      code: "E_TABULAR_SAMPLING",
      message: `Policy "${this.name}" is tabular and knows only \`temperature\`, not ${asked.join(", ")}.`,
    });
  }
}

function argmax(values: Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

function pick(probabilities: Float64Array, uniform: number): number {
  let left = uniform;
  for (let i = 0; i < probabilities.length; i++) {
    left -= probabilities[i]!;
    if (left < 0) return i;
  }
  return probabilities.length - 1;
}
