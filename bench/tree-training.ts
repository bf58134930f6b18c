/**
 * @file Training on a whole tree of 64 nodes (forward and backward): its calls packed as tries of shared prefixes,
 * against every call packed in full. The trees are those of search-tree.ts; each node's own calls are trained once. Both
 * sides are ours; log-probs and gradients are compared first.
 *   npx jiti bench/tree-training.ts [--rounds 7] [--tiny]
 */

import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { ModelFolder } from "../src/engine/local/checkpoint/index.ts";
import { decoderShapes, parameterTable } from "../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../src/engine/local/model/weights.ts";
import { openBackend } from "../src/engine/local/ort/open.ts";
import { TrainingGraphs } from "../src/engine/local/training/training-graphs.ts";
import { TrainingModel } from "../src/engine/local/training/training-model.ts";
import type { TrainingSequence } from "../src/engine/policy.ts";
import { alternate, load, row } from "./alternate.ts";
import { makeModel, type Size } from "./make-model.ts";
import { attempts, type TreeShape, trunk } from "./search-tree.ts";

/** One sequence for each call that a node made itself; scored are the answer's tokens alone. */
export function treeSequences(
  { parents, calls, promptTokens }: TreeShape,
  answer: number,
  vocabulary: number,
): TrainingSequence[] {
  const opening = Array.from({ length: promptTokens }, (_, i) => (i * 7919) % vocabulary);
  const said: number[][][] = [];
  const sequences: TrainingSequence[] = [];
  for (const [node, turns] of calls.entries()) {
    const own = said[parents[node]!]?.slice(0, turns - 1) ?? [];
    while (own.length < turns) {
      const turn = own.length;
      const prompt = [...opening, ...own.flat()];
      own.push(
        Array.from({ length: answer }, (_, i) => (i * 104729 + node * 3167 + turn * 433 + 5) % vocabulary),
      );
      const tokens = Int32Array.from([...prompt, ...own[turn]!]);
      sequences.push({ tokens, mask: Uint8Array.from(tokens, (_, i) => Number(i >= prompt.length)) });
    }
    said.push(own);
  }
  return sequences;
}

/** A pass over the batch. */
export type Pass = () => {
  readonly logprobs: Float32Array;
  readonly norms: Readonly<Record<string, number>>;
};

/** Shared and unshared passes over one model's weights; microbatches of at most `microbatchTokens`. */
export async function passes(
  folderName: string,
  sequences: readonly TrainingSequence[],
  { threads, microbatchTokens }: { readonly threads: number; readonly microbatchTokens: number },
): Promise<{ readonly shared: Pass; readonly unshared: Pass; readonly dispose: () => void }> {
  const backend = await openBackend({ threads });
  const folder = await ModelFolder.open(folderName);
  const weights = new FlatTensors(backend, parameterTable(decoderShapes(folder.config)));
  await folder.readWeights(weights.table, weights.flat);
  await folder.close();
  const models: TrainingModel[] = [];
  const scored = sequences.reduce((sum, { mask }) => sum + mask.reduce((bits, bit) => bits + bit, 0), 0);
  const gradient = Float32Array.from({ length: scored }, (_, i) => ((i % 3) - 1.5) / scored);
  const pass = async (sharePrefixes: boolean): Promise<Pass> => {
    const graphs = await TrainingGraphs.create(backend, folder.config);
    const model = new TrainingModel(graphs, { weights, microbatchTokens, sharePrefixes });
    models.push(model);
    return () => {
      model.clearGradients();
      const { logprobs } = model.forward(sequences, { retain: true });
      model.backward(sequences, { logprobs: gradient });
      const norms = Object.fromEntries(
        weights.table.parameters.map(({ name }) => [name, norm(model.gradients.view(name))]),
      );
      return { logprobs, norms };
    };
  };
  const [shared, unshared] = [await pass(true), await pass(false)];
  const dispose = () => {
    for (const model of models) model.dispose();
  };
  return { shared, unshared, dispose };
}

function norm(values: Float32Array): number {
  let squares = 0;
  for (const value of values) squares += value * value;
  return Math.sqrt(squares);
}

/** @throws Error where the two disagree by more than float32 sums in another order do. */
export function compare(shared: ReturnType<Pass>, unshared: ReturnType<Pass>): void {
  for (const [i, logprob] of unshared.logprobs.entries())
    if (!(Math.abs(shared.logprobs[i]! - logprob) <= 1e-3))
      throw new Error(`log-prob ${i}: ${shared.logprobs[i]} shared, ${logprob} not`);
  for (const [parameter, expected] of Object.entries(unshared.norms))
    if (!(Math.abs(shared.norms[parameter]! - expected) <= 1e-3 * expected))
      throw new Error(`gradient of ${parameter}: ${shared.norms[parameter]} shared, ${expected} not`);
}

const sizes: Readonly<Record<string, Size>> = {
  "0.9 M": { layers: 4, hidden: 128, heads: 4, keyValueHeads: 2, intermediate: 384, vocabulary: 512 },
  "11 M": { layers: 6, hidden: 384, heads: 6, keyValueHeads: 2, intermediate: 1024, vocabulary: 4096 },
};

async function main(): Promise<void> {
  const tiny = process.argv.includes("--tiny");
  const rounds = tiny ? 1 : Number(process.argv[process.argv.indexOf("--rounds") + 1] || 7) || 7;
  const [nodes, prefix, answer] = tiny ? [8, 96, 8] : [64, 300, 32];
  const shapes = [trunk(nodes, prefix, 5, answer), await attempts(nodes, prefix)];
  console.log(
    "| model | tree | sequences | tokens | shared ms (min / median) | unshared ms | ratio: median (range) |\n|---|---|---|---|---|---|---|",
  );
  for (const [name, size] of Object.entries(sizes)) {
    if (tiny && name !== "0.9 M") continue;
    const { folder } = await makeModel(size);
    for (const shape of shapes) {
      const sequences = treeSequences(shape, answer, size.vocabulary);
      const tokens = sequences.reduce((sum, one) => sum + one.tokens.length, 0);
      const { shared, unshared, dispose } = await passes(folder, sequences, {
        threads: 2,
        microbatchTokens: 8192,
      });
      compare(shared(), unshared());
      const timed = (pass: Pass) => async () => {
        const began = performance.now();
        pass();
        return performance.now() - began;
      };
      const compared = await alternate(rounds, timed(shared), timed(unshared));
      console.log(`| ${name} | ${shape.name} | ${sequences.length} | ${tokens} | ${row(compared)} |`);
      dispose();
    }
    await rm(dirname(folder), { recursive: true });
  }
  console.log(`\n(${load()})`);
}

if (process.argv[1]?.endsWith("tree-training.ts") === true) {
  await main();
  process.exit(0);
}
