/** @file What the tape saves, what it computes again, and what it leaves out. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { add, linear, rmsNorm, swiglu } from "../../../../src/engine/local/graph/operations.ts";
import { Tape, TapeError } from "../../../../src/engine/local/graph/tape.ts";
import type { OrtBackend } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { uniform } from "../model/fixtures.ts";
import { type Leaf, TapeRunner } from "./run-tape.ts";

let backend: OrtBackend;
beforeAll(async () => {
  backend = await openBackend({ threads: 2 });
});
afterAll(() => backend.dispose());

const width = 6;
const shapes = { x: [4, width], norm: [width], gate: [8, width], up: [8, width], down: [width, 8] };

/** x + down(swiglu(gate(n), up(n))), n = norm(x). */
function block(saved: readonly string[], trainable: (name: string) => boolean = () => true): Tape {
  const tape = new Tape(saved);
  const x = tape.input("x", ["M", width], { differentiable: trainable("x") });
  const weight = (name: "norm" | "gate" | "up" | "down") =>
    tape.parameter(name, shapes[name], trainable(name));
  const normed = rmsNorm(tape, x, weight("norm"), 1e-5, "normed");
  const gated = swiglu(
    tape,
    linear(tape, normed, weight("gate"), null, "gated"),
    linear(tape, normed, weight("up"), null, "upped"),
    "product",
  );
  tape.output(add(tape, x, linear(tape, gated, weight("down"), null, "projected"), "y"));
  return tape;
}

const next = uniform(5);
const draw = (length: number) => Float32Array.from({ length }, () => next() - 0.5);
const leaves = new Map<string, Leaf>(
  Object.entries(shapes).map(([name, shape]) => [name, { data: draw(shape[0]! * (shape[1] ?? 1)), shape }]),
);
const seed = new Map<string, Leaf>([["y", { data: draw(4 * width), shape: [4, width] }]]);
const names = (ports: readonly { readonly name: string; readonly role: string }[], role: string) =>
  ports
    .filter((port) => port.role === role)
    .map(({ name }) => name)
    .sort();

describe("saved tensors", () => {
  it("gives the same bits whatever is saved", async () => {
    const all = ["normed", "gated", "upped", "product"];
    const reference = await new TapeRunner(backend, block([])).run(leaves, seed);
    expect(reference.saved).toEqual([]);
    for (const saved of [all, ["gated"], ["normed", "upped"]]) {
      const run = await new TapeRunner(backend, block(saved)).run(leaves, seed);
      expect([...run.saved].sort()).toEqual([...saved].sort());
      for (const [name, gradient] of reference.gradients) expect(run.gradients.get(name)).toEqual(gradient);
    }
  });

  it("saves nothing that no gradient reads", () => {
    const { forward, backward } = block(["normed", "gated", "projected"], (name) => name === "down").build();
    // Only down's gradient is wanted: it reads the product, which needs both branches, and nothing of y.
    expect(names(forward.outputs, "saved")).toEqual(["gated", "normed"]);
    expect(names(backward!.outputs, "parameter-gradient")).toEqual(["down"]);
    expect(names(backward!.outputs, "input-gradient")).toEqual([]);
    expect(names(backward!.inputs, "parameter")).toEqual(["up"]);
  });

  it("has no backward graph where nothing is trainable", () => {
    expect(block(["normed"], () => false).build()).toMatchObject({
      backward: null,
      forward: { outputs: [{ role: "output", name: "y" }] },
    });
  });
});

it("refuses two tensors of one name", () => {
  const tape = new Tape();
  tape.input("x", [1]);
  expect(() => tape.parameter("x", [1], true)).toThrow(TapeError);
});
