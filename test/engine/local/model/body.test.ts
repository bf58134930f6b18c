/** @file The decoder's body against a float64 decoder written in plain loops, and its gradients against that one's slopes. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BodyError, DecoderBody } from "../../../../src/engine/local/model/body.ts";
import type { Architecture, DecoderConfig } from "../../../../src/engine/local/model/config.ts";
import type { PackedRows } from "../../../../src/engine/local/model/packed.ts";
import {
  adapterShapes,
  type LoraSettings,
  parameterTable,
} from "../../../../src/engine/local/model/parameters.ts";
import { FlatTensors } from "../../../../src/engine/local/model/weights.ts";
import type { OrtBackend } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import {
  asFloat64,
  chain,
  decoderTable,
  fillRandomly,
  packTrees,
  type TokenNode,
  tinyConfig,
  uniform,
} from "./fixtures.ts";
import { type ReferenceWeights, referenceHidden } from "./reference-decoder.ts";

let backend: OrtBackend;
beforeAll(async () => {
  backend = await openBackend({ threads: 2 });
});
afterAll(() => backend.dispose());

const lora: LoraSettings = {
  rank: 3,
  alpha: 5,
  targets: ["q_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
};

/** A branching trie beside a plain sequence in one row, a shorter row with padding, and repeated ids. */
const ragged = packTrees([
  [chain([1, 2, 3, 4], [chain([5, 6]), chain([7], [chain([8, 9]), chain([10])])]), chain([1, 2, 3])],
  [chain([4, 4, 4, 4, 4])],
  [chain([11, 12]), chain([13, 14, 15]), chain([28])],
]);

interface Model {
  readonly config: DecoderConfig;
  readonly weights: FlatTensors;
  readonly adapter: FlatTensors | null;
}

function model(config: DecoderConfig, adapted: boolean): Model {
  const table = decoderTable(config);
  const weights = new FlatTensors(backend, table);
  fillRandomly(table, weights.flat, 7);
  if (!adapted) return { config, weights, adapter: null };
  const adapter = new FlatTensors(backend, parameterTable(adapterShapes(config, lora)));
  fillRandomly(adapter.table, adapter.flat, 8);
  return { config, weights, adapter };
}

const bodyOf = (
  { config, adapter }: Model,
  trainable: "full" | "frozen-base" = "full",
): Promise<DecoderBody> => DecoderBody.create(backend, config, { trainable, ...(adapter ? { lora } : {}) });

/** The reference's hidden rows at the sources, [N·D], and its weights to be nudged. */
function reference({ config, weights, adapter }: Model, packed: PackedRows) {
  const base: ReferenceWeights = asFloat64(weights.table, weights.flat);
  const adapted = adapter && { weights: asFloat64(adapter.table, adapter.flat), settings: lora };
  const hidden = (): Float64Array => {
    const rows = referenceHidden(config, base, packed, adapted);
    return Float64Array.from([...packed.sources].flatMap((at) => [...rows[at]!]));
  };
  return { hidden, base, adapted };
}

const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  expect(a.length).toBe(b.length);
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
  return difference;
};

/** Largest difference between gradients and slopes of the reference, relative to each tensor's largest gradient. */
async function gradientError(subject: Model, packed: PackedRows, trainable: "full" | "frozen-base") {
  const body = await bodyOf(subject, trainable);
  const trained = trainable === "full" ? subject.weights : subject.adapter!;
  const gradients = new FlatTensors(backend, trained.table);
  const activations = body.forward(subject.weights, subject.adapter, packed);
  const next = uniform(3);
  const dHidden = Float32Array.from({ length: activations.hidden.data.length }, () => next() - 0.5);
  body.backward(subject.weights, subject.adapter, activations, dHidden, gradients);
  activations.dispose();
  body.dispose();

  const { hidden, base, adapted } = reference(subject, packed);
  const objective = () => hidden().reduce((sum, h, i) => sum + h * dHidden[i]!, 0);
  let error = 0;
  for (const { name, length } of trained.table.parameters) {
    const values = (trainable === "full" ? base : adapted!.weights).get(name)!;
    const gradient = gradients.view(name);
    const largest = gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    expect(largest, name).toBeGreaterThan(1e-4);
    for (let draw = 0; draw < 4; draw++) {
      const at = Math.floor(next() * length);
      const before = values[at]!;
      values[at] = before + 1e-5;
      const above = objective();
      values[at] = before - 1e-5;
      const slope = (above - objective()) / 2e-5;
      values[at] = before;
      error = Math.max(error, Math.abs(slope - gradient[at]!) / largest);
    }
  }
  return error;
}

describe.each<Architecture>(["llama", "qwen2", "qwen3"])("%s", (architecture) => {
  it("has the reference's hidden rows, with and without saved activations", async () => {
    const subject = model(tinyConfig(architecture), false);
    const body = await bodyOf(subject);
    const activations = body.forward(subject.weights, null, ragged);
    const plain = body.hidden(subject.weights, null, ragged);
    expect(activations.hidden.dimensions).toEqual([ragged.sources.length, 24]);
    expect(worst(activations.hidden.data as Float32Array, reference(subject, ragged).hidden())).toBeLessThan(
      1e-5,
    );
    expect(plain.data).toEqual(activations.hidden.data);
    plain.dispose();
    activations.dispose();
    body.dispose();
  });

  it("has the reference's gradients of every weight", async () => {
    expect(await gradientError(model(tinyConfig(architecture), false), ragged, "full")).toBeLessThan(2e-5);
  });

  it("has the reference's adapter gradients over a frozen base", async () => {
    expect(await gradientError(model(tinyConfig(architecture), true), ragged, "frozen-base")).toBeLessThan(
      2e-5,
    );
  });
});

describe.each([
  ["head size 16, one key-value head", { headSize: 16, heads: 3, keyValueHeads: 1, layers: 1 }],
  ["head size 64, no groups", { headSize: 64, heads: 2, keyValueHeads: 2, layers: 1 }],
  ["head size 6", { headSize: 6, heads: 4, keyValueHeads: 4, layers: 1 }],
  [
    "all biases, untied head",
    { queryKeyValueBias: true, attentionOutputBias: true, mlpBias: true, layers: 1, tiedHead: false },
  ],
] as const)("%s", (_, changes) => {
  it("has the reference's hidden rows and gradients", async () => {
    const config = tinyConfig("llama", changes);
    const subject = model(config, false);
    const body = await bodyOf(subject);
    const hidden = body.hidden(subject.weights, null, ragged);
    expect(worst(hidden.data as Float32Array, reference(subject, ragged).hidden())).toBeLessThan(1e-5);
    hidden.dispose();
    body.dispose();
    if (config.tiedHead) expect(await gradientError(subject, ragged, "full")).toBeLessThan(2e-5);
  });
});

it.each([
  [130, 64],
  [1030, 300],
])(
  "has the reference's hidden rows in rows of %i, attention in blocks, and their gradients",
  async (width, beside) => {
    const config = tinyConfig("llama", {
      layers: 1,
      contextLength: 2048,
      heads: 2,
      keyValueHeads: 1,
      hiddenSize: 8,
    });
    const subject = model(config, false);
    const next = uniform(12);
    const tokens = (length: number) => Array.from({ length }, () => Math.floor(next() * 29));
    // The second sequence begins inside a block; the trie's branches end inside others.
    const all = packTrees([
      [chain(tokens(beside)), chain(tokens(width - beside - 20), [chain(tokens(9)), chain(tokens(11))])],
    ]);
    // The reference is slow: a few sources near the ends of blocks and rows are enough.
    const sources = Int32Array.of(0, beside - 1, beside, width >> 1, width - 12, width - 11, width - 1);
    const inverse = new Int32Array(width).fill(sources.length);
    sources.forEach((at, n) => {
      inverse[at] = n;
    });
    const packed = { ...all, sources, inverse };
    expect(packed.width).toBe(width);
    const body = await bodyOf(subject);
    const hidden = body.hidden(subject.weights, null, packed);
    expect(worst(hidden.data as Float32Array, reference(subject, packed).hidden())).toBeLessThan(1e-5);
    hidden.dispose();
    body.dispose();
    if (width < 200) expect(await gradientError(subject, packed, "full")).toBeLessThan(2e-5);
  },
);

it("has the reference's hidden rows for any forest of tries, in any shape of model", async () => {
  // Each token hangs under an earlier one of its row, or starts a tree of its own.
  const row = fc.array(fc.tuple(fc.nat(28), fc.nat(1000)), { minLength: 1, maxLength: 14 }).map((entries) => {
    const trees: TokenNode[] = [];
    const nodes: { token: number; next: TokenNode[] }[] = [];
    for (const [token, pick] of entries) {
      const node = { token, next: [] };
      const parent = nodes[pick % (nodes.length + 1)];
      (parent ? parent.next : trees).push(node);
      nodes.push(node);
    }
    return trees;
  });
  const rows = fc.array(row, { minLength: 1, maxLength: 3 });
  const shape = fc.record({
    architecture: fc.constantFrom<Architecture>("llama", "qwen2", "qwen3"),
    keyValueHeads: fc.integer({ min: 1, max: 2 }),
    group: fc.integer({ min: 1, max: 3 }),
    headSize: fc.constantFrom(2, 4, 10),
    hiddenSize: fc.integer({ min: 1, max: 9 }),
  });
  await fc.assert(
    fc.asyncProperty(rows, shape, async (forest, { architecture, group, ...sizes }) => {
      const heads = group * sizes.keyValueHeads;
      // Rows may be longer than the context: only positions count.
      const packed = packTrees(forest);
      const contextLength = Math.max(...packed.positions) + 1;
      const config = tinyConfig(architecture, {
        ...sizes,
        heads,
        contextLength,
        layers: 1,
        normEpsilon: 1e-3,
      });
      const subject = model(config, false);
      const body = await bodyOf(subject);
      const hidden = body.hidden(subject.weights, null, packed);
      expect(worst(hidden.data as Float32Array, reference(subject, packed).hidden())).toBeLessThan(2e-5);
      hidden.dispose();
      body.dispose();
    }),
    { numRuns: 25 },
  );
});

it("gives each branch of a trie what the branch alone gives", async () => {
  const subject = model(tinyConfig("llama"), false);
  const body = await bodyOf(subject);
  const prefix = [1, 2, 3];
  const branches = [[4, 5], [6, 7, 8], [9]];
  const all = { sources: (p: PackedRows) => ({ ...p, ...everySource(p) }) };
  const trie = all.sources(
    packTrees([
      [
        chain(
          prefix,
          branches.map((b) => chain(b)),
        ),
      ],
    ]),
  );
  const alone = all.sources(packTrees(branches.map((b) => [chain([...prefix, ...b])])));
  const shared = body.hidden(subject.weights, null, trie).data as Float32Array;
  const separate = body.hidden(subject.weights, null, alone).data as Float32Array;
  const width = subject.config.hiddenSize;
  let start = prefix.length;
  branches.forEach((branch, b) => {
    branch.forEach((_, i) => {
      const inTrie = (start + i) * width;
      const inRow = (b * alone.width + prefix.length + i) * width;
      expect(
        worst(shared.subarray(inTrie, inTrie + width), separate.subarray(inRow, inRow + width)),
      ).toBeLessThan(1e-5);
    });
    start += branch.length;
  });
  body.dispose();
});

it("adds to gradients, over microbatches of different shapes, and repeats to the same bits", async () => {
  // 4096 tokens of 29 ids on two threads: a scatter with duplicate rows would lose updates here.
  const subject = model(tinyConfig("llama", { contextLength: 64 }), false);
  const body = await bodyOf(subject);
  const next = uniform(9);
  const tokens = (length: number) => Array.from({ length }, () => Math.floor(next() * 29));
  const wide = packTrees(Array.from({ length: 64 }, () => [chain(tokens(64))]));
  const dWide = Float32Array.from({ length: wide.sources.length * 24 }, () => next() - 0.5);
  const dRagged = Float32Array.from({ length: ragged.sources.length * 24 }, () => next() - 0.5);
  const gradients = (parts: readonly (readonly [PackedRows, Float32Array])[]): Float32Array => {
    const sum = new FlatTensors(backend, subject.weights.table);
    for (const [packed, dHidden] of parts) {
      const activations = body.forward(subject.weights, null, packed);
      body.backward(subject.weights, null, activations, dHidden, sum);
      activations.dispose();
    }
    return sum.flat;
  };
  const first = gradients([[wide, dWide]]);
  for (let again = 0; again < 3; again++) expect(gradients([[wide, dWide]])).toEqual(first);
  const second = gradients([[ragged, dRagged]]);
  const both = gradients([
    [wide, dWide],
    [ragged, dRagged],
  ]);
  const scale = first.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
  expect(
    worst(
      both,
      first.map((g, i) => g + second[i]!),
    ) / scale,
  ).toBeLessThan(1e-5);
  body.dispose();
});

it("gives the same bits when layers are run forward again for want of memory", async () => {
  const subject = model(tinyConfig("qwen3", { layers: 3 }), false);
  const perLayer = 4 * ragged.tokens.length * (4 * 8 + 2 * 2 * 8 + 4 * 8 + 24 + 2 * 40);
  const inputs = 4 * ragged.tokens.length * 3 * 24;
  const next = uniform(4);
  const dHidden = Float32Array.from({ length: ragged.sources.length * 24 }, () => next() - 0.5);
  const gradients = async (activationBytes: number): Promise<Float32Array> => {
    const body = await DecoderBody.create(backend, subject.config, { trainable: "full", activationBytes });
    const sum = new FlatTensors(backend, subject.weights.table);
    const activations = body.forward(subject.weights, null, ragged);
    body.backward(subject.weights, null, activations, dHidden, sum);
    activations.dispose();
    body.dispose();
    return sum.flat;
  };
  const everything = await gradients(inputs + 3 * perLayer);
  expect(everything.some((g) => g !== 0)).toBe(true);
  expect(await gradients(inputs + 2 * perLayer)).toEqual(everything);
  expect(await gradients(0)).toEqual(everything);
});

describe("refuses", () => {
  const bad = (changes: Partial<PackedRows>, code: string) =>
    it(code, async () => {
      const subject = model(tinyConfig("llama"), false);
      const body = await bodyOf(subject);
      const attempt = () => body.forward(subject.weights, null, { ...ragged, ...changes });
      expect(attempt).toThrow(BodyError);
      expect(attempt).toThrow(expect.objectContaining({ code }));
      body.dispose();
    });
  bad({ tokens: ragged.tokens.map((t, i) => (i === 3 ? 29 : t)) }, "E_BODY_TOKEN");
  bad({ positions: ragged.positions.map((p, i) => (i === 2 ? 64 : p)) }, "E_BODY_POSITION");
  bad({ end: ragged.end.map((e, i) => (i === 5 ? 5 : e)) }, "E_BODY_END");
  bad({ sources: ragged.sources.map((s, i) => (i === 1 ? ragged.sources[0]! : s)) }, "E_BODY_SOURCES");
  bad({ positions: ragged.positions.slice(1) }, "E_BODY_SHAPE");
  bad({ sources: new Int32Array(0) }, "E_BODY_EMPTY");

  it("activations that were used", async () => {
    const subject = model(tinyConfig("llama"), false);
    const body = await bodyOf(subject);
    const activations = body.forward(subject.weights, null, ragged);
    const sum = new FlatTensors(backend, subject.weights.table);
    const dHidden = new Float32Array(ragged.sources.length * 24);
    body.backward(subject.weights, null, activations, dHidden, sum);
    expect(() => body.backward(subject.weights, null, activations, dHidden, sum)).toThrow(
      expect.objectContaining({ code: "E_BODY_ACTIVATIONS" }),
    );
    activations.dispose();
    body.dispose();
  });

  it("an adapter without settings, and settings without an adapter", async () => {
    const plain = model(tinyConfig("llama"), false);
    const adapted = model(tinyConfig("llama"), true);
    const body = await bodyOf(plain);
    expect(() => body.hidden(plain.weights, adapted.adapter, ragged)).toThrow(
      expect.objectContaining({ code: "E_BODY_ADAPTER" }),
    );
    body.dispose();
    const other = await bodyOf(adapted, "frozen-base");
    expect(() => other.hidden(plain.weights, null, ragged)).toThrow(
      expect.objectContaining({ code: "E_BODY_ADAPTER" }),
    );
    other.dispose();
  });
});

function everySource({ tokens }: PackedRows): Pick<PackedRows, "sources" | "inverse"> {
  const iota = Int32Array.from(tokens, (_, i) => i);
  return { sources: iota, inverse: iota };
}
