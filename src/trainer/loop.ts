/**
 * @file The training loop: sample groups → rewards → advantages → one update per policy → metrics. Synchronous in its
 * steps, concurrent inside them, strictly on-policy unless `staleness` lets sampling run ahead. Everything it calls is in
 * a file of its own; the order is here.
 */

import { crashPoint } from "../store/crash-point.ts";
import { trajectoryLine } from "../workflow/trajectory-json.ts";
import type { RunState } from "./checkpoint.ts";
import type { TrainSettings } from "./config.ts";
import { describeFinding, describeReport, findingsOf, reportEpisodes } from "./diagnostics.ts";
import { endRun } from "./end-run.ts";
import { endStep } from "./end-step.ts";
import { type Evaluation, evaluationSample } from "./evaluate.ts";
import { evaluateStep } from "./evaluate-step.ts";
import { giveRewards } from "./give-rewards.ts";
import { type Group, sampleGroups } from "./groups.ts";
import { judgeStep } from "./judge-step.ts";
import type { LoopParts } from "./loop-parts.ts";
import { formatSeconds } from "./reporter.ts";
import { sampleStep } from "./sample-step.ts";
import { SamplingAhead } from "./sampling-ahead.ts";
import { tasksOfStep } from "./step-tasks.ts";
import { describeChange, type RunSummary } from "./summary.ts";
import { describeEpisode } from "./transcript.ts";
import { updatePolicies } from "./update-policies.ts";

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
    const summary = await endRun(this.#parts, done, saved, after);
    if (summary.interrupted)
      reporter.info(
        `stopped after step ${done} of ${steps}; the weights are in ${saved}; the same command goes on from there`,
      );
    else this.#conclude(progress.before, after, summary);
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
    const { runner, policies } = this.#parts;
    const began = performance.now();
    const sampled = await this.#ahead.take(step);
    if (runner.signal.aborted) return false;
    // A disk that is full is met here, before anything is learned from what it could not keep.
    await runner.journal?.flush();
    crashPoint("after sampling");
    const sampledAt = performance.now();
    const judged = await judgeStep(this.#parts, sampled, step);
    if (judged === undefined) return false;
    const updates = await updatePolicies(judged.credited, policies, runner, step);
    crashPoint("after update");
    await endStep(this.#parts, judged, updates, { step, began, sampledAt });
    return true;
  }

  async #evaluation(
    tasks: readonly Task[],
    step: number,
    when: "before" | "during" | "after",
  ): Promise<Evaluation | undefined> {
    const result = await evaluateStep(this.#parts, tasks, step, when);
    if (when === "before" && result !== undefined)
      this.#parts.reporter.info(describeChange(result, undefined));
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
