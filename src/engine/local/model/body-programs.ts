/** @file The sessions of a decoder's body: embedding, one layer in each direction, final norm. They hold no weights. */

import { GraphBuilder } from "../graph/graph-builder.ts";
import { gatherDistinctRows, rmsNorm } from "../graph/operations.ts";
import { type BuiltGraph, type Port, Tape } from "../graph/tape.ts";
import type { OrtBackend, OrtSession, OrtTensor } from "../ort/backend.ts";
import type { DecoderConfig } from "./config.ts";
import { layerTape } from "./decoder-layer.ts";
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

/** One layer. */
export interface LayerPrograms {
  /** Without a backward pass to follow: nothing is saved. */
  readonly plain: Program;
  /** Saves what its backward graph reads; `null` where nothing trains. */
  readonly trained: { readonly forward: Program; readonly backward: Program } | null;
}

export interface BodyPrograms {
  readonly embed: Program;
  /** In order of `fromWidth`: the last one whose width is reached serves a microbatch. */
  readonly layers: readonly { readonly fromWidth: number; readonly programs: LayerPrograms }[];
  readonly final: Program;
  readonly finalBackward: Program | null;
}

/**
 * Runs of queries in attention, by the rows' width T. More runs skip more of the masked half, and scores take that
 * much less memory. Measured on one thread, forward and backward of a layer, CPU time against one run: nothing at
 * T = 64 (D 128); at 256, 4 runs take 3 % (D 768) to 5 % (D 384) off and 8 no more; at 1024 (D 384), 4 runs 11 %
 * and 8 runs 17 %. A row must have at least runs·(runs − 1) tokens, so that no run is empty.
 */
const attentionBlocks = [
  { fromWidth: 0, blocks: 1 },
  { fromWidth: 128, blocks: 4 },
  { fromWidth: 1024, blocks: 8 },
];

export async function compileBody(
  backend: OrtBackend,
  config: DecoderConfig,
  trainable: boolean,
  lora: LoraSettings | null,
): Promise<BodyPrograms> {
  const compile = async (graph: BuiltGraph): Promise<Program> =>
    new Program(await backend.createSession(graph.model), graph);
  const compileLayer = async (blocks: number): Promise<LayerPrograms> => {
    const settings = { trainable, lora, attentionBlocks: blocks };
    const { forward, backward } = layerTape(config, { ...settings, save: true }).build();
    return {
      plain: await compile(layerTape(config, { ...settings, save: false }).build().forward),
      trained: backward && { forward: await compile(forward), backward: await compile(backward) },
    };
  };
  const final = finalTape(config, trainable, trainable || lora !== null).build();
  const layers: BodyPrograms["layers"][number][] = [];
  for (const { fromWidth, blocks } of attentionBlocks) {
    layers.push({ fromWidth, programs: await compileLayer(blocks) });
  }
  return {
    embed: await compile(embeddingGraph(config)),
    layers,
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
