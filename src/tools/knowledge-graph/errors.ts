/** @file Errors of knowledge graphs and of the retrieval over them. */

import { TroupeError } from "../../errors.ts";

/** A file of triples, a setting of an expert or a query that cannot be used; the message says where. */
export class KnowledgeGraphError extends TroupeError {}

/** An integer setting of at least `least`. */
export function checkCount(where: string, name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new KnowledgeGraphError({
    code: "E_GRAPH_SETTING",
    message: `${where} was given ${name} = ${value}; it must be an integer of at least ${least}.`,
    hint: `leave ${name} out for its default.`,
    facts: { where, name, value },
  });
}
