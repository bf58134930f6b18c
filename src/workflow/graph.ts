/**
 * @file The trajectory as a graph: effects are nodes, and where a value that came out of one went into another there is an
 * edge. Found afterwards, from what was recorded, so that it costs a run nothing.
 *
 * How an edge is found: the output of an effect is taken apart into its pieces (the whole text, its lines, the texts
 * inside a JSON value); a piece of at least three characters that occurs in a later prompt or tool input, and that the
 * task does not contain, came from there. A tool input that occurs in an earlier output counts as well, since a workflow
 * often passes on a part of a line. CHOSEN: texts cannot carry their origin through user code, so values shorter than
 * three characters and values that are rewritten on the way make no edge.
 */

import type { CallRecord, Trajectory } from "./trajectory.ts";

export interface EffectReference {
  readonly kind: "call" | "tool";
  readonly id: number;
}

/** Data flow from one effect to a later one. */
export interface DataEdge {
  readonly from: EffectReference;
  readonly to: EffectReference;
  /** A piece of text that went along, at most 60 characters of it. */
  readonly value: string;
}

interface Node extends EffectReference {
  readonly issued: number;
  readonly settled: number;
  readonly pieces: readonly string[];
  readonly input: string;
  /** Texts of a tool's input; empty for calls. */
  readonly inputs: readonly string[];
}

const leastLength = 3;

/** Edges of data flow, in the order of the effects they lead to. */
export function dataEdges(trajectory: Trajectory): DataEdge[] {
  const task = textsOf(trajectory.task).join("\n");
  const nodes: Node[] = [
    ...trajectory.calls.map((call) => ({
      kind: "call" as const,
      id: call.id,
      issued: call.issued,
      settled: call.settled,
      pieces: piecesOf([call.text], task),
      input: inputOf(call),
      inputs: [],
    })),
    ...trajectory.tools.map((tool) => ({
      kind: "tool" as const,
      id: tool.id,
      issued: tool.issued,
      settled: tool.settled,
      pieces: piecesOf(textsOf(tool.output), task),
      input: textsOf(tool.input).join("\n"),
      inputs: textsOf(tool.input).filter((text) => text.length >= leastLength && !task.includes(text)),
    })),
  ].sort((left, right) => left.issued - right.issued);

  const edges: DataEdge[] = [];
  for (const to of nodes) {
    for (const from of nodes) {
      // Only what had settled when the later effect was issued can have gone into it.
      if (from.settled < 0 || from.settled > to.issued) continue;
      const value =
        from.pieces.find((piece) => to.input.includes(piece)) ??
        to.inputs.find((input) => from.pieces.some((piece) => piece.includes(input)));
      if (value === undefined) continue;
      edges.push({
        from: { kind: from.kind, id: from.id },
        to: { kind: to.kind, id: to.id },
        value: value.slice(0, 60),
      });
    }
  }
  return edges;
}

function inputOf({ input }: CallRecord): string {
  return typeof input === "string" ? input : input.map(({ content }) => content).join("\n");
}

/** The texts inside a value. */
function textsOf(value: unknown): string[] {
  if (typeof value === "string") return [value];
  if (typeof value === "number") return [String(value)];
  if (Array.isArray(value)) return value.flatMap(textsOf);
  if (typeof value === "object" && value !== null) return Object.values(value).flatMap(textsOf);
  return [];
}

/** Longest first, so that an edge shows the most that went along. */
function piecesOf(texts: readonly string[], task: string): string[] {
  const pieces = new Set<string>();
  for (const text of texts) {
    for (const piece of [text, ...text.split("\n")]) {
      const trimmed = piece.trim();
      if (trimmed.length >= leastLength && !task.includes(trimmed)) pieces.add(trimmed);
    }
  }
  return [...pieces].sort((left, right) => right.length - left.length);
}
