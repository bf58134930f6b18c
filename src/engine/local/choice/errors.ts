/** @file What goes wrong with a choice policy. */

import { TroupeError } from "../../../errors.ts";

export class ChoicePolicyError extends TroupeError {}

/** An option of `choicePolicy` has no meaning. */
export function wrongChoiceSetting(name: string, value: unknown, rule: string): ChoicePolicyError {
  return new ChoicePolicyError({
    code: "E_CHOICE_SETTINGS",
    message: `choicePolicy's ${name} is ${JSON.stringify(value)}; it must be ${rule}.`,
    facts: { name, value },
  });
}
