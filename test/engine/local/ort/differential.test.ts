/**
 * @file Two independent bindings of one library must give the same bits: any difference is a fault of a binding
 * (a wrong index, type, length or lifetime), never of arithmetic. The corpus covers every operator of the decoder's
 * graphs, forward and backward.
 */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type DataType,
  float,
  GraphBuilder,
  type Value,
} from "../../../../src/engine/local/graph/graph-builder.ts";
import type { OrtBackend, TensorArray } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { key, Stream } from "../../../../src/random/stream.ts";

type Shape = readonly number[];
interface Case {
  readonly name: string;
  readonly inputs: readonly (readonly [DataType, Shape, highest?: number])[];
  /** Of the outputs. Default: as many dimensions as the first input. */
  readonly ranks?: readonly number[];
  readonly build: (graph: GraphBuilder, inputs: readonly Value[]) => readonly Value[];
}

const microsoft = "com.microsoft" as const;
const f = (...shape: number[]) => ["float32", shape] as const;
const unary = (kernel: string, options = {}): Case => ({
  name: kernel,
  inputs: [f(3, 5, 7)],
  build: (graph, [x]) => [graph.op(kernel, [x!], options)],
});
const binary = (kernel: string): Case => ({
  name: kernel,
  inputs: [f(4, 6), f(6)],
  build: (graph, [x, y]) => [graph.op(kernel, [x!, y!])],
});

const corpus: readonly Case[] = [
  ...["Neg", "Exp", "Sigmoid", "Tanh", "Sqrt", "Identity", "Transpose"].map((kernel) => unary(kernel)),
  unary("Softmax", { attributes: { axis: -1 } }),
  unary("LogSoftmax", { attributes: { axis: -1 } }),
  unary("QuickGelu", { domain: microsoft, attributes: { alpha: float(1) } }),
  ...["Add", "Sub", "Mul", "Div", "Min", "Max"].map(binary),
  {
    name: "Gemm",
    inputs: [f(65, 33), f(40, 33), f(65, 40)],
    build: (graph, inputs) => [
      graph.op("Gemm", inputs, { attributes: { transB: 1, alpha: float(0.5), beta: float(2) } }),
    ],
  },
  {
    name: "MatMul",
    inputs: [f(2, 9, 8), f(2, 8, 7)],
    build: (graph, inputs) => [graph.op("MatMul", inputs)],
  },
  {
    name: "FusedMatMul",
    inputs: [f(2, 8, 9), f(2, 8, 7)],
    build: (graph, inputs) => [
      graph.op("FusedMatMul", inputs, { domain: microsoft, attributes: { transA: 1, alpha: float(0.25) } }),
    ],
  },
  {
    name: "SimplifiedLayerNormalization",
    inputs: [f(6, 16), f(16)],
    build: (graph, inputs) =>
      graph.ops("SimplifiedLayerNormalization", inputs, {
        attributes: { axis: -1, epsilon: float(1e-5), stash_type: 1 },
        types: ["float32", "float32"],
      }),
  },
  {
    name: "RotaryEmbedding",
    inputs: [f(2, 3, 4, 8), ["int64", [2, 4], 6], f(6, 4), f(6, 4)],
    build: (graph, inputs) => [
      graph.op("RotaryEmbedding", inputs, { domain: microsoft, attributes: { interleaved: 0 } }),
    ],
  },
  {
    name: "Gather",
    inputs: [f(10, 6), ["int64", [7], 10]],
    build: (graph, inputs) => [graph.op("Gather", inputs, { attributes: { axis: 0 } })],
  },
  {
    name: "GatherElements and ScatterElements",
    inputs: [f(5, 4), ["int64", [5, 1], 4]],
    build: (graph, [x, index]) => {
      const picked = graph.op("GatherElements", [x!, index!], { attributes: { axis: 1 } });
      const options = { attributes: { axis: 1, reduction: "add" } };
      return [picked, graph.op("ScatterElements", [x!, index!, picked], options)];
    },
  },
  {
    name: "ReduceSum",
    inputs: [f(5, 6, 7)],
    ranks: [2],
    build: (graph, [x]) => [graph.op("ReduceSum", [x!, graph.int64s([1])], { attributes: { keepdims: 0 } })],
  },
  {
    name: "Slice, Concat, Reshape and Pad",
    inputs: [f(4, 6)],
    ranks: [2, 1],
    build: (graph, [x]) => {
      const slice = graph.op("Slice", [x!, graph.int64s([1]), graph.int64s([5]), graph.int64s([1])]);
      const joined = graph.op("Concat", [slice, slice], { attributes: { axis: 1 } });
      const flat = graph.op("Reshape", [joined, graph.int64s([-1])]);
      return [joined, graph.op("Pad", [flat, graph.int64s([1, 2])])];
    },
  },
  {
    name: "Cast, Less and Where",
    inputs: [
      ["int64", [4, 4], 9],
      ["int32", [4, 4], 9],
    ],
    build: (graph, [a, b]) => {
      const wide = graph.op("Cast", [b!], { attributes: { to: 7 }, types: ["int64"] });
      const less = graph.op("Less", [a!, wide], { types: ["bool"] });
      return [less, graph.op("Where", [less, a!, wide], { types: ["int64"] })];
    },
  },
  {
    name: "Shape",
    inputs: [f(3, 5)],
    ranks: [1],
    build: (graph, [x]) => [graph.op("Shape", [x!], { types: ["int64"] })],
  },
  {
    name: "GroupQueryAttention",
    inputs: [f(2, 3, 32), f(2, 3, 16), f(2, 3, 16), f(2, 2, 5, 8), f(2, 2, 5, 8)],
    ranks: [3, 4, 4],
    build: (graph, inputs) => {
      const last = graph.constant(Int32Array.of(2, 2), [2]);
      const total = graph.constant(Int32Array.of(3), [1]);
      return graph.ops("GroupQueryAttention", [...inputs, last, total], {
        domain: microsoft,
        attributes: { num_heads: 4, kv_num_heads: 2 },
        types: ["float32", "float32", "float32"],
      });
    },
  },
];

function draw(stream: Stream, [type, shape, highest = 2]: Case["inputs"][number]): TensorArray {
  const length = shape.reduce((product, dimension) => product * dimension, 1);
  const whole = () => Math.floor(stream.uniform() * highest);
  if (type === "int64") return BigInt64Array.from({ length }, () => BigInt(whole()));
  if (type === "int32") return Int32Array.from({ length }, whole);
  return Float32Array.from({ length }, () => 4 * stream.uniform() - 1);
}

describe("the bindings agree to the bit", () => {
  let ffi: OrtBackend;
  let stock: OrtBackend;
  beforeAll(async () => {
    ffi = await openBackend({ backend: "ffi", threads: 2 });
    stock = await openBackend({ backend: "stock", threads: 2 });
  });
  afterAll(() => {
    ffi.dispose();
    stock.dispose();
  });

  it.each(corpus)("on $name", async ({ name, inputs, ranks, build }) => {
    const graph = new GraphBuilder();
    const values = inputs.map(([type, shape], i) => graph.input(`input${i}`, type, shape));
    for (const [i, value] of build(graph, values).entries()) {
      const rank = ranks?.[i] ?? inputs[0]![1].length;
      const dimensions = Array.from({ length: rank }, (_, axis) => `size${i}_${axis}`);
      graph.output(value, dimensions, `output${i}`);
    }
    const model = graph.build();
    const stream = new Stream(key(7, name));
    const arrays = inputs.map((input) => draw(stream, input));
    const run = async (backend: OrtBackend) => {
      const session = await backend.createSession(model);
      const tensors = arrays.map((array, i) => backend.tensor(array.slice(), inputs[i]![1]));
      const allocated = session.run(
        tensors,
        session.outputNames.map(() => null),
      );
      const prepared = allocated.map(({ data, dimensions }) =>
        backend.tensor(
          new (data.constructor as Float32ArrayConstructor)(data.length) as TensorArray,
          dimensions,
        ),
      );
      session.run(tensors, prepared);
      return [...allocated, ...prepared].map(({ data, dimensions }) => ({ dimensions, data: [...data] }));
    };
    const [ours, theirs] = [await run(ffi), await run(stock)];
    expect(ours).toEqual(theirs);
    const half = ours.length / 2;
    expect(ours.slice(half)).toEqual(ours.slice(0, half));
  });
});
