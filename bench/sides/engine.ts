/**
 * @file Our side of the training and decoding benchmarks: the engine's own classes on this process's main thread,
 * driven by JSON lines. The counterpart is peers/torch_decoder.py.
 */

import { createInterface } from "node:readline";
import { ModelFolder } from "../../src/engine/local/checkpoint/index.ts";
import { GraphBuilder } from "../../src/engine/local/graph/graph-builder.ts";
import { decoderShapes, parameterTable } from "../../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../../src/engine/local/model/weights.ts";
import type { OrtBackend } from "../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../src/engine/local/ort/open.ts";
import { DecodeSessions } from "../../src/engine/local/sampling/decoder.ts";
import { Sampler } from "../../src/engine/local/sampling/sampler.ts";
import { ModelTokenizer } from "../../src/engine/local/tokenizer/index.ts";
import { TrainingGraphs } from "../../src/engine/local/training/training-graphs.ts";
import { TrainingModel } from "../../src/engine/local/training/training-model.ts";
import type { TrainingSequence } from "../../src/engine/policy.ts";
import { key } from "../../src/random/stream.ts";

interface Command {
  readonly do: string;
  readonly folder: string;
  readonly threads: number;
  readonly tokens: number[];
  readonly gradient: number[];
  readonly rows: number;
  readonly width: number;
  readonly batch: number;
  readonly position: number;
  readonly steps: number;
  readonly n: number;
  readonly repeat: number;
  readonly norms?: boolean;
  readonly share?: boolean;
  /** First scored column. Default 1: everything. */
  readonly scoredFrom?: number;
  readonly microbatchTokens?: number;
}

let backend: OrtBackend;
let threads: number;
let weights: FlatTensors;
let folder: ModelFolder;
let training: TrainingModel | undefined;
let sequences: TrainingSequence[] = [];
let gradient = new Float32Array(0);
let sampler: Sampler | undefined;
let requests = 0;

async function open(command: Command): Promise<Record<string, unknown>> {
  threads = command.threads;
  // Nothing else runs: idle kernel threads may wait in a loop. PyTorch's do so too.
  backend = await openBackend({ threads, spinning: true });
  folder = await ModelFolder.open(command.folder);
  weights = new FlatTensors(backend, parameterTable(decoderShapes(folder.config)));
  await folder.readWeights(weights.table, weights.flat);
  return { backend: `${backend.kind} ${backend.version}`, parameters: weights.table.count };
}

async function batch(command: Command): Promise<Record<string, unknown>> {
  const { rows, width, tokens } = command;
  training?.dispose();
  training = new TrainingModel(await TrainingGraphs.create(backend, folder.config), {
    weights,
    microbatchTokens: command.microbatchTokens ?? rows * width,
    sharePrefixes: command.share ?? false,
  });
  sequences = Array.from({ length: rows }, (_, row) => ({
    tokens: Int32Array.from(tokens.slice(row * width, (row + 1) * width)),
    mask: Uint8Array.from({ length: width }, (_, i) => Number(i >= (command.scoredFrom ?? 1))),
  }));
  gradient = Float32Array.from(command.gradient);
  return {};
}

/** Prompts of `position` tokens are prefilled; the timed part is decoding alone. */
async function cache(command: Command): Promise<Record<string, unknown>> {
  sampler?.dispose();
  const tokenizer = await ModelTokenizer.load(command.folder ?? folder.folder);
  sampler = new Sampler({
    sessions: await DecodeSessions.create(backend, { config: folder.config, threads }),
    weights,
    tokenBytes: tokenizer.tokenBytes(),
    endTokens: [],
    slots: command.batch,
  });
  for (let row = 0; row < command.batch; row++) {
    const prompt = Int32Array.from(
      { length: command.position },
      (_, i) => (row * 31 + i * 7) % folder.config.vocabularySize,
    );
    const maxTokens = folder.config.contextLength - command.position - 1;
    const fail = (error: unknown) => {
      throw error;
    };
    sampler.submit(
      requests++,
      { prompt, maxTokens, key: key(row) },
      { onDone: () => fail(new Error("ended")), onError: fail },
    );
  }
  while (sampler.stats.active < command.batch || sampler.stats.decodeRuns === 0) sampler.step();
  return {};
}

function matmul({ n, repeat }: Command): (() => void) | Promise<() => void> {
  const graph = new GraphBuilder();
  const a = graph.input("a", "float32", [n, n]);
  const b = graph.input("b", "float32", [n, n]);
  graph.output(graph.op("Gemm", [a, b], { attributes: { transB: 1 } }), [n, n], "c");
  const tensor = (fill: number) => backend.tensor(new Float32Array(n * n).fill(fill), [n, n]);
  const [x, y, z] = [tensor(0.5), tensor(0.25), tensor(0)];
  return backend.createSession(graph.build()).then((session) => () => {
    for (let i = 0; i < repeat; i++) session.run([x, y], [z]);
  });
}

const products = new Map<number, () => void>();

async function answer(command: Command): Promise<Record<string, unknown>> {
  if (command.do === "matmul" && !products.has(command.n)) products.set(command.n, await matmul(command));
  const begin = performance.now();
  const out: Record<string, unknown> = {};
  if (command.do === "open") Object.assign(out, await open(command));
  else if (command.do === "batch") Object.assign(out, await batch(command));
  else if (command.do === "cache") Object.assign(out, await cache(command));
  else if (command.do === "forward") out.logprob_sum = sum(training!.forward(sequences).logprobs);
  else if (command.do === "train") {
    training!.clearGradients();
    const { logprobs } = training!.forward(sequences, { retain: true });
    training!.backward(sequences, { logprobs: gradient });
    out.logprob_sum = sum(logprobs);
    if (command.norms) out.gradient_norms = norms();
  } else if (command.do === "decode") for (let i = 0; i < command.steps; i++) sampler!.step();
  else if (command.do === "matmul") products.get(command.n)!();
  else throw new Error(`Unknown command ${command.do}`);
  out.ms = performance.now() - begin;
  out.peak_mb = process.resourceUsage().maxRSS / 1024;
  return out;
}

function norms(): Record<string, number> {
  return Object.fromEntries(
    weights.table.parameters.map(({ name }) => [
      name,
      Math.hypot(...chunked(training!.gradients.view(name))),
    ]),
  );
}

/** Norms of slices: `Math.hypot` takes so many arguments and no more. */
function chunked(values: Float32Array): number[] {
  const parts: number[] = [];
  for (let i = 0; i < values.length; i += 4096) {
    let squares = 0;
    for (const value of values.subarray(i, i + 4096)) squares += value * value;
    parts.push(Math.sqrt(squares));
  }
  return parts.length > 60_000 ? [Math.sqrt(parts.reduce((a, b) => a + b * b, 0))] : parts;
}

const sum = (values: Float32Array): number => values.reduce((a, b) => a + b, 0);

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as Command))}\n`);
}
process.exit(0);
