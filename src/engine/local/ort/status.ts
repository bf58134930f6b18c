/** @file From OrtStatus to exceptions, and the scratch slots through which C hands back its results. */

import { statusError } from "./errors.ts";
import type { OrtFunctions, Pointer, Status } from "./function-table.ts";

/** Throws if the runtime reports a failure; frees the report in any case. */
export function check(functions: OrtFunctions, status: Status, operation: string): void {
  if (status === null) return;
  const { code, text } = takeStatus(functions, status);
  throw statusError(operation, code, text);
}

/** Reads and frees a failure report. */
export function takeStatus(functions: OrtFunctions, status: Pointer): { code: number; text: string } {
  const code = functions.GetErrorCode(status);
  const text = functions.GetErrorMessage(status);
  functions.ReleaseStatus(status);
  return { code, text };
}

/** Shared by all calls: they block this thread, and each result is read before the next call. */
const slot = new BigUint64Array(1);

/** Calls a function whose last argument is an out-pointer, and returns what it points to. */
export function take(
  functions: OrtFunctions,
  operation: string,
  call: (out: BigUint64Array) => Status,
): Pointer {
  slot[0] = 0n;
  check(functions, call(slot), operation);
  return slot[0]!;
}

/** As `take`, for C's `size_t` and enums; the slot is cleared first, and machines of 32 bits are not supported. */
export const takeNumber = (
  functions: OrtFunctions,
  operation: string,
  call: (out: BigUint64Array) => Status,
): number => Number(take(functions, operation, call));
