/** @file The end of a run: `summary.json`, and a journal that nobody needs any more. */

import { compare, type Evaluation } from "./evaluate.ts";
import type { LoopParts } from "./loop-parts.ts";
import { type RunSummary, runSummary } from "./summary.ts";

/** @param checkpoint the newest one. */
export async function endRun<Task>(
  { runner, reporter, folder, progress }: LoopParts<Task>,
  steps: number,
  checkpoint: string,
  after: Evaluation | undefined,
): Promise<RunSummary> {
  const { seed } = runner.settings;
  const interrupted = runner.signal.aborted;
  const { before, seconds } = progress;
  const change = before !== undefined && after !== undefined ? compare(before, after, seed) : undefined;
  const run = folder.path;
  const facts = { before, after, change, steps, seconds, seed, interrupted, run, checkpoint };
  const summary = runSummary(facts);
  // A run that has come to its end needs no recovery.
  if (!interrupted) await runner.journal?.forget(Number.POSITIVE_INFINITY);
  await folder.summary(summary);
  reporter.event({ kind: "summary", ...summary });
  return summary;
}
