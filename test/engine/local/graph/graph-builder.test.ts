/** @file Named outputs: the node that makes a value writes it under its output name, without a copy in between. */

import { expect, it } from "vitest";
import { GraphBuilder } from "../../../../src/engine/local/graph/graph-builder.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";

const identities = (model: Uint8Array): number =>
  Buffer.from(model).toString("latin1").split("Identity:").length - 1;

it("renames a made value without a copy, also where later nodes read it", async () => {
  const backend = await openBackend({ threads: 1 });
  const graph = new GraphBuilder();
  const x = graph.input("x", "float32", ["n"]);
  const negated = graph.op("Neg", [x]);
  const doubled = graph.op("Add", [negated, negated]);
  graph.output(negated, ["n"], "negated");
  graph.output(doubled, ["n"], "doubled");
  // A second name for one value, and a name for an input, need a node.
  graph.output(negated, ["n"], "again");
  graph.output(x, ["n"], "unchanged");
  expect(graph.outputNames).toEqual(["negated", "doubled", "again", "unchanged"]);
  const model = graph.build();
  expect(identities(model)).toBe(2);
  expect(graph.build()).toEqual(model);

  const session = await backend.createSession(model);
  expect(session.outputNames).toEqual(["negated", "doubled", "again", "unchanged"]);
  const input = backend.tensor(Float32Array.of(1, -2), [2]);
  const outputs = session.run([input], [null, null, null, null]);
  expect(outputs.map(({ data }) => [...(data as Float32Array)])).toEqual([
    [-1, 2],
    [-2, 4],
    [-1, 2],
    [1, -2],
  ]);
});
