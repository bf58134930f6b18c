/** @file `evaluatePolicies`: the evaluation of a configuration by itself, on its policies as they are or as a checkpoint has them. */

import { loadTasks } from "../data/task-source.ts";
import { checkScorers } from "../rewards/option-scores.ts";
import { agentsOf } from "../workflow/workflow.ts";
import { checkConfig, type TrainOptions, type TrainSettings } from "./config.ts";
import { episodeRunner } from "./episode-runner.ts";
import { TrainConfigError } from "./errors.ts";
import { type Evaluation, evaluate } from "./evaluate.ts";
import { samplingOf } from "./evaluation-options.ts";
import { openTrained } from "./open-trained.ts";
import { consoleReporter, type Reporter } from "./reporter.ts";

export interface EvaluateControl {
  /** A checkpoint, or a run whose newest one is meant. Default: the policies as their engines open them. */
  readonly checkpoint?: string;
  readonly reporter?: Reporter;
  readonly signal?: AbortSignal;
}

export interface CheckpointEvaluation extends Evaluation {
  /** Where the weights came from; undefined: as the engines open them. */
  readonly checkpoint: string | undefined;
  readonly seconds: number;
}

/**
 * Evaluates without training.
 *
 * @example
 * const { means, intervals } = await evaluatePolicies({ ...config, evaluation: { samples: 8, decoding: "sampled", passAt: [1, 8] } }, { checkpoint: "runs/atlas" });
 */
export async function evaluatePolicies<Task>(
  options: TrainOptions<Task>,
  control: EvaluateControl = {},
): Promise<CheckpointEvaluation> {
  const settings = checkConfig(options);
  const source = settings.evaluate;
  if (source === undefined) {
    throw new TrainConfigError({
      code: "E_EVALUATION_TASKS",
      message: "The configuration has no tasks to evaluate on.",
      hint: "give `evaluate: jsonl(…)` in the file, or --tasks on the command line.",
    });
  }
  const tasks = await loadTasks(source, "evaluate", settings.workflow.task);
  const reporter = control.reporter ?? consoleReporter();
  const began = performance.now();
  const { policies, checkpoint, close } = await openTrained(settings, control.checkpoint, (text) =>
    reporter.warn(text),
  );
  try {
    if (settings.rewards !== undefined) checkScorers(settings.rewards, policies);
    const runner = episodeRunner({ settings, policies, reporter, signal: control.signal });
    reporter.info(
      `evaluating ${describePlan(settings, tasks.length)}${checkpoint === undefined ? "" : ` · weights of ${checkpoint.path}`}`,
    );
    if (samplesAlike(settings))
      reporter.warn(
        'all agents decode greedily, so the episodes of a task are the same; use decoding: "sampled" (--sampled).',
      );
    const evaluation = await evaluate(runner, tasks, {
      step: checkpoint?.state.step ?? 0,
      purpose: "evaluate",
      intervals: true,
    });
    const seconds = (performance.now() - began) / 1000;
    return { ...evaluation, checkpoint: checkpoint?.path, seconds };
  } finally {
    reporter.close();
    await close();
  }
}

/** Several episodes a task, none of which draws anything, as far as settings tell. */
function samplesAlike<Task>({ evaluation, workflow }: TrainSettings<Task>): boolean {
  const sampling = samplingOf(evaluation.decoding);
  return (
    evaluation.samples > 1 &&
    [...agentsOf(workflow).values()].every(
      (agent) => (sampling?.(agent) ?? agent.sampling.evaluate).temperature === 0,
    )
  );
}

function describePlan<Task>({ evaluation }: TrainSettings<Task>, tasks: number): string {
  const { samples, decoding } = evaluation;
  const how = decoding === undefined ? "" : typeof decoding === "string" ? `, ${decoding}` : ", sampled";
  return `${tasks} tasks${samples === 1 ? "" : ` × ${samples} episodes`}${how}`;
}
