/** @file Tiny random models and packed rows for tests of the local engine. */

import type { Architecture, DecoderConfig } from "../../../../src/engine/local/model/config.ts";
import type { PackedRows } from "../../../../src/engine/local/model/packed.ts";
import {
  decoderShapes,
  type Parameter,
  type ParameterTable,
  parameterTable,
} from "../../../../src/engine/local/model/parameters.ts";

/** A small keyed generator of its own, so that fixtures do not change with the library's streams. */
export function uniform(seed: number): () => number {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function tinyConfig(architecture: Architecture, changes: Partial<DecoderConfig> = {}): DecoderConfig {
  const headSize = changes.headSize ?? 8;
  return {
    architecture,
    layers: 2,
    hiddenSize: 24,
    intermediateSize: 40,
    heads: 4,
    keyValueHeads: 2,
    headSize,
    vocabularySize: 29,
    contextLength: 64,
    normEpsilon: 1e-5,
    rope: {
      inverseFrequencies: Float64Array.from(
        { length: headSize / 2 },
        (_, i) => 10000 ** ((-2 * i) / headSize),
      ),
      attentionFactor: 1,
    },
    tiedHead: true,
    queryKeyValueBias: architecture === "qwen2",
    attentionOutputBias: false,
    mlpBias: false,
    queryKeyNorm: architecture === "qwen3",
    ...changes,
  };
}

export const decoderTable = (config: DecoderConfig): ParameterTable => parameterTable(decoderShapes(config));

/** Norm weights near 1, everything else near 0, large enough that no gradient is tiny. */
export function fillRandomly(table: ParameterTable, flat: Float32Array, seed: number, scale = 0.5): void {
  const next = uniform(seed);
  for (const { name, offset, length } of table.parameters) {
    const centre = name.endsWith("norm.weight") ? 1 : 0;
    for (let i = 0; i < length; i++) flat[offset + i] = centre + (next() - 0.5) * scale;
  }
}

export const asFloat64 = (table: ParameterTable, flat: Float32Array): Map<string, Float64Array> =>
  new Map(
    table.parameters.map(({ name, offset, length }: Parameter) => [
      name,
      Float64Array.from(flat.subarray(offset, offset + length)),
    ]),
  );

/** A tree of tokens: a token id and its continuations. */
export interface TokenNode {
  readonly token: number;
  readonly next?: readonly TokenNode[];
}

/** A chain of tokens as a tree without branches. */
export function chain(tokens: readonly number[], next: readonly TokenNode[] = []): TokenNode {
  const [token, ...rest] = tokens;
  return { token: token!, next: rest.length > 0 ? [chain(rest, next)] : next };
}

/** Packs each list of trees into a row, depth first; every token is a source except every third. */
export function packTrees(rowsOfTrees: readonly (readonly TokenNode[])[], minimumWidth = 0): PackedRows {
  const rows = rowsOfTrees.map((trees) => {
    const row: { token: number; position: number; end: number }[] = [];
    const visit = ({ token, next = [] }: TokenNode, position: number) => {
      const entry = { token, position, end: 0 };
      row.push(entry);
      for (const node of next) visit(node, position + 1);
      entry.end = row.length;
    };
    for (const tree of trees) visit(tree, 0);
    return row;
  });
  const width = Math.max(minimumWidth, ...rows.map((row) => row.length));
  const size = rows.length * width;
  const tokens = new Int32Array(size);
  const positions = new Int32Array(size);
  const end = Int32Array.from({ length: size }, (_, i) => (i % width) + 1);
  const sources: number[] = [];
  rows.forEach((row, r) => {
    row.forEach((entry, column) => {
      const at = r * width + column;
      tokens[at] = entry.token;
      positions[at] = entry.position;
      end[at] = entry.end;
      if (at % 3 !== 1) sources.push(at);
    });
  });
  const inverse = new Int32Array(size).fill(sources.length);
  sources.forEach((at, n) => {
    inverse[at] = n;
  });
  const count = sources.length;
  return {
    rows: rows.length,
    width,
    tokens,
    positions,
    end,
    sources: Int32Array.from(sources),
    inverse,
    targets: new Int32Array(count),
    inverseTemperatures: new Float32Array(count).fill(1),
    scored: Int32Array.from({ length: count }, (_, n) => n),
  };
}
