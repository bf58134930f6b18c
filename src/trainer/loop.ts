/**
 * @file The training loop: sample groups → rewards → advantages → one update per policy → metrics. Strictly on-policy,
 * synchronous in its steps, concurrent inside them. Everything it calls is in a file of its own; the order is here.
 */

import { trajectoryLine } from "../workflow/trajectory-json.ts";
import type { TrainSettings } from "./config.ts";
import { describeReport, explainNoSignal, reportEpisodes } from "./diagnostics.ts";
import { episodeLines } from "./episode-lines.ts";
import { compare, type Evaluation, evaluate, evaluationSample } from "./evaluate.ts";
import { FailureWatch } from "./failure-watch.ts";
import { creditGroup, type EpisodeRunner, sampleGroups, tasksOfStep } from "./groups.ts";
import type { OpenPolicies } from "./policies.ts";
import { formatSeconds, type Reporter } from "./reporter.ts";
import type { RunFolder } from "./run-folder.ts";
import { stepMetrics, stepTimings } from "./step-metrics.ts";
import { describeChange, type RunSummary, runSummary } from "./summary.ts";
import { describeEpisode } from "./transcript.ts";
import { type PolicyUpdate, updatePolicy } from "./update.ts";

export interface LoopParts<Task> {
  readonly runner: EpisodeRunner<Task>;
  readonly policies: OpenPolicies;
  readonly folder: RunFolder;
  readonly reporter: Reporter;
  readonly tasks: readonly Task[];
  readonly heldOut: readonly Task[];
}

/** One run, from the first group to the summary. */
export class TrainingLoop<Task> {
  readonly #parts: LoopParts<Task>;
  readonly #settings: TrainSettings<Task>;
  readonly #failures: FailureWatch;
  readonly #began = performance.now();
  #stepSeconds = 0;
  #evaluationSeconds = 0;
  #streakWithoutSignal = 0;
  #shown: { readonly name: string; readonly value: number; readonly step: number } | undefined;

  constructor(parts: LoopParts<Task>) {
    this.#parts = parts;
    this.#settings = parts.runner.settings;
    this.#failures = new FailureWatch(this.#settings.maxFailureRate);
  }

  async run(): Promise<RunSummary> {
    const { runner, reporter, folder, heldOut } = this.#parts;
    const { steps, evaluateEvery, evaluateSample, checkpointEvery, seed } = this.#settings;
    reporter.info(`run ${folder.path} · seed ${seed} · ${steps} steps`);
    await this.#dryGroup();
    const before = await this.#evaluation(heldOut, 0, "before");
    const sample = evaluationSample(heldOut, evaluateSample, seed);
    let done = 0;
    let saved = "";
    while (done < steps && !runner.signal.aborted) {
      if (!(await this.#savingOnError(done, () => this.#step(done + 1)))) break;
      done++;
      if (evaluateEvery > 0 && done % evaluateEvery === 0 && done < steps)
        await this.#evaluation(sample, done, "during");
      if (checkpointEvery > 0 && done % checkpointEvery === 0 && done < steps)
        saved = await this.#checkpoint(done);
    }
    saved = await this.#checkpoint(done);
    const after = await this.#evaluation(heldOut, done, "after");
    const interrupted = runner.signal.aborted;
    const change = before !== undefined && after !== undefined ? compare(before, after, seed) : undefined;
    const seconds = (performance.now() - this.#began) / 1000;
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
    await folder.summary(summary);
    reporter.event({ kind: "summary", ...summary });
    if (interrupted) reporter.info(`stopped after step ${done} of ${steps}; the weights are in ${saved}`);
    else this.#conclude(before, after, summary);
    return summary;
  }

  /** An error ends the run, but not without the weights of the steps that went well. */
  async #savingOnError<T>(done: number, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (done > 0) {
        await this.#checkpoint(done).then(
          (path) =>
            this.#parts.reporter.warn(
              `step ${done + 1} failed; the weights after step ${done} are in ${path}`,
            ),
          (second) =>
            this.#parts.reporter.warn(`step ${done + 1} failed, and so did saving the weights: ${second}`),
        );
      }
      throw error;
    }
  }

  /** One group before anything is spent: do episodes end, do parsers take the outputs, do rewards differ? */
  async #dryGroup(): Promise<void> {
    const { runner, reporter, folder, tasks } = this.#parts;
    const chosen = tasksOfStep(tasks.length, 1, 1, this.#settings.seed);
    const groups = await sampleGroups(runner, tasks, chosen, { purpose: "dry", step: 0 });
    const trajectories = groups.flatMap((group) => group.trajectories);
    folder.episodes(
      "dry",
      trajectories.map((trajectory) => trajectoryLine(trajectory)),
    );
    if (runner.signal.aborted) return;
    this.#failures.check(trajectories, "the first group");
    const report = reportEpisodes(trajectories);
    reporter.info(describeReport(report));
    reporter.event({ kind: "first group", ...report });
  }

  /** False: the run was stopped while sampling, and the step did not happen. */
  async #step(step: number): Promise<boolean> {
    const { runner, policies, folder, reporter, tasks } = this.#parts;
    const { method, seed, tasksPerStep, recordEpisodesEvery } = this.#settings;
    const began = performance.now();
    const chosen = tasksOfStep(tasks.length, tasksPerStep, step, seed);
    const groups = await sampleGroups(runner, tasks, chosen, { purpose: "train", step });
    if (runner.signal.aborted) return false;
    const sampledAt = performance.now();
    const trajectories = groups.flatMap((group) => group.trajectories);
    const credited = groups.map((group) => creditGroup(group, runner));
    if (recordEpisodesEvery > 0 && step % recordEpisodesEvery === 0) {
      folder.episodes(String(step).padStart(6, "0"), episodeLines(trajectories, credited));
    }
    const failures = this.#failures.check(trajectories, `step ${step}`);

    const calls = credited.flatMap((group) => group.calls);
    const updates = new Map<string, PolicyUpdate>();
    for (const [name, policy] of policies.trainable) {
      const own = calls.filter(({ call }) => call.policy === name);
      const reference = policies.references.get(name);
      updates.set(
        name,
        await updatePolicy({ policy, reference, calls: own, step, settings: this.#settings }),
      );
    }

    const metrics = stepMetrics({ step, credited, failures, updates });
    const timings = stepTimings({ step, trajectories, began, sampledAt, ended: performance.now() });
    await folder.metrics(metrics);
    await folder.timings(timings);
    reporter.event({ ...metrics, ...timings });
    this.#stepSeconds += timings.seconds;
    reporter.step({
      step,
      steps: this.#settings.steps,
      reward: metrics.reward.mean,
      groups: credited.length,
      groupsWithoutSignal: metrics.groupsWithoutSignal,
      failed: trajectories.filter(({ status }) => status === "failed").length,
      tokensPerSecond: timings.tokensPerSecond,
      secondsLeft: this.#secondsLeft(step),
      heldOut: this.#shown,
    });
    this.#streakWithoutSignal =
      metrics.groupsWithoutSignal === credited.length ? this.#streakWithoutSignal + 1 : 0;
    if (this.#streakWithoutSignal > 0 && this.#streakWithoutSignal % 3 === 0) {
      reporter.warn(explainNoSignal(trajectories, this.#streakWithoutSignal, method.name));
    }
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
    const { runner, reporter, folder } = this.#parts;
    if (tasks.length === 0 || runner.signal.aborted) return undefined;
    const began = performance.now();
    if (when !== "during") reporter.info(`evaluating ${tasks.length} held-out tasks ${when} training …`);
    const result = await evaluate(runner, tasks, {
      step,
      purpose: `evaluate ${when}`,
      intervals: when !== "during",
    });
    if (runner.signal.aborted) return undefined;
    const { means, n, failed, intervals, trajectories } = result;
    if (when !== "during")
      folder.episodes(
        `evaluation-${when}`,
        trajectories.map((trajectory) => trajectoryLine(trajectory)),
      );
    const failures = this.#failures.check(trajectories, `the evaluation ${when} training`);
    const seconds = (performance.now() - began) / 1000;
    const facts = {
      kind: "evaluation",
      when,
      step,
      n,
      failed,
      failures,
      ...means,
      ...(when === "during" ? {} : { ci: intervals }),
    };
    await folder.metrics(facts);
    await folder.timings({ kind: "evaluation", when, step, seconds });
    reporter.event({ ...facts, seconds });
    if (when === "during") this.#evaluationSeconds = seconds;
    const [name] = Object.keys(means);
    if (name !== undefined) this.#shown = { name, value: means[name]!, step };
    if (when === "before") reporter.info(describeChange(result, undefined));
    return result;
  }

  async #checkpoint(step: number): Promise<string> {
    const { policies, folder, reporter } = this.#parts;
    const versions = Object.fromEntries(
      [...policies.trainable].map(([name, { version }]) => [name, version]),
    );
    const path = await folder.checkpoint(
      step,
      { step, seed: this.#settings.seed, versions },
      async (inside) => {
        for (const [name, policy] of policies.trainable)
          await policy.save(`${inside}/${name}`, { optimizer: true });
      },
    );
    reporter.event({ kind: "checkpoint", step, path });
    return path;
  }

  #secondsLeft(step: number): number {
    const { steps, evaluateEvery, evaluateSample } = this.#settings;
    const perStep = this.#stepSeconds / step;
    const perEvaluated =
      this.#evaluationSeconds / Math.min(evaluateSample, Math.max(1, this.#parts.heldOut.length));
    const small =
      evaluateEvery > 0 ? Math.floor((steps - step) / evaluateEvery) * this.#evaluationSeconds : 0;
    return (steps - step) * perStep + small + perEvaluated * this.#parts.heldOut.length;
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
