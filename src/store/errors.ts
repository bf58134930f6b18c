/** @file Errors of what a run keeps on disk. */

import { TroupeError } from "../errors.ts";

/**
 * Codes:
 * - `E_STORE_WRITE` writing failed (disk full, permission, disk error);
 * - `E_STORE_READ` a file cannot be read.
 */
export class StoreError extends TroupeError {}

const reasons: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  ENOSPC: ["the disk is full", "free space"],
  EDQUOT: ["the disk quota is used up", "free space"],
  EFBIG: ["a file would be larger than this file system or limit allows", "use another file system"],
  EACCES: ["this user may not write there", "choose a folder that you own"],
  EPERM: ["this user may not write there", "choose a folder that you own"],
  EROFS: ["the file system is read-only", "choose another folder"],
  EIO: ["the disk reported an error", "check the disk"],
};

/** What the system said, in words. A StoreError passes unchanged. */
export function writeFault(path: string, cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  const { code = "", message = String(cause) } = (cause ?? {}) as NodeJS.ErrnoException;
  const [what, hint] = reasons[code] ?? [message, "look into the cause"];
  return new StoreError({
    code: "E_STORE_WRITE",
    message: `${path} could not be written: ${what}${code === "" ? "" : ` (${code})`}.`,
    hint: `${hint}, then start the same command again: the run goes on from its newest checkpoint.`,
    cause,
    facts: { path, reason: code },
  });
}
