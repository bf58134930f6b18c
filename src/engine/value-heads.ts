/** @file How many value heads a policy was asked to have: `valueHead` of every engine that can have them. */

import { TroupeError } from "../errors.ts";

/** The option is neither true, nor false, nor a count. */
export class ValueHeadError extends TroupeError {}

/** `true`: one; a number: so many; `false`, 0 or absent: none. */
export type ValueHeads = boolean | number;

/**
 * How many heads `option` asks for.
 * @throws ValueHeadError E_VALUE_HEAD_OPTION if it is not a count.
 */
export function countValueHeads(option: ValueHeads | undefined): number {
  if (option === undefined || typeof option === "boolean") return Number(option ?? false);
  if (Number.isInteger(option) && option >= 0) return option;
  throw new ValueHeadError({
    code: "E_VALUE_HEAD_OPTION",
    message: `A policy was asked to have ${typeof option === "number" ? option : JSON.stringify(option)} value heads.`,
    hint: "give valueHead: true for one, or how many: an integer of at least 1.",
    facts: { valueHead: option },
  });
}
