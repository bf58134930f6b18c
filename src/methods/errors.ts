/** @file Errors of methods. */

import { TroupeError } from "../errors.ts";

/** A method was given a setting that makes no sense. */
export class MethodSettingsError extends TroupeError {}

/** The arrays of a batch or microbatch do not fit together, or an estimate or a loss is not a number. */
export class LossError extends TroupeError {}

export function wrongSetting(
  method: string,
  name: string,
  value: unknown,
  wanted: string,
): MethodSettingsError {
  const shown = typeof value === "number" ? String(value) : JSON.stringify(value);
  return new MethodSettingsError({
    code: "E_METHOD_SETTING",
    message: `${method} has ${name} ${shown}; it must be ${wanted}.`,
    hint: "leave it out for the default.",
    facts: { method, setting: name },
  });
}
