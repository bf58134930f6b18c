/** @file Each operation's vjp against central differences of its own forward graph, and against other saved sets. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attention, splitHeads } from "../../../../src/engine/local/graph/attention.ts";
import {
  add,
  gatherDistinctRows,
  linear,
  linearOnto,
  reshapeRows,
  rmsNorm,
  rotary,
  swiglu,
} from "../../../../src/engine/local/graph/operations.ts";
import { Tape, type Variable } from "../../../../src/engine/local/graph/tape.ts";
import type { OrtBackend } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { uniform } from "../model/fixtures.ts";
import { type Leaf, TapeRunner } from "./run-tape.ts";

let backend: OrtBackend;
beforeAll(async () => {
  backend = await openBackend({ threads: 2 });
});
afterAll(() => backend.dispose());

interface Case {
  readonly name: string;
  /** Differentiable leaves and their shapes; the output is called "y". */
  readonly leaves: Readonly<Record<string, readonly number[]>>;
  /** Leaves without gradient. */
  readonly fixed?: Readonly<Record<string, Leaf>>;
  readonly record: (tape: Tape, leaf: (name: string) => Variable) => Variable;
}

const half = 2;
const rotaryFixed = (rows: number, width: number): Record<string, Leaf> => {
  const angle = (i: number) => Math.floor(i / half) * (0.3 + 0.4 * (i % half));
  const table = (f: (i: number) => number): Leaf => ({
    data: Float32Array.from({ length: 8 * half }, (_, i) => f(angle(i))),
    shape: [8, half],
  });
  return {
    positions: {
      data: BigInt64Array.from({ length: rows * width }, (_, i) => BigInt((i * 3) % 7)),
      shape: [rows, width],
    },
    cosines: table(Math.cos),
    sines: table(Math.sin),
    negatedSines: table((a) => -Math.sin(a)),
  };
};

const cases: readonly Case[] = [
  {
    name: "linear with bias",
    leaves: { x: [5, 3], weight: [4, 3], bias: [4] },
    record: (tape, leaf) => linear(tape, leaf("x"), leaf("weight"), leaf("bias"), "y"),
  },
  {
    name: "two linears of one input",
    leaves: { x: [5, 3], weight: [4, 3], second: [4, 3] },
    record: (tape, leaf) =>
      add(
        tape,
        linear(tape, leaf("x"), leaf("weight"), null, "first"),
        linear(tape, leaf("x"), leaf("second"), null, "other"),
        "y",
      ),
  },
  {
    name: "low-rank addition",
    leaves: { base: [5, 4], x: [5, 2], weight: [4, 2] },
    record: (tape, leaf) => linearOnto(tape, leaf("base"), leaf("x"), leaf("weight"), 1.7, "y"),
  },
  {
    name: "add of one tensor to itself",
    leaves: { x: [5, 3] },
    record: (tape, leaf) => add(tape, leaf("x"), leaf("x"), "y"),
  },
  {
    name: "swiglu",
    leaves: { gate: [5, 6], up: [5, 6] },
    record: (tape, leaf) => swiglu(tape, leaf("gate"), leaf("up"), "y"),
  },
  {
    name: "RMSNorm",
    leaves: { x: [5, 6], weight: [6] },
    record: (tape, leaf) => rmsNorm(tape, leaf("x"), leaf("weight"), 1e-3, "y"),
  },
  {
    name: "RMSNorm per head",
    leaves: { x: [5, 12], weight: [4] },
    record: (tape, leaf) => {
      const heads = reshapeRows(tape, leaf("x"), ["M*3", 4]);
      return reshapeRows(tape, rmsNorm(tape, heads, leaf("weight"), 1e-3), [5, 12]);
    },
  },
  {
    name: "rotary embedding of split heads",
    leaves: { x: [6, 8] },
    fixed: rotaryFixed(2, 3),
    record: (tape, leaf) => {
      const [positions, cosines, sines, negatedSines] = ["positions", "cosines", "sines", "negatedSines"].map(
        leaf,
      ) as [Variable, Variable, Variable, Variable];
      const split = splitHeads(tape, leaf("x"), positions, 2, 4, "split");
      return rotary(tape, split, { positions, cosines, sines, negatedSines }, "y");
    },
  },
  ...[1, 2, 3].map((blocks) => ({
    name: `attention, grouped and masked, in ${blocks} blocks`,
    leaves: { query: [2, 4, 3, 4], key: [2, 2, 3, 4], value: [2, 2, 3, 4] },
    fixed: {
      mask: {
        data: Float32Array.from([
          0, -1e30, -1e30, 0, 0, -1e30, 0, 0, 0, 0, -1e30, -1e30, -1e30, 0, -1e30, 0, -1e30, 0,
        ]),
        shape: [2, 1, 3, 3],
      },
    },
    record: (tape: Tape, leaf: (name: string) => Variable) => {
      const [query, key, value, mask] = ["query", "key", "value", "mask"].map(leaf) as [
        Variable,
        Variable,
        Variable,
        Variable,
      ];
      const shape = { heads: 4, keyValueHeads: 2, headSize: 4 };
      return attention(tape, { query, key, value, mask }, shape, "y", blocks);
    },
  })),
  {
    name: "gather of distinct rows",
    leaves: { x: [5, 3] },
    fixed: {
      index: { data: Int32Array.from([3, 0, 4]), shape: [3] },
      inverse: { data: Int32Array.from([1, 3, 3, 0, 2]), shape: [5] },
    },
    record: (tape, leaf) => gatherDistinctRows(tape, leaf("x"), leaf("index"), leaf("inverse"), "y"),
  },
];

/** Differentiable leaves as inputs, or as parameters with accumulators. */
function tapeOf({ leaves, fixed = {}, record }: Case, saved: readonly string[], parameters: boolean): Tape {
  const tape = new Tape(saved);
  const known = new Map<string, Variable>();
  for (const [name, shape] of Object.entries(leaves)) {
    known.set(
      name,
      parameters ? tape.parameter(name, shape, true) : tape.input(name, shape, { differentiable: true }),
    );
  }
  for (const [name, { data, shape }] of Object.entries(fixed)) {
    const type =
      data instanceof BigInt64Array ? "int64" : data instanceof Int32Array ? "int32" : ("float32" as const);
    known.set(name, tape.input(name, shape, { type }));
  }
  tape.output(record(tape, (name) => known.get(name)!));
  return tape;
}

describe.each(cases)("$name", (test) => {
  const next = uniform(11);
  const draw = (length: number) => Float32Array.from({ length }, () => 2 * next() - 1);
  const leaves = new Map<string, Leaf>(Object.entries(test.fixed ?? {}));
  for (const [name, shape] of Object.entries(test.leaves)) {
    leaves.set(name, { data: draw(shape.reduce((a, b) => a * b, 1)), shape });
  }

  it("agrees with central differences, as inputs and as parameters", async () => {
    const runner = new TapeRunner(backend, tapeOf(test, [], false));
    const [outputName, output] = [...(await runner.run(leaves)).outputs][0]!;
    const dy = draw(output.data.length);
    const seed = new Map([[outputName, { data: dy, shape: output.shape }]]);
    const { gradients } = await runner.run(leaves, seed);
    expect([...gradients.keys()].sort()).toEqual(Object.keys(test.leaves).sort());

    const objective = async (changed: ReadonlyMap<string, Leaf>): Promise<number> => {
      const { outputs } = await runner.run(changed);
      return outputs.get(outputName)!.data.reduce((sum, v, i) => sum + v * dy[i]!, 0);
    };
    for (const name of Object.keys(test.leaves)) {
      const { data, shape } = leaves.get(name)! as { data: Float32Array; shape: readonly number[] };
      const direction = draw(data.length);
      const at = (step: number) =>
        objective(new Map(leaves).set(name, { data: data.map((v, i) => v + step * direction[i]!), shape }));
      const slope = ((await at(0.01)) - (await at(-0.01))) / 0.02;
      const expected = gradients.get(name)!.reduce((sum, g, i) => sum + g * direction[i]!, 0);
      expect(Math.abs(slope - expected)).toBeLessThan(2e-3 * (1 + Math.abs(expected)));
      expect(Math.abs(expected)).toBeGreaterThan(1e-3);
    }

    const start = new Map(
      Object.keys(test.leaves).map((name) => [name, draw(leaves.get(name)!.data.length)] as const),
    );
    const kept = new Map([...start].map(([name, values]) => [name, values.slice()]));
    const accumulated = await new TapeRunner(backend, tapeOf(test, [], true)).run(leaves, seed, start);
    for (const [name, values] of accumulated.gradients) {
      values.forEach((v, i) => {
        expect(v).toBeCloseTo(kept.get(name)![i]! + gradients.get(name)![i]!, 4);
      });
      expect(start.get(name)).toEqual(values);
    }
  });
});
