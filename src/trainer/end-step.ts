/** @file The end of a step: method, schedule and memory learn of it, and it is written down and shown, with what is wrong. */

import { usageOf } from "../rewards/reward.ts";
import { crashPoint } from "../store/crash-point.ts";
import { explainNoSignal } from "./diagnostics.ts";
import { lengthsOf } from "./groups.ts";
import type { JudgedStep } from "./judge-step.ts";
import type { LoopParts } from "./loop-parts.ts";
import { stepMetrics, stepTimings } from "./step-metrics.ts";
import type { PolicyUpdate } from "./update.ts";

export async function endStep<Task>(
  { runner, folder, progress, reporter, heldOut }: LoopParts<Task>,
  { groups, trajectories, credited, failures }: JudgedStep<Task>,
  updates: ReadonlyMap<string, PolicyUpdate>,
  /** Times in milliseconds of one clock. */
  { step, began, sampledAt }: { readonly step: number; readonly began: number; readonly sampledAt: number },
): Promise<void> {
  const { method, steps, rewards, schedule } = runner.settings;
  runner.store?.remember(credited, step);
  schedule?.observe(lengthsOf(trajectories));
  method.observe?.({
    step,
    steps,
    groups: credited.map(({ rewarded }) => rewarded),
    statistics: Object.fromEntries(
      [...updates].flatMap(([name, { statistics }]) =>
        statistics === undefined ? [] : [[name, statistics]],
      ),
    ),
  });
  const metrics = stepMetrics({ step, groups, credited, failures, updates, method });
  const timings = stepTimings({ step, trajectories, began, sampledAt, ended: performance.now() });
  await folder.metrics(metrics);
  crashPoint("between metrics and timings");
  await folder.timings(rewards === undefined ? timings : { ...timings, rewards: usageOf(rewards) });
  reporter.event({ ...metrics, ...timings });
  const streak = progress.stepped(
    timings.seconds,
    metrics.groupsWithoutSignal < credited.length,
    metrics.sampledTokens,
  );
  reporter.step({
    step,
    steps,
    reward: metrics.reward.mean,
    groups: credited.length,
    groupsWithoutSignal: metrics.groupsWithoutSignal,
    failed: trajectories.filter(({ status }) => status === "failed").length,
    tokensPerSecond: timings.tokensPerSecond,
    secondsLeft: progress.secondsLeft(step, heldOut.length),
    heldOut: progress.shown,
  });
  if (streak > 0 && streak % 3 === 0) reporter.warn(explainNoSignal(trajectories, streak, method.name));
  for (const [name, { meanSamplerGap }] of updates) {
    if (meanSamplerGap !== undefined && meanSamplerGap > 0.01) {
      reporter.warn(
        `policy "${name}": log-probs in training differ from those in sampling by ${meanSamplerGap.toFixed(4)} on average. Sampling and training do not see the same weights or tokens.`,
      );
    }
  }
}
