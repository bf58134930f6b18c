/**
 * @file The training loop: sample groups → rewards → advantages → one update per policy → metrics. Synchronous in its
 * steps, concurrent inside them, strictly on-policy unless `staleness` lets sampling run ahead. Everything it calls is in
 * a file of its own; the order is here.
 */

import { usageOf } from "../rewards/reward.ts";
import { crashPoint } from "../store/crash-point.ts";
import { trajectoryLine } from "../workflow/trajectory-json.ts";
import type { RunState } from "./checkpoint.ts";
import type { TrainSettings } from "./config.ts";
import { creditGroups } from "./credit-groups.ts";
import {
  describeFinding,
  describeReport,
  explainNoSignal,
  findingsOf,
  reportEpisodes,
} from "./diagnostics.ts";
import { episodeLines } from "./episode-lines.ts";
import { compare, type Evaluation, evaluate, evaluationSample } from "./evaluate.ts";
import { giveRewards } from "./give-rewards.ts";
import {
  type EpisodeRunner,
  type Group,
  lengthsOf,
  sampledNow,
  sampleGroups,
  tasksOfStep,
} from "./groups.ts";
import type { OpenPolicies } from "./policies.ts";
import type { RunProgress } from "./progress.ts";
import { formatSeconds, type Reporter } from "./reporter.ts";
import type { RunFolder } from "./run-folder.ts";
import { sampleStep } from "./sample-step.ts";
import { SamplingAhead } from "./sampling-ahead.ts";
import type { RunSaver } from "./save-run.ts";
import { stepMetrics, stepTimings } from "./step-metrics.ts";
import { describeChange, type RunSummary, runSummary } from "./summary.ts";
import { describeEpisode } from "./transcript.ts";
import { updatePolicies } from "./update-policies.ts";

export interface LoopParts<Task> {
  readonly runner: EpisodeRunner<Task>;
  readonly policies: OpenPolicies;
  readonly folder: RunFolder;
  readonly progress: RunProgress;
  readonly saver: RunSaver;
  readonly reporter: Reporter;
  readonly tasks: readonly Task[];
  readonly heldOut: readonly Task[];
  /** Steps that an earlier attempt has taken; their results are in the policies and in `progress`. */
  readonly stepsDone: number;
}

/** One run, from the first group to the summary. */
export class TrainingLoop<Task> {
  readonly #parts: LoopParts<Task>;
  readonly #settings: TrainSettings<Task>;
  readonly #ahead: SamplingAhead<Group<Task>[]>;

  constructor(parts: LoopParts<Task>) {
    this.#parts = parts;
    this.#settings = parts.runner.settings;
    const { runner, tasks, stepsDone } = parts;
    const { staleness, steps } = this.#settings;
    const sample = (step: number) => sampleStep(runner, tasks, step);
    this.#ahead = new SamplingAhead({ staleness, steps, sample }, stepsDone + 1);
  }

  async run(): Promise<RunSummary> {
    const { runner, reporter, folder, heldOut, progress, stepsDone } = this.#parts;
    const { steps, evaluateEvery, evaluateSample, checkpointEvery, seed } = this.#settings;
    reporter.info(`run ${folder.path} · seed ${seed} · ${steps} steps`);
    if (stepsDone === 0) {
      await this.#dryGroup();
      crashPoint("after dry group");
      await this.#evaluation(heldOut, 0, "before");
      crashPoint("after first evaluation");
    }
    const sample = evaluationSample(heldOut, evaluateSample, seed);
    let done = stepsDone;
    const isDue = (every: number) => every > 0 && done > 0 && done % every === 0;
    while (done < steps && !progress.spent && !runner.signal.aborted) {
      // A run that goes on may have been stopped before this.
      if (isDue(evaluateEvery) && progress.newest?.step !== done)
        await this.#evaluation(sample, done, "during");
      if (isDue(checkpointEvery)) await this.#checkpoint(done);
      if (!(await this.#savingOnError(done, () => this.#step(done + 1)))) break;
      done++;
      crashPoint("after step");
    }
    await this.#ahead.settle();
    const saved = await this.#checkpoint(done);
    crashPoint("before last evaluation");
    const after = await this.#evaluation(heldOut, done, "after");
    const interrupted = runner.signal.aborted;
    const { before, seconds } = progress;
    const change = before !== undefined && after !== undefined ? compare(before, after, seed) : undefined;
    const summary = runSummary({
      before,
      after,
      change,
      steps: done,
      seconds,
      seed,
      interrupted,
      run: folder.path,
      checkpoint: saved,
    });
    // A run that has come to its end needs no recovery.
    if (!interrupted) await runner.journal?.forget(Number.POSITIVE_INFINITY);
    await folder.summary(summary);
    reporter.event({ kind: "summary", ...summary });
    if (interrupted)
      reporter.info(
        `stopped after step ${done} of ${steps}; the weights are in ${saved}; the same command goes on from there`,
      );
    else this.#conclude(before, after, summary);
    return summary;
  }

  /** An error ends the run, but not without the weights of the steps that went well. */
  async #savingOnError<T>(done: number, work: () => Promise<T>): Promise<T> {
    const state = this.#parts.saver.state(done);
    try {
      return await work();
    } catch (error) {
      await this.#ahead.settle();
      if (done > 0) await this.#saveBefore(state);
      throw error;
    }
  }

  async #saveBefore(state: RunState): Promise<void> {
    const failed = `step ${state.step + 1} failed`;
    const said = await this.#parts.saver.saveBefore(state).then(
      (path) =>
        path === undefined
          ? `${failed} when some policies were updated and others not; nothing was saved of it`
          : `${failed}; the weights after step ${state.step} are in ${path}`,
      (second) => `${failed}, and so did saving the weights: ${second}`,
    );
    this.#parts.reporter.warn(said);
  }

  /** One group before anything is spent: do episodes end, do parsers take the outputs, do rewards differ? */
  async #dryGroup(): Promise<void> {
    const { runner, reporter, folder, progress, tasks } = this.#parts;
    const chosen = tasksOfStep(tasks.length, 1, 1, this.#settings.seed);
    const sampled = await sampleGroups(runner, tasks, chosen, { purpose: "dry", step: 0 });
    const groups = await giveRewards(sampled, runner, { step: 0, stage: "train", learn: false });
    const trajectories = groups.flatMap((group) => group.trajectories);
    folder.episodes(
      "dry",
      trajectories.map((trajectory) => trajectoryLine(trajectory)),
    );
    if (runner.signal.aborted) return;
    progress.failures.check(trajectories, "the first group");
    const report = reportEpisodes(trajectories);
    reporter.info(describeReport(report));
    const findings = findingsOf(report);
    for (const finding of findings) reporter.warn(describeFinding(finding));
    reporter.event({ kind: "first group", ...report, findings });
  }

  /** False: the run was stopped while sampling, and the step did not happen. */
  async #step(step: number): Promise<boolean> {
    const { runner, policies, folder, progress, reporter } = this.#parts;
    const { method, recordEpisodesEvery } = this.#settings;
    const began = performance.now();
    const sampled = await this.#ahead.take(step);
    if (runner.signal.aborted) return false;
    // A disk that is full is met here, before anything is learned from what it could not keep.
    await runner.journal?.flush();
    crashPoint("after sampling");
    const sampledAt = performance.now();
    const evaluation = progress.newest;
    const groups = await giveRewards(sampled, runner, {
      step,
      stage: "train",
      learn: true,
      ...(evaluation === undefined ? {} : { evaluation }),
    });
    if (runner.signal.aborted) return false;
    const trajectories = sampledNow(groups);
    const credited = creditGroups(groups, runner);
    crashPoint("after rewards");
    if (recordEpisodesEvery > 0 && step % recordEpisodesEvery === 0) {
      folder.episodes(String(step).padStart(6, "0"), episodeLines(trajectories, credited));
    }
    const failures = progress.failures.check(trajectories, `step ${step}`);

    const updates = await updatePolicies(credited, policies, runner, step);
    crashPoint("after update");
    runner.store?.remember(credited, step);
    this.#settings.schedule?.observe(lengthsOf(trajectories));
    method.observe?.({
      step,
      steps: this.#settings.steps,
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
    const { rewards } = this.#settings;
    await folder.timings(rewards === undefined ? timings : { ...timings, rewards: usageOf(rewards) });
    reporter.event({ ...metrics, ...timings });
    const streak = progress.stepped(
      timings.seconds,
      metrics.groupsWithoutSignal < credited.length,
      metrics.sampledTokens,
    );
    reporter.step({
      step,
      steps: this.#settings.steps,
      reward: metrics.reward.mean,
      groups: credited.length,
      groupsWithoutSignal: metrics.groupsWithoutSignal,
      failed: trajectories.filter(({ status }) => status === "failed").length,
      tokensPerSecond: timings.tokensPerSecond,
      secondsLeft: progress.secondsLeft(step, this.#parts.heldOut.length),
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
    return true;
  }

  async #evaluation(
    tasks: readonly Task[],
    step: number,
    when: "before" | "during" | "after",
  ): Promise<Evaluation | undefined> {
    const { runner, reporter, folder, progress } = this.#parts;
    if (tasks.length === 0 || runner.signal.aborted) return undefined;
    const began = performance.now();
    if (when !== "during") reporter.info(`evaluating ${tasks.length} held-out tasks ${when} training …`);
    const result = await evaluate(runner, tasks, {
      step,
      purpose: `evaluate ${when}`,
      intervals: when !== "during",
    });
    if (runner.signal.aborted) return undefined;
    const { means, n, samples, failed, intervals, trajectories } = result;
    if (when !== "during")
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
      ...(when === "during" ? {} : { ci: intervals }),
    };
    await folder.metrics(facts);
    await folder.timings({ kind: "evaluation", when, step, seconds });
    reporter.event({ ...facts, seconds });
    progress.evaluated(result, when, seconds);
    if (when === "before") reporter.info(describeChange(result, undefined));
    return result;
  }

  async #checkpoint(step: number): Promise<string> {
    const path = await this.#parts.saver.save(step);
    this.#parts.reporter.event({ kind: "checkpoint", step, path });
    return path;
  }

  #conclude(
    before: Evaluation | undefined,
    after: Evaluation | undefined,
    { seconds, checkpoint, run }: RunSummary,
  ): void {
    const { reporter } = this.#parts;
    const shown = after?.trajectories.find(({ status }) => status === "complete");
    if (shown !== undefined)
      reporter.info(`\none held-out episode after training\n${describeEpisode(shown)}\n`);
    if (after !== undefined) reporter.info(describeChange(after, before));
    reporter.info(`done in ${formatSeconds(seconds)} · weights in ${checkpoint} · everything in ${run}`);
  }
}
