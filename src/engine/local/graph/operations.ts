/**
 * @file The operations that a decoder is made of, each with its vector-Jacobian product (vjp). Matrices are
 * row-major; linear weights are [out, in] as in Hugging Face checkpoints, which is also the layout in which the
 * CPU's Gemm is fastest in all three of its uses.
 */

import { type DataType, type Dimension, float, type GraphBuilder, type Value } from "./graph-builder.ts";
import { type BackwardPass, type Tape, TapeError, type Variable } from "./tape.ts";

const microsoft = "com.microsoft" as const;

/** sum + value, or value where there is no sum yet. */
export function addTo(graph: GraphBuilder, sum: Value | null, value: Value): Value {
  return sum === null ? value : graph.op("Add", [sum, value]);
}

/** a·b (+ c) with optional transposition of each factor. */
export function gemm(
  graph: GraphBuilder,
  a: Value,
  b: Value,
  options: { c?: Value | null; transA?: boolean; transB?: boolean; alpha?: number } = {},
): Value {
  return graph.op("Gemm", options.c ? [a, b, options.c] : [a, b], {
    attributes: {
      transA: options.transA ? 1 : 0,
      transB: options.transB ? 1 : 0,
      ...(options.alpha === undefined ? {} : { alpha: float(options.alpha) }),
    },
  });
}

/** Batched alpha·a·b over the last two axes. */
export function batchedMatmul(
  graph: GraphBuilder,
  a: Value,
  b: Value,
  options: { transA?: boolean; transB?: boolean; alpha?: number } = {},
): Value {
  return graph.op("FusedMatMul", [a, b], {
    domain: microsoft,
    attributes: {
      transA: options.transA ? 1 : 0,
      transB: options.transB ? 1 : 0,
      alpha: float(options.alpha ?? 1),
    },
  });
}

export const reduceSum = (graph: GraphBuilder, value: Value, axis: number, keep: boolean): Value =>
  graph.op("ReduceSum", [value, graph.int64s([axis])], { attributes: { keepdims: keep ? 1 : 0 } });

/** Adds a weight's gradient dyᵀ·x into its accumulator, which is Gemm's C. */
function contributeWeight(
  { graph, read, contribute }: BackwardPass,
  weight: Variable,
  gradient: Value,
  x: Variable,
  alpha?: number,
): void {
  contribute(weight, (sum) =>
    gemm(graph, gradient, read(x), { c: sum, transA: true, ...(alpha === undefined ? {} : { alpha }) }),
  );
}

/** x [M, in] · weightᵀ [in, out] + bias [out] → [M, out]. */
export function linear(
  tape: Tape,
  x: Variable,
  weight: Variable,
  bias: Variable | null = null,
  name?: string,
): Variable {
  const output = {
    ...(name === undefined ? {} : { name }),
    dimensions: [x.dimensions[0]!, weight.dimensions[0]!],
  };
  return tape.record({
    inputs: bias ? [x, weight, bias] : [x, weight],
    outputs: [output],
    emit: (graph, [a, b, c]) => [gemm(graph, a!, b!, { c: c ?? null, transB: true })],
    vjp: (backward, gradient) => {
      const { graph, read, contribute } = backward;
      contributeWeight(backward, weight, gradient, x);
      if (bias) contribute(bias, (sum) => addTo(graph, sum, reduceSum(graph, gradient, 0, false)));
      contribute(x, (sum) => gemm(graph, gradient, read(weight), { c: sum }));
    },
  })[0]!;
}

/** base [M, out] + scale·x·weightᵀ: the second half of a low-rank adapter, added onto what is there. */
export function linearOnto(
  tape: Tape,
  base: Variable,
  x: Variable,
  weight: Variable,
  scale: number,
  name?: string,
): Variable {
  return tape.record({
    inputs: [base, x, weight],
    outputs: [{ ...(name === undefined ? {} : { name }), dimensions: base.dimensions }],
    emit: (graph, [c, a, b]) => [gemm(graph, a!, b!, { c: c!, transB: true, alpha: scale })],
    vjp: (backward, gradient) => {
      const { graph, read, contribute } = backward;
      contributeWeight(backward, weight, gradient, x, scale);
      contribute(x, (sum) => addTo(graph, sum, gemm(graph, gradient, read(weight), { alpha: scale })));
      contribute(base, (sum) => addTo(graph, sum, gradient));
    },
  })[0]!;
}

export function add(tape: Tape, a: Variable, b: Variable, name?: string): Variable {
  return tape.record({
    inputs: [a, b],
    outputs: [{ ...(name === undefined ? {} : { name }), dimensions: a.dimensions }],
    emit: (graph, inputs) => [graph.op("Add", inputs)],
    vjp: ({ graph, contribute }, gradient) => {
      contribute(a, (sum) => addTo(graph, sum, gradient));
      contribute(b, (sum) => addTo(graph, sum, gradient));
    },
  })[0]!;
}

/**
 * silu(gate) · up, with silu(z) = z·σ(z) and silu'(z) = σ(z)·(1 + z − silu(z)) (Shazeer, 2020: SwiGLU).
 * One operation over its parts, because the backward pass shares σ and silu between the two gradients.
 */
export function swiglu(tape: Tape, gate: Variable, up: Variable, name?: string): Variable {
  const part = (emit: (graph: GraphBuilder, z: Value) => Value): Variable =>
    tape.record({
      inputs: [gate],
      outputs: [{ dimensions: gate.dimensions }],
      emit: (graph, [z]) => [emit(graph, z!)],
    })[0]!;
  const sigmoid = part((graph, z) => graph.op("Sigmoid", [z]));
  const silu = part((graph, z) =>
    graph.op("QuickGelu", [z], { domain: microsoft, attributes: { alpha: float(1) } }),
  );
  return tape.record({
    inputs: [silu, up, gate],
    outputs: [{ ...(name === undefined ? {} : { name }), dimensions: gate.dimensions }],
    emit: (graph, [activated, u]) => [graph.op("Mul", [activated!, u!])],
    vjp: ({ graph, read, contribute }, gradient) => {
      contribute(gate, (sum) => {
        const onePlus = graph.op("Add", [graph.op("Sub", [read(gate), read(silu)]), graph.scalar(1)]);
        const slope = graph.op("Mul", [onePlus, read(sigmoid)]);
        const through = graph.op("Mul", [gradient, read(up)]);
        return addTo(graph, sum, graph.op("Mul", [through, slope]));
      });
      contribute(up, (sum) => addTo(graph, sum, graph.op("Mul", [gradient, read(silu)])));
    },
  })[0]!;
}

/**
 * y = x·s·w over the last axis of [M, width], with s = 1/√(mean(x²) + ε) (Zhang & Sennrich, 2019: RMSNorm).
 * With x̂ = x·s and p = dy·x̂: dw = Σ p; dx = s·(dy·w − x̂·(p·w)/width).
 */
export function rmsNorm(tape: Tape, x: Variable, weight: Variable, epsilon: number, name?: string): Variable {
  const width = weight.dimensions[0] as number;
  const [y, inverse] = tape.record({
    inputs: [x, weight],
    outputs: [
      { ...(name === undefined ? {} : { name }), dimensions: x.dimensions },
      { dimensions: [...x.dimensions.slice(0, -1), 1] },
    ],
    emit: (graph, inputs) =>
      graph.ops("SimplifiedLayerNormalization", inputs, {
        attributes: { axis: -1, epsilon: float(epsilon), stash_type: 1 },
        types: ["float32", "float32"],
      }),
    vjp: ({ graph, read, contribute }, gradient) => {
      const w = read(weight);
      const s = read(inverse!);
      const unit = graph.op("Mul", [read(x), s]);
      const product = graph.op("Mul", [gradient, unit]);
      contribute(weight, (sum) => addTo(graph, sum, reduceSum(graph, product, 0, false)));
      contribute(x, (sum) => {
        // [M, width] · [width, 1]: the row sums of p·w, divided by the width.
        const column = graph.op("Reshape", [w, graph.int64s([width, 1])]);
        const mean = gemm(graph, product, column, { alpha: 1 / width });
        const along = graph.op("Mul", [unit, mean]);
        const across = graph.op("Sub", [graph.op("Mul", [gradient, w]), along]);
        return addTo(graph, sum, graph.op("Mul", [across, s]));
      });
    },
  });
  return y!;
}

/** A view of the same elements: constant sizes but for the first, which may be symbolic on both sides. */
export function reshapeRows(
  tape: Tape,
  x: Variable,
  dimensions: readonly [Dimension, ...number[]],
): Variable {
  const view = (graph: GraphBuilder, value: Value, [, ...rest]: readonly Dimension[]): Value =>
    graph.op("Reshape", [value, graph.int64s([-1, ...(rest as number[])])]);
  return tape.record({
    inputs: [x],
    outputs: [{ dimensions, type: x.type }],
    emit: (graph, [value]) => [view(graph, value!, dimensions)],
    vjp: ({ graph, contribute }, gradient) =>
      contribute(x, (sum) => addTo(graph, sum, view(graph, gradient, x.dimensions))),
  })[0]!;
}

/**
 * A vector of sizes: numbers are constants, `{ axis }` is that axis of `of`. It costs a few small nodes a graph and
 * keeps every session free of fixed shapes.
 */
export function sizes(
  tape: Tape,
  of: Variable,
  parts: readonly (number | { readonly axis: number })[],
): Variable {
  return tape.record({
    inputs: [of],
    outputs: [{ dimensions: [parts.length], type: "int64" }],
    emit: (graph, [value]) => {
      const pieces = parts.map((part) =>
        typeof part === "number"
          ? graph.int64s([part])
          : graph.op("Shape", [value!], {
              attributes: { start: part.axis, end: part.axis + 1 },
              types: ["int64"],
            }),
      );
      return [graph.op("Concat", pieces, { attributes: { axis: 0 }, types: ["int64"] })];
    },
  })[0]!;
}

/**
 * Rotary position embedding (Su et al., 2021) of x [R, heads, T, headSize], halves rotated as in Hugging Face:
 * positions [R, T] pick rows of the tables [positions, headSize / 2]. A rotation's transpose turns by −θ.
 */
export function rotary(tape: Tape, x: Variable, tables: RotaryTables, name?: string): Variable {
  const turn = (graph: GraphBuilder, [value, positions, cosines, sines]: readonly Value[]): Value =>
    graph.op("RotaryEmbedding", [value!, positions!, cosines!, sines!], {
      domain: microsoft,
      attributes: { interleaved: 0 },
    });
  return tape.record({
    inputs: [x, tables.positions, tables.cosines, tables.sines],
    outputs: [{ ...(name === undefined ? {} : { name }), dimensions: x.dimensions }],
    emit: (graph, inputs) => [turn(graph, inputs)],
    vjp: ({ graph, read, contribute }, gradient) =>
      contribute(x, (sum) => {
        const backwards = [tables.positions, tables.cosines, tables.negatedSines].map(read);
        return addTo(graph, sum, turn(graph, [gradient, ...backwards]));
      }),
  })[0]!;
}

/** positions int64 [R, T]; the others [positions, headSize / 2]. */
export interface RotaryTables {
  readonly positions: Variable;
  readonly cosines: Variable;
  readonly sines: Variable;
  readonly negatedSines: Variable;
}

/** Rows of x [M, width] by index [N]: the rows must be all different, and `inverse` [M] must hold n for row
 * index[n] and N for every other row. So the backward pass is a gather too, and no two threads add to one row. */
export function gatherDistinctRows(
  tape: Tape,
  x: Variable,
  index: Variable,
  inverse: Variable,
  name?: string,
): Variable {
  const width = x.dimensions[1] as number;
  return tape.record({
    inputs: [x, index],
    outputs: [{ ...(name === undefined ? {} : { name }), dimensions: [index.dimensions[0]!, width] }],
    emit: (graph, inputs) => [graph.op("Gather", inputs, { attributes: { axis: 0 } })],
    vjp: ({ graph, read, contribute }, gradient) =>
      contribute(x, (sum) => {
        const zeros = graph.constant(new Float32Array(width), [1, width]);
        const rows = graph.op("Concat", [gradient, zeros], { attributes: { axis: 0 } });
        return addTo(graph, sum, graph.op("Gather", [rows, read(inverse)], { attributes: { axis: 0 } }));
      }),
  })[0]!;
}

/** Runs of x along one axis: `count` of them, equally long but for a shorter last one. Together they are x. */
export function split(tape: Tape, x: Variable, axis: number, count: number): readonly Variable[] {
  if (count === 1) return [x];
  return tape.record({
    inputs: [x],
    outputs: Array.from({ length: count }, (_, i) => ({
      dimensions: x.dimensions.with(axis, `${x.dimensions[axis]}/${count}.${i}`),
      differentiable: true,
    })),
    emit: (graph, [value]) =>
      graph.ops("Split", [value!], {
        attributes: { axis, num_outputs: count },
        types: new Array<DataType>(count).fill(x.type),
      }),
    vjp: ({ graph, contribute }, _, all) =>
      contribute(x, (sum) => {
        const parts = all.map((part, i) => part ?? noGradient(`run ${i} of a split`));
        return addTo(graph, sum, graph.op("Concat", parts, { attributes: { axis } }));
      }),
  });
}

/** The opposite of `split`: what was cut from `whole` along `axis`, in order. */
export function join(tape: Tape, parts: readonly Variable[], axis: number, whole: Variable): Variable {
  if (parts.length === 1) return parts[0]!;
  return tape.record({
    inputs: parts,
    outputs: [{ dimensions: whole.dimensions }],
    emit: (graph, values) => [graph.op("Concat", values, { attributes: { axis } })],
    vjp: ({ graph, contribute }, gradient) => {
      const attributes = { axis, num_outputs: parts.length };
      const types = parts.map((): DataType => "float32");
      const pieces = graph.ops("Split", [gradient], { attributes, types });
      parts.forEach((part, i) => {
        contribute(part, (sum) => addTo(graph, sum, pieces[i]!));
      });
    },
  })[0]!;
}

/** The first `runs` of `count` runs (as `split` cuts them) of x along `axis`. */
export function prefix(tape: Tape, x: Variable, axis: number, runs: number, count: number): Variable {
  if (runs === count) return x;
  const whole = sizes(tape, x, [{ axis }]);
  const end = tape.record({
    inputs: [whole],
    outputs: [{ dimensions: [1], type: "int64" }],
    emit: (graph, [length]) => {
      const rounded = graph.op("Add", [length!, graph.int64s([count - 1])]);
      return [graph.op("Mul", [graph.op("Div", [rounded, graph.int64s([count])]), graph.int64s([runs])])];
    },
  })[0]!;
  return tape.record({
    inputs: [x, end],
    outputs: [{ dimensions: x.dimensions.with(axis, `${x.dimensions[axis]}/${count}<${runs}`) }],
    emit: (graph, [value, until]) => [
      graph.op("Slice", [value!, graph.int64s([0]), until!, graph.int64s([axis])]),
    ],
    vjp: ({ graph, read, contribute }, gradient) =>
      contribute(x, (sum) => {
        const missing = graph.op("Sub", [read(whole), read(end)]);
        const before = graph.int64s(new Array<number>(axis + x.dimensions.length).fill(0));
        const after = graph.int64s(new Array<number>(x.dimensions.length - axis - 1).fill(0));
        const pads = graph.op("Concat", [before, missing, after], { attributes: { axis: 0 } });
        return addTo(graph, sum, graph.op("Pad", [gradient, pads]));
      }),
  })[0]!;
}

function noGradient(what: string): never {
  throw new TapeError({ code: "E_TAPE_GRADIENT", message: `No gradient came back through ${what}.` });
}
