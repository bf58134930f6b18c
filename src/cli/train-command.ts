/** @file `troupe train <file>`: runs the configuration that a file exports; with `--dry` only up to the first update. */

import type { Command } from "commander";
import { dryRun } from "../trainer/dry-run.ts";
import { consoleReporter, jsonReporter } from "../trainer/reporter.ts";
import { train } from "../trainer/train.ts";
import { integer, loadTrainConfig, stopOnInterrupt } from "./command-output.ts";
import { CommandLineError, exitCodes } from "./errors.ts";

interface TrainFlags {
  readonly run?: string;
  readonly runsFolder?: string;
  readonly steps?: number;
  readonly seed?: number;
  readonly from?: string;
  readonly fresh?: boolean;
  readonly dry?: boolean;
  readonly groups?: number;
  readonly json?: boolean;
}

export function registerTrain(program: Command): void {
  program
    .command("train")
    .description("train the policies behind a workflow; a run that was stopped or killed goes on")
    .argument("<file>", "TypeScript or JavaScript file whose default export is trainConfig({ … })")
    .option(
      "--dry",
      "check everything, run a few groups, say what they show, and stop before the first update",
    )
    .option("--groups <number>", "with --dry: groups to run (default: 4, or those of a step)", integer(1))
    .option("--run <name>", "name of the run; an earlier run of that name is moved aside, not overwritten")
    .option("--runs-folder <folder>", "where runs are kept (default: runs)")
    .option("--steps <number>", "optimiser steps, instead of the file's", integer(0))
    .option("--seed <number>", "seed, instead of the file's", integer(Number.MIN_SAFE_INTEGER))
    .option("--from <run>", "begin with the weights of a checkpoint, or of a run's newest one")
    .option("--fresh", "begin anew where an unfinished run would go on; that one is moved aside")
    .option("--json", "report as JSON lines on standard output")
    .action(async (file: string, flags: TrainFlags) => {
      const config = await loadTrainConfig(file);
      const { json, fresh, dry, groups, ...overrides } = flags;
      if (groups !== undefined && dry !== true) {
        throw new CommandLineError({
          code: "E_OPTION",
          message: "--groups belongs to --dry; a step of training runs the `tasksPerStep` of the file.",
          hint: "add --dry, or leave --groups out.",
        });
      }
      const reporter = json === true ? jsonReporter() : consoleReporter();
      const stop = stopOnInterrupt(dry === true ? "stopping" : "stopping at the next safe point and saving");
      const options = { ...config, ...overrides };
      const { signal } = stop;
      try {
        if (dry === true) {
          await dryRun(options, { reporter, signal, ...(groups === undefined ? {} : { groups }) });
          if (signal.aborted) process.exitCode = exitCodes.interrupted;
          return;
        }
        const { interrupted } = await train(options, { reporter, signal, fresh: fresh === true });
        if (interrupted) process.exitCode = exitCodes.interrupted;
      } finally {
        stop.dispose();
      }
    });
}
