/**
 * @file A batch of sequences → microbatches of packed rows. Sequences that share prefixes become tries; a row as
 * wide as the microbatch's widest trie holds one or several of them side by side, kept apart by `end`.
 */

import type { TrainingSequence } from "../../policy.ts";
import type { PackedRows } from "../model/packed.ts";
import { TrainingError } from "./errors.ts";
import { inputLength, PrefixTrie } from "./prefix-trie.ts";
import { type PackCosts, rowCost, sharePrefixes } from "./share-prefixes.ts";

export interface PackOptions {
  readonly vocabularySize: number;
  readonly contextLength: number;
  /** Upper limits of one microbatch; a single sequence that exceeds them is a microbatch of its own. */
  readonly budget: PackBudget;
  readonly costs: PackCosts;
  /** Default true. False packs every sequence in full: for tests and benchmarks. */
  readonly share?: boolean;
}

export interface PackBudget {
  /** Positions, padding included: R·T. */
  readonly tokens: number;
  /** Elements of one attention mask: R·T². */
  readonly pairs: number;
}

export interface Microbatch {
  readonly packed: PackedRows;
  /** Indices of the sequences in the batch, ascending; `packed.scored` follows this order. */
  readonly sequences: Int32Array;
  /** For each element of `packed.scored`, its place in arrays that are flat over the whole batch. */
  readonly places: Int32Array;
}

export interface PackedBatch {
  readonly microbatches: readonly Microbatch[];
  /** S: scored tokens of the batch. */
  readonly scoredCount: number;
  /** Positions of all microbatches, padding included. */
  readonly positions: number;
}

/**
 * `wanted` may leave sequences out, given the range of their scored tokens in arrays that are flat over the batch.
 * @throws TrainingError that names the sequence when one is malformed or longer than the model's context.
 */
export function packBatch(
  batch: readonly TrainingSequence[],
  options: PackOptions,
  wanted: (from: number, to: number) => boolean = () => true,
): PackedBatch {
  const offsets = new Int32Array(batch.length + 1);
  const indices: number[] = [];
  for (const [index, sequence] of batch.entries()) {
    check(sequence, index, options);
    const scored = sequence.mask.reduce((sum, bit) => sum + bit, 0);
    const from = offsets[index]!;
    offsets[index + 1] = from + scored;
    if (scored > 0 && wanted(from, from + scored)) indices.push(index);
  }
  const { budget, costs, share = true } = options;
  const widest = Math.min(budget.tokens, Math.floor(Math.sqrt(budget.pairs)));
  const groups = share ? sharePrefixes(batch, indices, costs, widest) : indices.map((index) => [index]);
  const planted = groups.map((members): PlantedTrie => {
    const trie = new PrefixTrie();
    for (const index of members) trie.insert(batch[index]!);
    return { trie, members };
  });
  planted.sort((a, b) => b.trie.size - a.trie.size || a.members[0]! - b.members[0]!);

  const microbatches: Microbatch[] = [];
  for (let left = planted; left.length > 0; ) {
    const { rows, later } = fillRows(left, budget, costs);
    microbatches.push(lay(rows, offsets));
    left = later;
  }
  return {
    microbatches,
    scoredCount: offsets[batch.length]!,
    positions: microbatches.reduce((sum, { packed }) => sum + packed.rows * packed.width, 0),
  };
}

interface PlantedTrie {
  readonly trie: PrefixTrie;
  readonly members: readonly number[];
}

interface Row {
  readonly tries: PlantedTrie[];
  used: number;
}

/** A row may cost this much more than its tries would in rows of their own width. */
const tolerance = 1.25;

/**
 * First fit, widest first. A row that would be mostly padding waits for the next, narrower microbatch, unless so
 * little would be left that a microbatch for it costs more than the padding.
 */
function fillRows(
  tries: readonly PlantedTrie[],
  budget: PackBudget,
  costs: PackCosts,
): { readonly rows: readonly Row[]; readonly later: PlantedTrie[] } {
  const width = tries[0]!.trie.size;
  const most = Math.max(
    1,
    Math.min(Math.floor(budget.tokens / width), Math.floor(budget.pairs / (width * width))),
  );
  const rows: Row[] = [];
  const unplaced: PlantedTrie[] = [];
  for (const planted of tries) {
    const { size } = planted.trie;
    let row = rows.find(({ used }) => used + size <= width);
    if (!row && rows.length < most) {
      row = { tries: [], used: 0 };
      rows.push(row);
    }
    if (row) {
      row.tries.push(planted);
      row.used += size;
    } else {
      unplaced.push(planted);
    }
  }
  const apart = (row: Row) => row.tries.reduce((sum, { trie }) => sum + rowCost(costs, trie.size), 0);
  const full = rows.filter((row) => rowCost(costs, width) <= tolerance * apart(row));
  const sparse = rows.filter((row) => !full.includes(row));
  const sparseCost = sparse.reduce((sum, row) => sum + apart(row), 0);
  if (unplaced.length === 0 && sparseCost < 0.2 * full.length * rowCost(costs, width)) {
    return { rows, later: [] };
  }
  const later = [...unplaced, ...sparse.flatMap((row) => row.tries)];
  later.sort((a, b) => b.trie.size - a.trie.size || a.members[0]! - b.members[0]!);
  return { rows: full, later };
}

function lay(rows: readonly Row[], offsets: Int32Array): Microbatch {
  const width = Math.max(...rows.map(({ used }) => used));
  const size = rows.length * width;
  const tokens = new Int32Array(size);
  const positions = new Int32Array(size);
  const end = Int32Array.from({ length: size }, (_, i) => (i % width) + 1);
  const sources: number[] = [];
  const targets: number[] = [];
  const inverseTemperatures: number[] = [];
  const scoredOf = new Map<number, Int32Array>();
  rows.forEach((row, r) => {
    let start = 0;
    for (const { trie, members } of row.tries) {
      const { columns, ends } = trie.layout();
      const numbers = new Int32Array(trie.size);
      for (let node = 0; node < trie.size; node++) {
        const at = r * width + start + columns[node]!;
        tokens[at] = trie.tokens[node]!;
        positions[at] = trie.depths[node]!;
        end[at] = start + ends[node]!;
        if (trie.targets[node]! < 0) continue;
        numbers[node] = sources.push(at) - 1;
        targets.push(trie.targets[node]!);
        inverseTemperatures.push(trie.inverseTemperatures[node]!);
      }
      members.forEach((index, k) => {
        scoredOf.set(
          index,
          trie.scored[k]!.map((node) => numbers[node]!),
        );
      });
      start += trie.size;
    }
  });
  const inverse = new Int32Array(size).fill(sources.length);
  sources.forEach((at, n) => {
    inverse[at] = n;
  });
  const sequences = Int32Array.from(scoredOf.keys()).sort();
  const scored: number[] = [];
  const places: number[] = [];
  for (const index of sequences) {
    scoredOf.get(index)!.forEach((n, k) => {
      scored.push(n);
      places.push(offsets[index]! + k);
    });
  }
  return {
    packed: {
      rows: rows.length,
      width,
      tokens,
      positions,
      end,
      sources: Int32Array.from(sources),
      inverse,
      targets: Int32Array.from(targets),
      inverseTemperatures: Float32Array.from(inverseTemperatures),
      scored: Int32Array.from(scored),
    },
    sequences,
    places: Int32Array.from(places),
  };
}

function check(sequence: TrainingSequence, index: number, options: PackOptions): void {
  const { tokens, mask, temperature = 1 } = sequence;
  const fail = (code: string, message: string, hint?: string): never => {
    throw new TrainingError({
      code,
      message: `Sequence ${index} of the batch: ${message}`,
      ...(hint === undefined ? {} : { hint }),
      facts: { sequence: index, length: tokens.length },
    });
  };
  if (mask.length !== tokens.length) {
    fail("E_SEQUENCE_MASK", `${tokens.length} tokens but a mask of ${mask.length} elements.`);
  }
  if (mask[0] === 1) {
    fail(
      "E_SEQUENCE_MASK",
      "its first token is scored, but nothing comes before it to predict it from.",
      "begin the sequence with a token that is not trained on",
    );
  }
  const stray = mask.findIndex((bit) => bit > 1);
  if (stray >= 0) fail("E_SEQUENCE_MASK", `mask[${stray}] is ${mask[stray]}; it must be 0 or 1.`);
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    fail(
      "E_SEQUENCE_TEMPERATURE",
      `temperature ${temperature} gives no log-probs.`,
      "train on outputs that were sampled at a temperature above 0",
    );
  }
  const length = inputLength(sequence);
  if (length > options.contextLength) {
    fail(
      "E_SEQUENCE_LENGTH",
      `its last scored token has ${length} tokens before it; the model's context is ${options.contextLength}.`,
      "shorten the prompt or lower maxTokens",
    );
  }
  for (let i = 0; i <= length && i < tokens.length; i++) {
    if (tokens[i]! >= 0 && tokens[i]! < options.vocabularySize) continue;
    fail("E_SEQUENCE_TOKEN", `token ${i} is ${tokens[i]}; the vocabulary has ${options.vocabularySize}.`);
  }
}
