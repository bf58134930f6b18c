/** @file What a schedule reads back of its own state. */

import { MethodSettingsError } from "../errors.ts";

/** Numbers from JSON. @throws MethodSettingsError E_METHOD_STATE if they are not `length` finite numbers. */
export function numbersOf(state: unknown, length: number, owner: string): Float64Array {
  if (Array.isArray(state) && state.length === length && state.every((x) => Number.isFinite(x)))
    return Float64Array.from(state);
  throw wrongState(owner);
}

export function wrongState(owner: string): MethodSettingsError {
  return new MethodSettingsError({
    code: "E_METHOD_STATE",
    message: `${owner} was given a state that it did not write, or that of other settings.`,
    hint: "restore what state() gave, with the settings it was made with.",
  });
}
