/** @file `dryRun`: everything up to the first update, and nothing else: checks, models, a few groups, and what they say. */

import { loadTasks } from "../data/task-source.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import { checkConfig, type TrainOptions } from "./config.ts";
import { describeFinding, describeReport, type Finding, findingsOf } from "./diagnostics.ts";
import { type EpisodeReport, reportEpisodes } from "./episode-report.ts";
import { episodeRunner } from "./episode-runner.ts";
import { FailureWatch } from "./failure-watch.ts";
import { giveRewards } from "./give-rewards.ts";
import { sampleGroups } from "./groups.ts";
import { openPolicies } from "./policies.ts";
import { consoleReporter, formatSeconds, type Reporter } from "./reporter.ts";
import { tasksOfStep } from "./step-tasks.ts";

export interface DryRunControl {
  readonly reporter?: Reporter;
  readonly signal?: AbortSignal;
  /** Groups to run. Default 4, or `tasksPerStep` if that is fewer. */
  readonly groups?: number;
}

export interface DryRun {
  readonly report: EpisodeReport;
  readonly findings: readonly Finding[];
  readonly trajectories: readonly Trajectory[];
  readonly seconds: number;
}

/**
 * Runs the first groups of a training and reports on them. Trains nothing, writes nothing.
 *
 * @throws RunStoppedError if too many of the episodes fail.
 * @example
 * const { findings } = await dryRun(config);
 * if (findings.length > 0) console.warn(findings[0].text);
 */
export async function dryRun<Task>(
  options: TrainOptions<Task>,
  control: DryRunControl = {},
): Promise<DryRun> {
  const settings = checkConfig(options);
  const tasks = await loadTasks(settings.tasks, "tasks", settings.workflow.task);
  if (settings.evaluate !== undefined) await loadTasks(settings.evaluate, "evaluate", settings.workflow.task);
  const reporter = control.reporter ?? consoleReporter();
  const policies = await openPolicies(settings);
  try {
    const { seed, tasksPerStep, method, steps } = settings;
    const groups = control.groups ?? Math.min(4, tasksPerStep);
    const runner = episodeRunner({ settings, policies: policies.all, reporter, signal: control.signal });
    const began = performance.now();
    const ended = await sampleGroups(runner, tasks, tasksOfStep(tasks.length, groups, 1, seed), {
      purpose: "dry",
      step: 0,
    });
    const sampled = await giveRewards(ended, runner, { step: 0, stage: "train", learn: false });
    const seconds = (performance.now() - began) / 1000;
    const trajectories = sampled.flatMap((group) => group.trajectories);
    const report = reportEpisodes(trajectories);
    const findings = findingsOf(report);
    if (!runner.signal.aborted) {
      reporter.info(describeReport(report));
      for (const finding of findings) reporter.warn(describeFinding(finding));
      new FailureWatch(settings.maxFailureRate).check(trajectories, "the dry run");
      reporter.info(
        `sampled in ${seconds < 10 ? `${seconds.toFixed(1)} s` : formatSeconds(seconds)}; a step samples ${tasksPerStep} × ${method.groupSize} episodes, ${(tasksPerStep / groups).toFixed(1)} times as many, and updates once; the file asks for ${steps} steps. Nothing was trained or written.`,
      );
      reporter.event({ kind: "dry run", ...report, findings, seconds });
    }
    return { report, findings, trajectories, seconds };
  } finally {
    reporter.close();
    await policies.close();
  }
}
