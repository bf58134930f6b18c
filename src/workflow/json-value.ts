/** @file Values that survive being written down: what enters a journal must come out of it the same. */

import { inspect } from "node:util";

/** Why a value cannot be recorded, with the place inside it. */
export class NotJsonError extends Error {}

/**
 * A copy of a JSON value, so that what a workflow does to the original later changes no record. Properties that are
 * undefined are left out, as JSON does.
 *
 * @throws NotJsonError naming the first place that JSON cannot hold: a function, a Date, a Map, NaN, a cycle.
 */
export function jsonCopy(value: unknown, place = "", depth = 0): unknown {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return value;
    throw refuse(`${value}`, place);
  }
  if (value === undefined && depth === 0) return undefined;
  if (depth > 200) throw refuse("nested more than 200 deep, or contains itself", place);
  if (Array.isArray(value)) return value.map((item, i) => jsonCopy(item, `${place}[${i}]`, depth + 1));
  if (typeof value === "object") {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null)
      throw refuse(`a ${value.constructor?.name ?? "value of a class"}`, place);
    const copy: Record<string, unknown> = {};
    for (const [name, item] of Object.entries(value)) {
      if (item !== undefined)
        copy[name] = jsonCopy(item, place === "" ? name : `${place}.${name}`, depth + 1);
    }
    return copy;
  }
  throw refuse(value === undefined ? "undefined" : `a ${typeof value}`, place);
}

/** JSON of any value; what JSON cannot hold at all (a bigint, a cycle) is shown as text. For values that are only shown and compared. */
export function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "undefined";
  } catch {
    return JSON.stringify(inspect(value, { depth: 4 }));
  }
}

const refuse = (what: string, place: string) =>
  new NotJsonError(`it is ${what}${place === "" ? "" : ` at ${place}`}`);
