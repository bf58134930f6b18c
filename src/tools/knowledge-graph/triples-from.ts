/** @file Triples from a JSONL file: one {subject, relation, object} a line. Blank lines are skipped. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { KnowledgeGraphError } from "./errors.ts";
import { faultOf, type Triple } from "./knowledge-graph.ts";

/**
 * Reads a file of triples; further fields of a line are ignored. Relative paths start at the working directory.
 *
 * @throws KnowledgeGraphError (E_GRAPH_FILE) if the file cannot be read or is not UTF-8; (E_GRAPH_LINE) naming file and
 * line if a line is no JSON or no triple.
 * @example
 * const graph = new KnowledgeGraph(triplesFrom(new URL("facts.jsonl", import.meta.url)));
 */
export function triplesFrom(path: string | URL): readonly Triple[] {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(name));
  } catch (error) {
    throw new KnowledgeGraphError({
      code: "E_GRAPH_FILE",
      message: `The file of triples ${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      hint: "check the path and that it is UTF-8 text; relative paths start at the working directory.",
      facts: { name },
      cause: error,
    });
  }
  return text
    .split("\n")
    .flatMap((line, place) => (line.trim() === "" ? [] : [parseLine(name, place + 1, line)]));
}

function parseLine(name: string, line: number, text: string): Triple {
  const refuse = (fault: string, cause?: unknown) =>
    new KnowledgeGraphError({
      code: "E_GRAPH_LINE",
      message: `${name}, line ${line} ${fault}.`,
      hint: 'write one triple a line: {"subject": "Norway", "relation": "capital", "object": "Oslo"}.',
      facts: { name, line },
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw refuse(`is not JSON: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  const fault = faultOf(value);
  if (fault !== undefined) throw refuse(fault);
  const { subject, relation, object } = value as Triple;
  return { subject, relation, object };
}
