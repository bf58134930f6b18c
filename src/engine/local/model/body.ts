/**
 * @file The body of a decoder, forward and backward: packed token ids → hidden rows after the final norm at the
 * scored positions, and the gradient of those rows → gradients of all weights, added in place.
 * Embedding, layers and final norm are graphs of their own; sessions have no fixed shapes, so one set serves all
 * microbatches. Turning hidden rows into log-probs and losses is the head's work, not done here.
 */

import { TroupeError } from "../../../errors.ts";
import { GraphBuilder } from "../graph/graph-builder.ts";
import { gatherDistinctRows, rmsNorm } from "../graph/operations.ts";
import { type BuiltGraph, type Port, Tape } from "../graph/tape.ts";
import type { OrtBackend, OrtSession, OrtTensor } from "../ort/backend.ts";
import { attentionMask } from "./attention-mask.ts";
import type { DecoderConfig } from "./config.ts";
import { layerTape, savedProducts } from "./decoder-layer.ts";
import type { PackedRows } from "./packed.ts";
import { embeddingName, finalNormName, type LoraSettings, layerPrefix } from "./parameters.ts";
import { type RotaryTable, rotaryTable } from "./rotary.ts";
import type { FlatTensors } from "./weights.ts";

export class BodyError extends TroupeError {}

export interface BodyOptions {
  /** `full`: every weight gets a gradient. `frozen-base`: only the adapter does. */
  readonly trainable: "full" | "frozen-base";
  readonly lora?: LoraSettings;
}

/** What `forward` leaves for `backward`. One backward pass consumes it. */
export interface BodyActivations {
  /** [N, D] after the final norm. Alive until `dispose`. */
  readonly hidden: OrtTensor;
  /** Frees everything; harmless when repeated. */
  dispose(): void;
}

/** A session and what each of its inputs and outputs is. */
interface Program {
  readonly session: OrtSession;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

interface Differentiated {
  /** Saves what `backward` needs. */
  readonly forward: Program;
  readonly backward: Program;
}

export class DecoderBody {
  readonly config: DecoderConfig;
  readonly options: BodyOptions;
  readonly #backend: OrtBackend;
  readonly #embed: Program;
  /** Forward without a backward pass: nothing is saved. */
  readonly #plainLayer: Program;
  readonly #layer: Differentiated | null;
  readonly #final: { readonly forward: Program; readonly backward: Program | null };
  #table: RotaryTable | null = null;

  private constructor(
    backend: OrtBackend,
    config: DecoderConfig,
    options: BodyOptions,
    programs: {
      embed: Program;
      plainLayer: Program;
      layer: Differentiated | null;
      final: { readonly forward: Program; readonly backward: Program | null };
    },
  ) {
    this.#backend = backend;
    this.config = config;
    this.options = options;
    this.#embed = programs.embed;
    this.#plainLayer = programs.plainLayer;
    this.#layer = programs.layer;
    this.#final = programs.final;
  }

  static async create(
    backend: OrtBackend,
    config: DecoderConfig,
    options: BodyOptions,
  ): Promise<DecoderBody> {
    if (config.headSize % 2 !== 0) {
      throw new BodyError({
        code: "E_BODY_HEAD_SIZE",
        message: `The model's head size is ${config.headSize}; the rotary embedding needs an even one.`,
      });
    }
    if (options.trainable === "full" && options.lora) {
      throw new BodyError({
        code: "E_BODY_OPTIONS",
        message: "A body cannot train both its base and an adapter: their gradients lie in different tables.",
        hint: 'use trainable: "frozen-base" with lora, or "full" without',
      });
    }
    const program = async ({ model, inputs, outputs }: BuiltGraph): Promise<Program> => ({
      session: await backend.createSession(model),
      inputs,
      outputs,
    });
    const lora = options.lora ?? null;
    const trainable = options.trainable === "full";
    const saving = layerTape(config, { trainable, lora, saved: savedProducts(config) }).build();
    const final = finalTape(config, trainable, trainable || lora !== null).build();
    return new DecoderBody(backend, config, options, {
      embed: await program(embeddingGraph(config)),
      plainLayer: await program(layerTape(config, { trainable: false, lora, saved: [] }).build().forward),
      layer: saving.backward && {
        forward: await program(saving.forward),
        backward: await program(saving.backward),
      },
      final: {
        forward: await program(final.forward),
        backward: final.backward && (await program(final.backward)),
      },
    });
  }

  /** Forward for a backward pass to follow. */
  forward(weights: FlatTensors, adapter: FlatTensors | null, packed: PackedRows): Activations {
    return this.#run(weights, adapter, packed, true);
  }

  /** Forward only: [N, D] after the final norm, which the caller disposes. Nothing else is kept. */
  hidden(weights: FlatTensors, adapter: FlatTensors | null, packed: PackedRows): OrtTensor {
    const activations = this.#run(weights, adapter, packed, false);
    const hidden = activations.takeHidden();
    activations.dispose();
    return hidden;
  }

  /**
   * Adds the gradients to `gradients` (of the model's table, or the adapter's where the base is frozen), given that
   * of `activations.hidden`, [N, D]. The saved tensors are freed layer by layer on the way.
   */
  backward(
    weights: FlatTensors,
    adapter: FlatTensors | null,
    activations: BodyActivations,
    dHidden: OrtTensor | Float32Array,
    gradients: FlatTensors,
  ): void {
    if (!(activations instanceof Activations) || activations.consumed) {
      throw new BodyError({
        code: "E_BODY_ACTIVATIONS",
        message: "These activations were already used for a backward pass or disposed.",
        hint: "run forward() again; each backward pass consumes the activations of one forward pass",
      });
    }
    const layer = this.#layer;
    const final = this.#final.backward;
    if (layer === null || final === null) {
      throw new BodyError({
        code: "E_BODY_FROZEN",
        message: "This body has nothing to train: its base is frozen and it has no adapter.",
        hint: 'create it with trainable: "full" or with lora settings',
      });
    }
    const { pass, packed, layerInputs, saved } = activations;
    const count = packed.sources.length;
    const own =
      dHidden instanceof Float32Array ? this.#backend.tensor(dHidden, [count, this.config.hiddenSize]) : null;
    const gradientOf = (name: string): OrtTensor => gradients.tensor(name);

    let flowing = this.#runBackward(final, {
      input: (name) => (name === "x" ? activations.last : pass.get(name)!),
      parameter: (name) => weights.tensor(name),
      saved: () => missing("saved tensor of the final norm"),
      outputGradient: own ?? (dHidden as OrtTensor),
      gradient: gradientOf,
    });
    own?.dispose();
    activations.releaseLast();
    for (let index = this.config.layers - 1; index >= 0; index--) {
      const prefix = layerPrefix(index);
      const kept = saved[index]!;
      const next = this.#runBackward(layer.backward, {
        input: (name) => (name === "x" ? layerInputs[index]! : pass.get(name)!),
        parameter: (name) => parameterOf(weights, adapter, prefix + name),
        saved: (name) => kept.get(name)!,
        outputGradient: flowing,
        gradient: (name) => gradientOf(prefix + name),
      });
      flowing.dispose();
      flowing = next;
      activations.releaseLayer(index);
    }
    if (this.options.trainable === "full") {
      addRows(
        gradients.view(embeddingName),
        packed.tokens,
        flowing.data as Float32Array,
        this.config.hiddenSize,
      );
    }
    flowing.dispose();
    activations.consumed = true;
  }

  dispose(): void {
    const programs = [
      this.#embed,
      this.#plainLayer,
      this.#layer?.forward,
      this.#layer?.backward,
      this.#final.forward,
      this.#final.backward,
    ];
    for (const program of programs) program?.session.dispose();
  }

  #run(weights: FlatTensors, adapter: FlatTensors | null, packed: PackedRows, save: boolean): Activations {
    if ((adapter !== null) !== (this.options.lora !== undefined)) {
      throw new BodyError({
        code: "E_BODY_ADAPTER",
        message: adapter
          ? "An adapter was given to a body that was created without lora settings."
          : "This body was created with lora settings, but no adapter was given.",
        hint: "give both or neither",
      });
    }
    const pass = this.#passInputs(packed);
    const tokens = this.#backend.tensor(packed.tokens, [packed.tokens.length]);
    let x = this.#embed.session.run([weights.tensor(embeddingName), tokens], [null])[0]!;
    tokens.dispose();

    const { forward } = (save && this.#layer) || { forward: this.#plainLayer };
    const layerInputs: OrtTensor[] = [];
    const saved: Map<string, OrtTensor>[] = [];
    for (let index = 0; index < this.config.layers; index++) {
      const prefix = layerPrefix(index);
      const outputs = forward.session.run(
        forward.inputs.map(({ role, name }) =>
          role === "parameter"
            ? parameterOf(weights, adapter, prefix + name)
            : name === "x"
              ? x
              : pass.get(name)!,
        ),
        forward.outputs.map(() => null),
      );
      if (save) {
        layerInputs.push(x);
        saved.push(new Map(forward.outputs.slice(1).map(({ name }, i) => [name, outputs[i + 1]!])));
      } else {
        x.dispose();
      }
      x = outputs[0]!;
    }
    const final = this.#final.forward;
    const hidden = final.session.run(
      final.inputs.map(({ role, name }) =>
        role === "parameter" ? weights.tensor(name) : name === "x" ? x : pass.get(name)!,
      ),
      [null],
    )[0]!;
    return new Activations({ packed, pass, layerInputs, saved, last: x, hidden });
  }

  /** What every layer reads besides its own input: made once a pass. */
  #passInputs(packed: PackedRows): Map<string, OrtTensor> {
    const { rows, width, positions, sources, inverse } = packed;
    this.#check(packed);
    // int64 as two int32 words, low first: no BigInt per token. ONNX Runtime exists for little-endian machines only.
    const words = new Int32Array(rows * width * 2);
    let longest = width;
    for (let i = 0; i < positions.length; i++) {
      words[2 * i] = positions[i]!;
      longest = Math.max(longest, positions[i]! + 1);
    }
    if (this.#table === null || this.#table.length < longest) {
      this.#table = rotaryTable(this.config.rope, 2 ** Math.ceil(Math.log2(longest)));
    }
    const { length, cosines, sines, negatedSines } = this.#table;
    const table = [length, this.config.headSize / 2];
    const tensor = this.#backend.tensor.bind(this.#backend);
    return new Map([
      ["positions", tensor(new BigInt64Array(words.buffer), [rows, width])],
      ["mask", tensor(attentionMask(packed), [rows, 1, width, width])],
      ["cosines", tensor(cosines, table)],
      ["sines", tensor(sines, table)],
      ["negatedSines", tensor(negatedSines, table)],
      ["sources", tensor(sources, [sources.length])],
      ["inverse", tensor(inverse, [inverse.length])],
    ]);
  }

  /** Gathers clamp or wrap silently; so bad indices are refused here. */
  #check({ rows, width, tokens, positions, end, sources, inverse }: PackedRows): void {
    const { vocabularySize, contextLength } = this.config;
    const size = rows * width;
    const fail = (code: string, message: string, hint?: string): never => {
      throw new BodyError({ code, message, ...(hint === undefined ? {} : { hint }) });
    };
    for (const [name, array] of Object.entries({ tokens, positions, end, inverse })) {
      if (array.length !== size) {
        fail(
          "E_BODY_SHAPE",
          `Packed rows: "${name}" has ${array.length} elements, not ${rows} × ${width} = ${size}.`,
        );
      }
    }
    if (sources.length === 0 || size === 0) fail("E_BODY_EMPTY", "Packed rows without a scored position.");
    for (let i = 0; i < size; i++) {
      const where = `row ${Math.floor(i / width)}, column ${i % width}`;
      if (tokens[i]! < 0 || tokens[i]! >= vocabularySize) {
        fail(
          "E_BODY_TOKEN",
          `Token id ${tokens[i]} at ${where} is outside the vocabulary of ${vocabularySize}.`,
        );
      }
      if (positions[i]! < 0 || positions[i]! >= contextLength) {
        fail(
          "E_BODY_POSITION",
          `Position ${positions[i]} at ${where} is outside the model's context of ${contextLength} tokens.`,
          "shorten the prompt or lower maxTokens",
        );
      }
      if (end[i]! <= i % width || end[i]! > width) {
        fail(
          "E_BODY_END",
          `The subtree at ${where} ends at column ${end[i]}, not in ${(i % width) + 1} … ${width}.`,
        );
      }
    }
    for (let n = 0; n < sources.length; n++) {
      if (inverse[sources[n]!] !== n) {
        fail(
          "E_BODY_SOURCES",
          `Source ${n} is position ${sources[n]}, whose inverse is ${inverse[sources[n]!]}.`,
        );
      }
    }
  }

  #runBackward({ session, inputs, outputs }: Program, from: BackwardInputs): OrtTensor {
    const results = session.run(
      inputs.map(({ role, name }) => {
        if (role === "input") return from.input(name);
        if (role === "parameter") return from.parameter(name);
        if (role === "saved") return from.saved(name);
        return role === "parameter-gradient" ? from.gradient(name) : from.outputGradient;
      }),
      outputs.map(({ role, name }) => (role === "parameter-gradient" ? from.gradient(name) : null)),
    );
    return results[outputs.findIndex(({ role }) => role === "input-gradient")]!;
  }
}

interface BackwardInputs {
  input(name: string): OrtTensor;
  parameter(name: string): OrtTensor;
  saved(name: string): OrtTensor;
  gradient(name: string): OrtTensor;
  readonly outputGradient: OrtTensor;
}

/** Internal form of `BodyActivations`. */
class Activations implements BodyActivations {
  readonly packed: PackedRows;
  readonly pass: ReadonlyMap<string, OrtTensor>;
  readonly layerInputs: readonly OrtTensor[];
  readonly saved: readonly Map<string, OrtTensor>[];
  /** Output of the last layer. */
  readonly last: OrtTensor;
  readonly hidden: OrtTensor;
  consumed = false;
  readonly #alive: Set<OrtTensor>;

  constructor(parts: {
    packed: PackedRows;
    pass: ReadonlyMap<string, OrtTensor>;
    layerInputs: readonly OrtTensor[];
    saved: readonly Map<string, OrtTensor>[];
    last: OrtTensor;
    hidden: OrtTensor;
  }) {
    this.packed = parts.packed;
    this.pass = parts.pass;
    this.layerInputs = parts.layerInputs;
    this.saved = parts.saved;
    this.last = parts.last;
    this.hidden = parts.hidden;
    this.#alive = new Set([
      ...parts.pass.values(),
      ...parts.layerInputs,
      ...parts.saved.flatMap((map) => [...map.values()]),
      parts.last,
      parts.hidden,
    ]);
  }

  takeHidden(): OrtTensor {
    this.#alive.delete(this.hidden);
    return this.hidden;
  }

  releaseLast(): void {
    this.#release(this.last);
  }

  releaseLayer(index: number): void {
    this.#release(this.layerInputs[index]!);
    for (const tensor of this.saved[index]!.values()) this.#release(tensor);
  }

  dispose(): void {
    this.consumed = true;
    for (const tensor of this.#alive) this.#release(tensor);
  }

  #release(tensor: OrtTensor): void {
    if (this.#alive.delete(tensor)) tensor.dispose();
  }
}

/** tokens int32 [M] → rows of the embedding [M, D]. */
function embeddingGraph({ vocabularySize, hiddenSize }: DecoderConfig): BuiltGraph {
  const graph = new GraphBuilder();
  const table = graph.input("embedding", "float32", [vocabularySize, hiddenSize]);
  const tokens = graph.input("tokens", "int32", ["M"]);
  graph.output(graph.op("Gather", [table, tokens], { attributes: { axis: 0 } }), ["M", hiddenSize]);
  return {
    model: graph.build(),
    inputs: [
      { role: "parameter", name: embeddingName },
      { role: "input", name: "tokens" },
    ],
    outputs: [{ role: "output", name: "x" }],
  };
}

/** x [M, D] → the scored rows, normed: `hidden` [N, D]. */
function finalTape(config: DecoderConfig, trainable: boolean, differentiable: boolean): Tape {
  const tape = new Tape();
  const x = tape.input("x", ["M", config.hiddenSize], { differentiable });
  const sources = tape.input("sources", ["N"], { type: "int32" });
  const inverse = tape.input("inverse", ["M"], { type: "int32" });
  const weight = tape.parameter(finalNormName, [config.hiddenSize], trainable);
  tape.output(
    rmsNorm(tape, gatherDistinctRows(tape, x, sources, inverse), weight, config.normEpsilon, "hidden"),
  );
  return tape;
}

function parameterOf(weights: FlatTensors, adapter: FlatTensors | null, name: string): OrtTensor {
  return adapter?.has(name) ? adapter.tensor(name) : weights.tensor(name);
}

/** table[tokens[i]] += rows[i], in order, so that repeated ids always add up to the same bits. */
function addRows(table: Float32Array, tokens: Int32Array, rows: Float32Array, width: number): void {
  for (let i = 0; i < tokens.length; i++) {
    const target = tokens[i]! * width;
    const source = i * width;
    for (let d = 0; d < width; d++) table[target + d]! += rows[source + d]!;
  }
}

function missing(what: string): never {
  throw new BodyError({ code: "E_BODY_PORT", message: `The graph asks for a ${what} that does not exist.` });
}
