/** @file How the command line ends when something went wrong: one message, one exit code. */

import { TroupeError } from "../errors.ts";

/** Documented in `troupe --help`; scripts rely on them. */
export const exitCodes = {
  ok: 0,
  /** Something failed while running. */
  failed: 1,
  /** Wrong use: unknown command or option, faulty configuration, missing or faulty files. Nothing was spent. */
  usage: 2,
  /** The run was stopped because going on would have been worthless, for example too many failed episodes. */
  stopped: 3,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

/** The command line was used wrongly. */
export class CommandLineError extends TroupeError {}

const usageErrors: ReadonlySet<string> = new Set([
  "CommandLineError",
  "CatalogError",
  "TrainConfigError",
  "TaskFileError",
  "WorkflowDefinitionError",
  "MethodSettingsError",
  "RunFolderError",
  "ConfigError",
  "CheckpointError",
  "TokenizerError",
  "MemoryPlanError",
]);

export function exitCodeOf(error: unknown): number {
  if (!TroupeError.is(error)) return exitCodes.failed;
  // A full disk is met in the middle of a run, not in what was asked for.
  if (error.code === "E_CHECKPOINT_WRITE") return exitCodes.failed;
  if (usageErrors.has(error.name)) return exitCodes.usage;
  return error.name === "RunStoppedError" ? exitCodes.stopped : exitCodes.failed;
}

/**
 * Our errors say what happened and what to do next; a stack trace would only hide that. Others are somebody's fault in
 * code, so they come with theirs.
 */
export function describeError(error: unknown, { stack }: { readonly stack: boolean }): string {
  if (TroupeError.is(error)) {
    const lines = [error.toString()];
    if (stack && error.stack !== undefined) lines.push(error.stack);
    if (stack && error.cause !== undefined) lines.push(`caused by ${describeError(error.cause, { stack })}`);
    return lines.join("\n");
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** For `--json`: the same facts for a program. */
export function errorFacts(error: unknown): Record<string, unknown> {
  if (!TroupeError.is(error))
    return { kind: "error", name: "Error", message: error instanceof Error ? error.message : String(error) };
  const { name, code, message, hint, facts } = error;
  return { kind: "error", name, code, message, ...(hint === undefined ? {} : { hint }), facts };
}
