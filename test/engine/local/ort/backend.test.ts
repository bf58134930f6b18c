/** @file What both bindings promise: in-place outputs, owned outputs, lifetimes, and errors instead of crashes. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  OrtBackend,
  OrtSession,
  OrtTensor,
  TensorArray,
} from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { multiplication, negation, oneNode } from "./graphs.ts";

const failure = (code: string, text: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(text) });

describe.each(["ffi", "stock"] as const)("the %s binding", (kind) => {
  let backend: OrtBackend;
  let negate: OrtSession;
  let multiply: OrtSession;

  beforeAll(async () => {
    backend = await openBackend({ backend: kind, threads: 2 });
    negate = await backend.createSession(negation());
    multiply = await backend.createSession(multiplication());
  });
  afterAll(() => {
    negate.dispose();
    multiply.dispose();
    backend.dispose();
  });

  const floats = (...values: number[]) => backend.tensor(Float32Array.from(values), [values.length]);

  it("tells kind, version and names", () => {
    expect([backend.kind, backend.version]).toEqual([kind, "1.30.0"]);
    expect([multiply.inputNames, multiply.outputNames]).toEqual([["a", "b"], ["y"]]);
  });

  it("writes preallocated outputs in place and returns the same tensors", () => {
    const y = backend.tensor(new Float32Array(4), [2, 2]);
    const a = backend.tensor(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3]);
    const b = backend.tensor(Float32Array.of(1, 0, 0, 1, 2, 0), [3, 2]);
    const [returned] = multiply.run([a, b], [y]);
    expect(returned).toBe(y);
    expect([...y.data]).toEqual([7, 2, 16, 5]);
  });

  it("reads inputs anew in each run, through views at an offset as well", () => {
    const memory = Float32Array.of(9, 1, 2, 9);
    const a = backend.tensor(memory.subarray(1, 3), [2]);
    const y = floats(0, 0);
    negate.run([a], [y]);
    memory[2] = 5;
    negate.run([a], [y]);
    expect([...y.data]).toEqual([-1, -5]);
  });

  it("lets an output be its input where the kernel is elementwise", () => {
    const a = floats(1, -2, 3);
    negate.run([a], [a]);
    expect([...a.data]).toEqual([-1, 2, -3]);
  });

  it("owns what the runtime allocates, and feeds it to another session", () => {
    const [first] = negate.run([floats(1, 2, 3)], [null]);
    expect(first!.dimensions).toEqual([3]);
    const [second] = negate.run([first!], [null]);
    first!.dispose();
    expect([...second!.data]).toEqual([1, 2, 3]);
    second!.dispose();
  });

  it("shows writes to the memory of an output to the next run", () => {
    const [first] = negate.run([floats(1, 2)], [null]);
    first!.data[0] = 7;
    const [second] = negate.run([first!], [null]);
    expect([...second!.data]).toEqual([-7, 2]);
  });

  it("takes empty tensors", () => {
    const a = backend.tensor(new Float32Array(0), [0, 3]);
    const b = backend.tensor(new Float32Array(6), [3, 2]);
    const [y] = multiply.run([a, b], [null]);
    expect([y!.dimensions, y!.data.length]).toEqual([[0, 2], 0]);
  });

  it("keeps every element type", async () => {
    const arrays: readonly [TensorArray, "int32" | "int64" | "bool" | "float32"][] = [
      [Float32Array.of(0.5, -1), "float32"],
      [Int32Array.of(2 ** 31 - 1, -(2 ** 31)), "int32"],
      [BigInt64Array.of(2n ** 62n, -5n), "int64"],
      [Uint8Array.of(1, 0), "bool"],
    ];
    for (const [array, type] of arrays) {
      const session = await backend.createSession(oneNode("Identity", [[type, [2]]], [type, [2]]));
      const [y] = session.run([backend.tensor(array, [2])], [null]);
      expect(y!.data).toEqual(array);
      y!.dispose();
      session.dispose();
    }
  });

  it("gives any shape back as it was", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 }), (dimensions) => {
        const length = dimensions.reduce((product, dimension) => product * dimension, 1);
        const tensor = backend.tensor(new Int32Array(length), dimensions);
        expect([tensor.dimensions, tensor.data.length]).toEqual([dimensions, length]);
        tensor.dispose();
      }),
    );
  });

  describe("refuses", () => {
    it("arrays and dimensions that disagree, however they disagree", () => {
      fc.assert(
        fc.property(fc.array(fc.nat(5), { maxLength: 4 }), fc.nat(50), (dimensions, length) => {
          fc.pre(dimensions.reduce((product, dimension) => product * dimension, 1) !== length);
          expect(() => backend.tensor(new Float32Array(length), dimensions)).toThrow(/the product is \d+/);
        }),
      );
      for (const odd of [-1, 1.5, Number.NaN, 2 ** 53]) {
        expect(() => backend.tensor(new Float32Array(1), [odd])).toThrow(
          failure("E_TENSOR_SHAPE", /no dimension/),
        );
      }
    });

    it("memory of other kinds", () => {
      const wrong = [new Float64Array(1), [1], "1", null] as unknown[];
      for (const data of wrong) {
        expect(() => backend.tensor(data as Float32Array, [1])).toThrow(
          failure("E_TENSOR_TYPE", /Float64Array|Array|string|object/),
        );
      }
      const resizable = new (ArrayBuffer as unknown as new (n: number, o: object) => ArrayBuffer)(8, {
        maxByteLength: 16,
      });
      expect(() => backend.tensor(new Float32Array(resizable), [2])).toThrow(
        failure("E_TENSOR_TYPE", /resizable/),
      );
    });

    it("too few or too many tensors, with the names", () => {
      const a = backend.tensor(new Float32Array(3), [1, 3]);
      expect(() => multiply.run([a], [null])).toThrow(failure("E_SESSION_ARITY", /1 inputs.*2: a, b/));
      expect(() => negate.run([floats(1)], [])).toThrow(failure("E_SESSION_ARITY", /0 outputs.*1: y/));
      expect(() => negate.run([floats(1)], [null, null])).toThrow(failure("E_SESSION_ARITY", /2 outputs/));
    });

    it("tensors after dispose, as input, as output and as data; twice is once", () => {
      const a = floats(1);
      a.dispose();
      a.dispose();
      expect(() => negate.run([a], [null])).toThrow(failure("E_TENSOR_DISPOSED", /Input "a"/));
      expect(() => negate.run([floats(1)], [a])).toThrow(failure("E_TENSOR_DISPOSED", /Output "y"/));
      expect(() => a.data).toThrow(failure("E_TENSOR_DISPOSED", /disposed/));
      const [y] = negate.run([floats(1)], [null]);
      y!.dispose();
      y!.dispose();
      expect(() => y!.data).toThrow(failure("E_TENSOR_DISPOSED", /disposed/));
      expect(() => negate.run([y!], [null])).toThrow(failure("E_TENSOR_DISPOSED", /Input "a"/));
    });

    it("arrays that were transferred away", () => {
      const array = Float32Array.of(1, 2);
      const a = backend.tensor(array, [2]);
      structuredClone(array.buffer, { transfer: [array.buffer] });
      expect(() => negate.run([a], [null])).toThrow(failure("E_TENSOR_DETACHED", /Input "a".*0 elements/));
      expect(() => negate.run([floats(1, 2)], [a])).toThrow(failure("E_TENSOR_DETACHED", /Output "y"/));
    });

    it("tensors of somebody else", () => {
      const impostor: OrtTensor = { dimensions: [1], data: new Float32Array(1), dispose: () => undefined };
      expect(() => negate.run([impostor], [null])).toThrow(failure("E_TENSOR_FOREIGN", /Input "a"/));
      expect(() => negate.run([floats(1)], [impostor])).toThrow(failure("E_TENSOR_FOREIGN", /Output "y"/));
      expect(() => negate.run([undefined as unknown as OrtTensor], [null])).toThrow(
        failure("E_TENSOR_FOREIGN", /Input "a"/),
      );
    });

    it("sessions and backends after dispose", async () => {
      const session = await backend.createSession(negation());
      session.dispose();
      session.dispose();
      expect(() => session.run([floats(1)], [null])).toThrow(failure("E_SESSION_DISPOSED", /disposed/));
      const other = await openBackend({ backend: kind, threads: 2 });
      const tensor = other.tensor(Float32Array.of(3), [1]);
      const kept = await other.createSession(negation());
      other.dispose();
      other.dispose();
      expect(() => other.tensor(new Float32Array(1), [1])).toThrow(failure("E_BACKEND_DISPOSED", /disposed/));
      await expect(other.createSession(negation())).rejects.toThrow(
        failure("E_BACKEND_DISPOSED", /disposed/),
      );
      // What was made before stays usable.
      expect([...kept.run([tensor], [null])[0]!.data]).toEqual([-3]);
    });
  });

  describe("reports what the runtime refuses", () => {
    const types: [string, () => Uint8Array][] = [
      ["bytes that are no model", () => Uint8Array.of(1, 2, 3, 4)],
      ["an empty model", () => new Uint8Array(0)],
      ["an unknown operator", () => oneNode("Frobnicate", [["float32", [1]]], ["float32", [1]])],
      [
        "types that do not fit an operator",
        () =>
          oneNode(
            "Add",
            [
              ["float32", [1]],
              ["int64", [1]],
            ],
            ["float32", [1]],
          ),
      ],
    ];
    it.each(types)("%s", async (_, model) => {
      await expect(backend.createSession(model())).rejects.toThrow(failure("E_ORT_STATUS", /load a graph/));
    });

    it("wrong dimensions, rank, type and output shape, and stays usable", () => {
      const matrix = (rows: number, columns: number) =>
        backend.tensor(new Float32Array(rows * columns), [rows, columns]);
      const status = (text: RegExp) => failure("E_ORT_STATUS", text);
      expect(() => multiply.run([matrix(2, 3), matrix(2, 3)], [null])).toThrow(status(/input: b/));
      expect(() => multiply.run([floats(1, 2, 3), matrix(3, 2)], [null])).toThrow(status(/rank/i));
      const whole = backend.tensor(new Int32Array(6), [3, 2]);
      expect(() => multiply.run([matrix(2, 3), whole], [null])).toThrow(status(/float/));
      expect(() => multiply.run([matrix(2, 3), matrix(3, 2)], [matrix(3, 2)])).toThrow(status(/shape|dim/i));
      expect(() => multiply.run([matrix(2, 3), matrix(3, 2)], [matrix(1, 2)])).toThrow(status(/shape|dim/i));
      expect(multiply.run([matrix(2, 3), matrix(3, 2)], [null])[0]!.dimensions).toEqual([2, 2]);
    });
  });

  it("honours options of one session", async () => {
    const session = await backend.createSession(negation(), { threads: 1, shrinkArena: true });
    const large = backend.tensor(new Float32Array(300_000).fill(2), [300_000]);
    const [y] = session.run([large], [null]);
    expect(y!.data[299_999]).toBe(-2);
  });

  it("refuses thread counts that are none", async () => {
    for (const threads of [0, -1, 1.5, Number.NaN]) {
      await expect(openBackend({ backend: kind, threads })).rejects.toThrow(failure("E_ORT_THREADS", /got/));
    }
  });
});
