/**
 * @file The body of a decoder, forward and backward: packed token ids → hidden rows after the final norm at the
 * scored positions, and the gradient of those rows → gradients of all weights, added in place. Turning hidden rows
 * into log-probs and losses is the head's work. Sessions have no fixed shapes: one set serves all microbatches.
 */

import type { Port } from "../graph/tape.ts";
import type { OrtBackend, OrtTensor } from "../ort/backend.ts";
import { Activations, type BodyActivations, type Saved } from "./body-activations.ts";
import { BodyError } from "./body-error.ts";
import { type BodyPrograms, compileBody, type LayerPrograms, type Program } from "./body-programs.ts";
import type { DecoderConfig } from "./config.ts";
import type { PackedRows } from "./packed.ts";
import { embeddingName, type LoraSettings, layerPrefix } from "./parameters.ts";
import { PassInputs } from "./pass-inputs.ts";
import type { FlatTensors } from "./weights.ts";

export type { BodyActivations };
export { BodyError };

export interface BodyOptions {
  /** `full`: every weight gets a gradient. `frozen-base`: only the adapter does. */
  readonly trainable: "full" | "frozen-base";
  readonly lora?: LoraSettings;
  /**
   * Bytes of saved activations that a forward pass may keep; default 1 GiB. Beyond it, the first layers keep only
   * their input and are run forward again on the way back: less memory, up to a third more time, the same bits.
   */
  readonly activationBytes?: number;
}

const defaultActivationBytes = 2 ** 30;

export class DecoderBody {
  readonly config: DecoderConfig;
  readonly options: BodyOptions;
  readonly #backend: OrtBackend;
  readonly #programs: BodyPrograms;
  readonly #passInputs: PassInputs;

  private constructor(
    backend: OrtBackend,
    config: DecoderConfig,
    options: BodyOptions,
    programs: BodyPrograms,
  ) {
    this.#backend = backend;
    this.#programs = programs;
    this.#passInputs = new PassInputs(backend, config);
    this.config = config;
    this.options = options;
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
    const programs = await compileBody(backend, config, options.trainable === "full", options.lora ?? null);
    return new DecoderBody(backend, config, options, programs);
  }

  /** Forward for a backward pass to follow. */
  forward(weights: FlatTensors, adapter: FlatTensors | null, packed: PackedRows): BodyActivations {
    return this.#forward(this.#parameters(weights, adapter), packed, true);
  }

  /** Forward only: [N, D] after the final norm, which the caller disposes. Nothing else is kept. */
  hidden(weights: FlatTensors, adapter: FlatTensors | null, packed: PackedRows): OrtTensor {
    const activations = this.#forward(this.#parameters(weights, adapter), packed, false);
    const hidden = activations.disown(activations.hidden);
    activations.dispose();
    return hidden;
  }

  /**
   * Adds the gradients to `gradients` (of the model's table, or the adapter's where the base is frozen), given that
   * of `activations.hidden`, [N, D]. What was saved is freed layer by layer on the way.
   */
  backward(
    weights: FlatTensors,
    adapter: FlatTensors | null,
    activations: BodyActivations,
    dHidden: OrtTensor | Float32Array,
    gradients: FlatTensors,
  ): void {
    if (!(activations instanceof Activations)) {
      throw new TypeError("backward() takes the activations that forward() of a body returned.");
    }
    const { finalBackward } = this.#programs;
    const { trained: layer } = this.#layerPrograms(activations.packed.width);
    if (layer === null || finalBackward === null) {
      throw new BodyError({
        code: "E_BODY_FROZEN",
        message: "This body has nothing to train: its base is frozen and it has no adapter.",
        hint: 'create it with trainable: "full" or with lora settings',
      });
    }
    activations.consume();
    const parameters = this.#parameters(weights, adapter);
    const { inputs, packed } = activations;
    const { layers, hiddenSize } = this.config;
    const differentiate = (
      program: Program,
      prefix: string,
      saved: Saved,
      place: number,
      gradient: OrtTensor,
    ) => {
      const accumulator = (port: Port): OrtTensor | null =>
        port.role === "parameter-gradient" ? gradients.tensor(prefix + port.name) : null;
      const results = program.run((port) => {
        if (port.role === "saved") return saved.get(port.name)!;
        if (port.role === "output-gradient") return gradient;
        return accumulator(port) ?? this.#read(port, parameters, prefix, activations, place);
      }, accumulator);
      activations.release(gradient, inputs[place]!, ...saved.values());
      const flowing = results[program.outputs.findIndex(({ role }) => role === "input-gradient")]!;
      activations.own(flowing);
      return flowing;
    };

    let flowing =
      dHidden instanceof Float32Array
        ? this.#backend.tensor(dHidden, [packed.sources.length, hiddenSize])
        : dHidden;
    if (flowing !== dHidden) activations.own(flowing);
    flowing = differentiate(finalBackward, "", new Map(), layers, flowing);
    for (let index = layers - 1; index >= 0; index--) {
      const saved = activations.saved[index] ?? this.#saveAgain(parameters, activations, index);
      flowing = differentiate(layer.backward, layerPrefix(index), saved, index, flowing);
    }
    if (this.options.trainable === "full") {
      addRows(gradients.view(embeddingName), packed.tokens, flowing.data as Float32Array, hiddenSize);
    }
    activations.release(flowing);
  }

  dispose(): void {
    const { embed, layers, final, finalBackward } = this.#programs;
    const ofLayers = layers.flatMap(({ programs: { plain, trained } }) => [
      plain,
      trained?.forward,
      trained?.backward,
    ]);
    for (const program of [embed, ...ofLayers, final, finalBackward]) program?.dispose();
  }

  #layerPrograms(width: number): LayerPrograms {
    return this.#programs.layers.findLast(({ fromWidth }) => width >= fromWidth)!.programs;
  }

  #forward(parameters: Parameters, packed: PackedRows, save: boolean): Activations {
    const activations = new Activations(packed, this.#passInputs.make(packed));
    const { embed, final } = this.#programs;
    const { plain, trained } = this.#layerPrograms(packed.width);
    const { layers } = this.config;
    const firstSaved =
      save && trained ? this.#firstSavedLayer(trained.forward, packed.tokens.length) : layers;
    const run = (program: Program, prefix: string, place: number): OrtTensor[] => {
      const results = program.run((port) => this.#read(port, parameters, prefix, activations, place));
      activations.own(...results);
      return results;
    };
    try {
      activations.inputs.push(run(embed, "", 0)[0]!);
      for (let index = 0; index < layers; index++) {
        const program = trained && index >= firstSaved ? trained.forward : plain;
        const results = run(program, layerPrefix(index), index);
        activations.inputs.push(results[0]!);
        activations.saved.push(program === plain ? null : savedOf(program, results));
        if (!save) activations.release(activations.inputs[index]!);
      }
      activations.setHidden(run(final, "", layers)[0]!);
      return activations;
    } catch (error) {
      activations.dispose();
      throw error;
    }
  }

  /** What a layer did not keep: the same graph on the same input gives the same bits. */
  #saveAgain(parameters: Parameters, activations: Activations, index: number): Saved {
    const program = this.#layerPrograms(activations.packed.width).trained!.forward;
    const results = program.run((port) =>
      this.#read(port, parameters, layerPrefix(index), activations, index),
    );
    activations.own(...results);
    activations.release(results[0]!);
    return savedOf(program, results);
  }

  /** The tensor behind an input or parameter of a graph; `place` is the layer, or their number for the final norm. */
  #read(
    { role, name }: Port,
    parameters: Parameters,
    prefix: string,
    { inputs, shared }: Activations,
    place: number,
  ): OrtTensor {
    if (role === "parameter") return parameters(prefix + name);
    return name === "x" ? inputs[place]! : shared.get(name)!;
  }

  #parameters(weights: FlatTensors, adapter: FlatTensors | null): Parameters {
    if ((adapter !== null) !== (this.options.lora !== undefined)) {
      throw new BodyError({
        code: "E_BODY_ADAPTER",
        message: adapter
          ? "An adapter was given to a body that was created without lora settings."
          : "This body was created with lora settings, but no adapter was given.",
        hint: "give both or neither",
      });
    }
    return (name) => (adapter?.has(name) ? adapter.tensor(name) : weights.tensor(name));
  }

  /** Layers before it keep only their input, so that what is saved for `tokens` positions fits the budget. */
  #firstSavedLayer({ outputs }: Program, tokens: number): number {
    let perToken = 0;
    for (const { role, name, dimensions } of outputs) {
      // The runs of a split are together as long as a row.
      if (role === "saved" && name.startsWith("context.") && name !== "context.0") continue;
      // R, T and M are the tokens; the numbers are what each of them takes.
      const numbers = dimensions.filter((d) => typeof d === "number");
      if (role === "saved") perToken += numbers.reduce((product, d) => product * d, 1);
    }
    const { hiddenSize, layers } = this.config;
    const { activationBytes = defaultActivationBytes } = this.options;
    const budget = activationBytes / 4 / tokens - layers * hiddenSize;
    return Math.max(0, layers - Math.max(0, Math.floor(budget / perToken)));
  }
}

/** The tensor of a parameter by its full name. */
type Parameters = (name: string) => OrtTensor;

function savedOf(program: Program, results: readonly OrtTensor[]): Saved {
  const pairs = program.outputs.map(({ role, name }, i) => [role, name, results[i]!] as const);
  return new Map(pairs.filter(([role]) => role === "saved").map(([, name, tensor]) => [name, tensor]));
}

/** table[tokens[i]] += rows[i], in order, so that repeated ids always add up to the same bits. */
function addRows(table: Float32Array, tokens: Int32Array, rows: Float32Array, width: number): void {
  for (let i = 0; i < tokens.length; i++) {
    const target = tokens[i]! * width;
    const source = i * width;
    for (let d = 0; d < width; d++) table[target + d]! += rows[source + d]!;
  }
}
