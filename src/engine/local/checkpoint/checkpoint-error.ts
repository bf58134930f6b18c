/** @file Errors of reading and writing model folders, adapters and training checkpoints. */

import { TroupeError } from "../../../errors.ts";

/**
 * Codes:
 * - `E_CHECKPOINT_MISSING_FILE` a file or folder that must exist does not;
 * - `E_CHECKPOINT_FORMAT` a file is not what its name says (truncated, tampered, another format);
 * - `E_CHECKPOINT_TENSORS` tensors are missing, unexpected or of another shape;
 * - `E_CHECKPOINT_VALUES` a tensor holds NaN or infinity, or does not fit the number format;
 * - `E_CHECKPOINT_CHANGED` a file differs from the manifest that was written with it;
 * - `E_CHECKPOINT_UNSUPPORTED` a valid file asks for what Troupe does not do;
 * - `E_CHECKPOINT_EXISTS` the target exists and was not to be replaced;
 * - `E_CHECKPOINT_WRITE` writing failed (disk full, permission); nothing was left in place.
 */
export class CheckpointError extends TroupeError {}

/** "12.3 MB" for messages. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

/** Turns "ENOENT" and the like into what happened to which file; other errors pass unchanged. */
export function readError(cause: unknown, file: string): unknown {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code !== "ENOENT" && code !== "ENOTDIR" && code !== "EISDIR" && code !== "EACCES" && code !== "EPERM")
    return cause;
  const missing = code === "ENOENT" || code === "ENOTDIR";
  return new CheckpointError({
    code: missing ? "E_CHECKPOINT_MISSING_FILE" : "E_CHECKPOINT_FORMAT",
    message: missing ? `There is no file ${file}.` : `${file} cannot be read as a file (${code}).`,
    hint: missing
      ? "check the path; a model from the hub comes with `troupe pull <org/name>`."
      : "check that it is a file and that this user may read it.",
    cause,
    facts: { file },
  });
}
