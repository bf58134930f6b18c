/** @file `troupe eval <file>`: the evaluation of a training file by itself, on a checkpoint or on the policies as they are. */

import { writeFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { jsonl } from "../data/jsonl.ts";
import { evaluatePolicies } from "../trainer/evaluate-run.ts";
import type { Decoding } from "../trainer/evaluation-options.ts";
import { countByCode, failuresOf } from "../trainer/failure-watch.ts";
import { consoleReporter, formatSeconds, jsonReporter } from "../trainer/reporter.ts";
import { describeChange } from "../trainer/summary.ts";
import { trajectoryLine } from "../workflow/trajectory-json.ts";
import { integer, integers, loadTrainConfig, stopOnInterrupt } from "./command-output.ts";
import { CommandLineError, exitCodes } from "./errors.ts";

interface EvalFlags {
  readonly checkpoint?: string;
  readonly tasks?: string;
  readonly samples?: number;
  readonly greedy?: boolean;
  readonly sampled?: boolean;
  readonly passAt?: readonly number[];
  readonly seed?: number;
  readonly episodes?: string;
  readonly json?: boolean;
}

export function registerEval(program: Command): void {
  program
    .command("eval")
    .description("evaluate the policies of a training file, with 95 % intervals")
    .argument("<file>", "file whose default export is trainConfig({ … })")
    .option("--checkpoint <run>", "weights of a checkpoint, or of a run's newest one (default: as they are)")
    .option("--tasks <file>", "tasks as JSON lines, instead of the file's `evaluate`")
    .option("--samples <number>", "episodes a task", integer(1))
    .addOption(
      new Option(
        "--sampled",
        "decode as the agents sample in training (default: as each agent says)",
      ).conflicts("greedy"),
    )
    .option("--greedy", "decode greedily")
    .option("--pass-at <numbers>", "pass@k for these k, for example 1,4,8", integers(1))
    .option("--seed <number>", "seed, instead of the file's", integer(Number.MIN_SAFE_INTEGER))
    .option("--episodes <file>", "write the episodes as JSON lines, for `troupe replay` and `troupe show`")
    .option("--json", "report as JSON lines on standard output")
    .action(async (file: string, flags: EvalFlags) => {
      const config = await loadTrainConfig(file);
      const { tasks, samples, greedy, sampled, passAt, seed, checkpoint, episodes, json } = flags;
      const decoding: Decoding | undefined = sampled ? "sampled" : greedy ? "greedy" : undefined;
      const reporter = json === true ? jsonReporter() : consoleReporter();
      const stop = stopOnInterrupt("stopping");
      const evaluation = {
        ...config.evaluation,
        ...(samples === undefined ? {} : { samples }),
        ...(decoding === undefined ? {} : { decoding }),
        ...(passAt === undefined ? {} : { passAt }),
      };
      try {
        const result = await evaluatePolicies(
          {
            ...config,
            evaluation,
            ...(tasks === undefined ? {} : { evaluate: jsonl<unknown>(tasks) }),
            ...(seed === undefined ? {} : { seed }),
          },
          { reporter, signal: stop.signal, ...(checkpoint === undefined ? {} : { checkpoint }) },
        );
        if (stop.signal.aborted) {
          process.exitCode = exitCodes.interrupted;
          return;
        }
        const { means, intervals, n, failed, trajectories, seconds } = result;
        if (episodes !== undefined)
          await writeEpisodes(
            episodes,
            trajectories.map((one) => trajectoryLine(one)),
          );
        const failures = countByCode(failuresOf(trajectories));
        reporter.event({
          kind: "evaluation",
          n,
          samples: result.samples,
          failed,
          failures,
          ...means,
          ci: intervals,
          checkpoint: result.checkpoint ?? null,
          seconds,
        });
        reporter.info(`${describeChange(result, undefined)} · ${formatSeconds(seconds)}`);
        for (const [what, count] of Object.entries(failures))
          reporter.warn(`${count} episodes failed with ${what} and are in no mean`);
        if (n === 0) process.exitCode = exitCodes.failed;
      } finally {
        stop.dispose();
      }
    });
}

async function writeEpisodes(file: string, lines: readonly string[]): Promise<void> {
  try {
    await writeFile(file, `${lines.join("\n")}\n`);
  } catch (error) {
    throw new CommandLineError({
      code: "E_EPISODE_FILE",
      message: `The episodes cannot be written to ${file}: ${error instanceof Error ? error.message : String(error)}`,
      hint: "name a file in a folder that exists.",
      cause: error,
    });
  }
}
