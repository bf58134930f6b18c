/** @file What a program in the sandbox may use. */

import { SandboxError } from "./errors.ts";

export interface SandboxLimits {
  /** Interrupts that one call of a program may take, about ten thousand steps each. Default 200. */
  readonly interrupts?: number;
  /** Wall time of one call; a program that passes it by far is ended with its thread. Default 1000. */
  readonly milliseconds?: number;
  /** Bytes of the program's heap. Default 16 MiB. */
  readonly memory?: number;
  /** Bytes of its stack. Default 256 KiB. */
  readonly stack?: number;
  /** Characters of one result as JSON. Default 20,000. */
  readonly output?: number;
}

export const defaultLimits: Required<SandboxLimits> = {
  interrupts: 200,
  milliseconds: 1000,
  memory: 16 * 2 ** 20,
  stack: 256 * 2 ** 10,
  output: 20_000,
};

/** @throws SandboxError E_SANDBOX_LIMIT */
export function limitsOf(given: SandboxLimits): Required<SandboxLimits> {
  const all = { ...defaultLimits, ...given };
  for (const [name, value] of Object.entries(all)) {
    if (value > 0 && Number.isFinite(value)) continue;
    throw new SandboxError({
      code: "E_SANDBOX_LIMIT",
      message: `The sandbox was given the limit ${name} = ${value}.`,
      hint: "limits are finite numbers above 0.",
      facts: { [name]: value },
    });
  }
  return all;
}
