/** @file The sessions of a decoder's body: embedding, one layer in each direction, final norm. They hold no weights. */

import { GraphBuilder } from "../graph/graph-builder.ts";
import { gatherDistinctRows, rmsNorm } from "../graph/operations.ts";
import { type BuiltGraph, type Port, Tape } from "../graph/tape.ts";
import type { OrtBackend, OrtSession, OrtTensor } from "../ort/backend.ts";
import type { DecoderConfig } from "./config.ts";
import { layerTape, savedProducts } from "./decoder-layer.ts";
import { embeddingName, finalNormName, type LoraSettings } from "./parameters.ts";

/** A session and what each of its inputs and outputs is. */
export class Program {
  readonly outputs: readonly Port[];
  readonly #session: OrtSession;
  readonly #inputs: readonly Port[];

  constructor(session: OrtSession, { inputs, outputs }: BuiltGraph) {
    this.#session = session;
    this.#inputs = inputs;
    this.outputs = outputs;
  }

  /** `outputOf` gives the memory to write into; `null` lets the runtime allocate, and the caller disposes. */
  run(
    inputOf: (port: Port) => OrtTensor,
    outputOf: (port: Port) => OrtTensor | null = () => null,
  ): OrtTensor[] {
    return this.#session.run(this.#inputs.map(inputOf), this.outputs.map(outputOf));
  }

  dispose(): void {
    this.#session.dispose();
  }
}

export interface BodyPrograms {
  readonly embed: Program;
  /** One layer without a backward pass to follow: nothing is saved. */
  readonly plainLayer: Program;
  /** One layer that saves what its backward graph reads; `null` where nothing trains. */
  readonly layer: { readonly forward: Program; readonly backward: Program } | null;
  readonly final: Program;
  readonly finalBackward: Program | null;
}

export async function compileBody(
  backend: OrtBackend,
  config: DecoderConfig,
  trainable: boolean,
  lora: LoraSettings | null,
): Promise<BodyPrograms> {
  const compile = async (graph: BuiltGraph): Promise<Program> =>
    new Program(await backend.createSession(graph.model), graph);
  const plain = layerTape(config, { trainable: false, lora, saved: [] }).build();
  const layer = layerTape(config, { trainable, lora, saved: savedProducts(config) }).build();
  const final = finalTape(config, trainable, trainable || lora !== null).build();
  return {
    embed: await compile(embeddingGraph(config)),
    plainLayer: await compile(plain.forward),
    layer: layer.backward && {
      forward: await compile(layer.forward),
      backward: await compile(layer.backward),
    },
    final: await compile(final.forward),
    finalBackward: final.backward && (await compile(final.backward)),
  };
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
      { role: "parameter", name: embeddingName, dimensions: [vocabularySize, hiddenSize] },
      { role: "input", name: "tokens", dimensions: ["M"] },
    ],
    outputs: [{ role: "output", name: "x", dimensions: ["M", hiddenSize] }],
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
