/** @file An evaluation of a run: its episodes, its line in the metrics, and what the run remembers of it. */

import { trajectoryLine } from "../workflow/trajectory-json.ts";
import { type Evaluation, evaluate } from "./evaluate.ts";
import type { LoopParts } from "./loop-parts.ts";

/** undefined: there is nothing held out, or the run was stopped. */
export async function evaluateStep<Task>(
  { runner, reporter, folder, progress }: LoopParts<Task>,
  tasks: readonly Task[],
  step: number,
  when: "before" | "during" | "after",
): Promise<Evaluation | undefined> {
  if (tasks.length === 0 || runner.signal.aborted) return undefined;
  const began = performance.now();
  // During training it is a sample for the curve; before and after it is the result.
  const whole = when !== "during";
  if (whole) reporter.info(`evaluating ${tasks.length} held-out tasks ${when} training …`);
  const result = await evaluate(runner, tasks, { step, purpose: `evaluate ${when}`, intervals: whole });
  if (runner.signal.aborted) return undefined;
  const { means, n, samples, failed, intervals, trajectories } = result;
  if (whole)
    folder.episodes(
      `evaluation-${when}`,
      trajectories.map((trajectory) => trajectoryLine(trajectory)),
    );
  const failures = progress.failures.check(trajectories, `the evaluation ${when} training`);
  const seconds = (performance.now() - began) / 1000;
  const facts = {
    kind: "evaluation",
    when,
    step,
    n,
    ...(samples === 1 ? {} : { samples }),
    failed,
    failures,
    ...means,
    ...(whole ? { ci: intervals } : {}),
  };
  await folder.metrics(facts);
  await folder.timings({ kind: "evaluation", when, step, seconds });
  reporter.event({ ...facts, seconds });
  progress.evaluated(result, when, seconds);
  return result;
}
