/**
 * @file Checks at start-up the kernels whose faults would be silent: in-place writing and accumulation, second
 * outputs that a provider may leave unwritten, fused operators with conventions of their own. Each is compared with
 * plain TypeScript on small random numbers.
 */

import { float, GraphBuilder } from "../graph/graph-builder.ts";
import type { OrtBackend, OrtTensor, TensorArray } from "./backend.ts";
import { OrtSelfTestError } from "./errors.ts";
import {
  groupQueryAttention,
  product,
  rootMeanSquareNorm,
  rotateHalves,
  sequenceOf,
  silu,
  softmax,
  transpose,
} from "./reference-kernels.ts";

const microsoft = "com.microsoft" as const;

/** A difference between two orders of float32 summation, not between two formulas. */
const tolerance = 1e-5;

type Compare = (what: string, got: ArrayLike<number>, wanted: ArrayLike<number>) => void;
type Run = (inputs: readonly OrtTensor[], outputs: readonly (OrtTensor | null)[]) => Promise<OrtTensor[]>;
type MakeTensor = (data: TensorArray, dimensions: readonly number[]) => OrtTensor;

interface SelfTest {
  readonly kernel: string;
  readonly build: (graph: GraphBuilder) => void;
  readonly check: (run: Run, tensor: MakeTensor, compare: Compare) => Promise<void>;
}

/** Runs all checks; throws an {@link OrtSelfTestError} that names the first kernel with wrong numbers. */
export async function runSelfTests(backend: OrtBackend): Promise<void> {
  for (const test of selfTests) await runSelfTest(backend, test);
}

async function runSelfTest(backend: OrtBackend, { kernel, build, check }: SelfTest): Promise<void> {
  const graph = new GraphBuilder();
  build(graph);
  const session = await backend.createSession(graph.build());
  const made: OrtTensor[] = [];
  const keep = <T extends OrtTensor>(tensor: T): T => {
    made.push(tensor);
    return tensor;
  };
  try {
    await check(
      async (inputs, outputs) => session.run(inputs, outputs).map(keep),
      (data, dimensions) => keep(backend.tensor(data, dimensions)),
      (what, got, wanted) => compareNumbers(backend, kernel, what, got, wanted),
    );
  } finally {
    for (const tensor of made) tensor.dispose();
    session.dispose();
  }
}

function compareNumbers(
  { kind, version }: OrtBackend,
  kernel: string,
  what: string,
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
): void {
  let index = got.length === wanted.length ? -1 : 0;
  for (let i = 0; index < 0 && i < wanted.length; i++) {
    const scale = Math.max(1, Math.abs(wanted[i]!));
    if (!(Math.abs(got[i]! - wanted[i]!) <= tolerance * scale)) index = i;
  }
  if (index < 0) return;
  throw new OrtSelfTestError({
    code: "E_ORT_SELF_TEST",
    message:
      `The kernel ${kernel} of ONNX Runtime ${version} (${kind}) is wrong: ${what}[${index}] is ${got[index]}, ` +
      `not ${wanted[index]} (${got.length} elements, expected ${wanted.length}).`,
    hint: "unset TROUPE_ORT_LIBRARY, reinstall onnxruntime-node 1.30, or try the other binding (backend option).",
    facts: { kernel, what, index, got: got[index], wanted: wanted[index], version, kind },
  });
}

/** Enough elements that the runtime splits the work between threads. */
const wide = 40_000;

const elementwise = (kernel: "Add" | "Mul", wanted: (a: number, b: number) => number): SelfTest => ({
  kernel: `${kernel} in place`,
  build: (graph) => {
    const a = graph.input("a", "float32", ["n"]);
    const b = graph.input("b", "float32", ["n"]);
    graph.output(graph.op(kernel, [a, b]), ["n"], "y");
  },
  check: async (run, tensor, compare) => {
    const a = sequenceOf(wide, 1);
    const b = sequenceOf(wide, 2);
    const expected = a.map((value, i) => wanted(value, b[i]!));
    const target = tensor(a, [wide]);
    await run([target, tensor(b, [wide])], [target]);
    compare("y", a, expected);
  },
});

const [rows, inner, columns] = [33, 48, 20] as const;

export const selfTests: readonly SelfTest[] = [
  {
    kernel: "Gemm with C in place",
    build: (graph) => {
      const a = graph.input("a", "float32", [inner, rows]);
      const b = graph.input("b", "float32", [inner, columns]);
      const c = graph.input("c", "float32", [rows, columns]);
      graph.output(graph.op("Gemm", [a, b, c], { attributes: { transA: 1 } }), [rows, columns], "y");
    },
    check: async (run, tensor, compare) => {
      // Small whole numbers: every order of summation gives the same bits.
      const whole = (length: number, seed: number) => sequenceOf(length, seed).map((x) => Math.round(4 * x));
      const a = whole(inner * rows, 3);
      const b = whole(inner * columns, 4);
      const c = whole(rows * columns, 5);
      const added = product(transpose(a, inner, rows), b, rows, inner, columns);
      const expected = c.map((value, i) => value + 2 * added[i]!);
      const accumulator = tensor(c, [rows, columns]);
      const factors = [tensor(a, [inner, rows]), tensor(b, [inner, columns])];
      await run([...factors, accumulator], [accumulator]);
      await run([...factors, accumulator], [accumulator]);
      compare("y", c, expected);
    },
  },
  elementwise("Add", (a, b) => a + b),
  elementwise("Mul", (a, b) => a * b),
  {
    kernel: "FusedMatMul",
    build: (graph) => {
      const a = graph.input("a", "float32", [2, rows, inner]);
      const b = graph.input("b", "float32", [2, columns, inner]);
      const y = graph.op("FusedMatMul", [a, b], {
        domain: microsoft,
        attributes: { transB: 1, alpha: float(0.5) },
      });
      graph.output(y, [2, rows, columns], "y");
    },
    check: async (run, tensor, compare) => {
      const a = sequenceOf(2 * rows * inner, 6);
      const b = sequenceOf(2 * columns * inner, 7);
      const expected = [0, 1].flatMap((batch) => {
        const left = a.subarray(batch * rows * inner, (batch + 1) * rows * inner);
        const right = b.subarray(batch * columns * inner, (batch + 1) * columns * inner);
        const result = product(left, transpose(right, columns, inner), rows, inner, columns);
        return Array.from(result, (value) => value / 2);
      });
      const [y] = await run([tensor(a, [2, rows, inner]), tensor(b, [2, columns, inner])], [null]);
      compare("y", y!.data as Float32Array, expected);
    },
  },
  {
    kernel: "SimplifiedLayerNormalization",
    build: (graph) => {
      const x = graph.input("x", "float32", [rows, inner]);
      const weight = graph.input("weight", "float32", [inner]);
      const [y, inverse] = graph.ops("SimplifiedLayerNormalization", [x, weight], {
        attributes: { axis: -1, epsilon: float(1e-5), stash_type: 1 },
        types: ["float32", "float32"],
      });
      graph.output(y!, [rows, inner], "y");
      graph.output(inverse!, [rows, 1], "inverse");
    },
    check: async (run, tensor, compare) => {
      const x = sequenceOf(rows * inner, 8);
      const weight = sequenceOf(inner, 9);
      const expected = rootMeanSquareNorm(x, weight, 1e-5);
      const y = tensor(new Float32Array(rows * inner), [rows, inner]);
      const inverse = tensor(new Float32Array(rows), [rows, 1]);
      await run([tensor(x, [rows, inner]), tensor(weight, [inner])], [y, inverse]);
      compare("y", y.data as Float32Array, expected.y);
      compare("inverse", inverse.data as Float32Array, expected.inverse);
    },
  },
  {
    kernel: "QuickGelu",
    build: (graph) => {
      const x = graph.input("x", "float32", ["n"]);
      const y = graph.op("QuickGelu", [x], { domain: microsoft, attributes: { alpha: float(1) } });
      graph.output(y, ["n"], "y");
    },
    check: async (run, tensor, compare) => {
      const x = sequenceOf(257, 10).map((value) => 8 * value);
      const [y] = await run([tensor(x, [x.length])], [null]);
      compare("y", y!.data as Float32Array, x.map(silu));
    },
  },
  {
    kernel: "Softmax",
    build: (graph) => {
      const x = graph.input("x", "float32", [rows, inner]);
      graph.output(graph.op("Softmax", [x], { attributes: { axis: -1 } }), [rows, inner], "y");
    },
    check: async (run, tensor, compare) => {
      const x = sequenceOf(rows * inner, 11).map((value) => 20 * value);
      const [y] = await run([tensor(x, [rows, inner])], [null]);
      compare("y", y!.data as Float32Array, softmax(x, inner));
    },
  },
  {
    kernel: "RotaryEmbedding",
    build: (graph) => {
      const x = graph.input("x", "float32", [2, 3, 4, 8]);
      const positions = graph.input("positions", "int64", [2, 4]);
      const tables = [graph.input("cos", "float32", ["p", 4]), graph.input("sin", "float32", ["p", 4])];
      const y = graph.op("RotaryEmbedding", [x, positions, ...tables], {
        domain: microsoft,
        attributes: { interleaved: 0 },
      });
      graph.output(y, [2, 3, 4, 8], "y");
    },
    check: async (run, tensor, compare) => {
      const x = sequenceOf(2 * 3 * 4 * 8, 12);
      const positions = BigInt64Array.of(0n, 1n, 2n, 5n, 3n, 0n, 6n, 1n);
      const angles = Float32Array.from({ length: 7 * 4 }, (_, i) => Math.floor(i / 4) / 10 ** (i % 4));
      const [cos, sin] = [angles.map(Math.cos), angles.map(Math.sin)];
      const given = [tensor(x, [2, 3, 4, 8]), tensor(positions, [2, 4])];
      const [y] = await run([...given, tensor(cos, [7, 4]), tensor(sin, [7, 4])], [null]);
      compare("y", y!.data as Float32Array, rotateHalves(x, positions, cos, sin, [2, 3, 4, 8]));
    },
  },
  {
    kernel: "GroupQueryAttention with one cache for past and present",
    build: (graph) => {
      const inputs = (["q", "k", "v"] as const).map((name) =>
        graph.input(name, "float32", [2, 1, name === "q" ? 32 : 16]),
      );
      const past = ["past_key", "past_value"].map((name) => graph.input(name, "float32", [2, 2, 8, 8]));
      const lengths = [graph.input("last", "int32", [2]), graph.input("total", "int32", [1])];
      const [y, key, value] = graph.ops("GroupQueryAttention", [...inputs, ...past, ...lengths], {
        domain: microsoft,
        attributes: { num_heads: 4, kv_num_heads: 2, scale: float(1 / Math.sqrt(8)) },
        types: ["float32", "float32", "float32"],
      });
      graph.output(y!, [2, 1, 32], "y");
      graph.output(key!, [2, 2, 8, 8], "key");
      graph.output(value!, [2, 2, 8, 8], "value");
    },
    check: async (run, tensor, compare) => {
      const q = sequenceOf(2 * 32, 13);
      const k = sequenceOf(2 * 16, 14);
      const v = sequenceOf(2 * 16, 15);
      const keys = sequenceOf(2 * 2 * 8 * 8, 16);
      const values = sequenceOf(2 * 2 * 8 * 8, 17);
      const last = Int32Array.of(5, 2);
      const expected = groupQueryAttention({ q, k, v, keys, values, last, heads: 4, groups: 2, capacity: 8 });
      const cache = [tensor(keys, [2, 2, 8, 8]), tensor(values, [2, 2, 8, 8])];
      const given = [tensor(q, [2, 1, 32]), tensor(k, [2, 1, 16]), tensor(v, [2, 1, 16])];
      const [y] = await run(
        [...given, ...cache, tensor(last, [2]), tensor(Int32Array.of(6), [1])],
        [null, ...cache],
      );
      compare("y", y!.data as Float32Array, expected.y);
      // What lies behind the last token of a row is nobody's: this kernel clears it.
      const used = (cache: Float32Array) =>
        cache.filter((_, i) => Math.floor(i / 8) % 8 <= last[Math.floor(i / (2 * 8 * 8))]!);
      compare("key", used(keys), used(expected.keys));
      compare("value", used(values), used(expected.values));
    },
  },
];
