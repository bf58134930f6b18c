/** @file `troupe train <file>`: runs the configuration that a file exports. */

import { type Command, InvalidArgumentError } from "commander";
import { isTrainConfig } from "../trainer/config.ts";
import { consoleReporter, jsonReporter } from "../trainer/reporter.ts";
import { train } from "../trainer/train.ts";
import { CommandLineError, exitCodes } from "./errors.ts";
import { loadDefault } from "./load-file.ts";

interface TrainFlags {
  readonly run?: string;
  readonly runsFolder?: string;
  readonly steps?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

function integer(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(
      `Expected an integer${least > Number.MIN_SAFE_INTEGER ? ` of at least ${least}` : ""}.`,
    );
  };
}

export function registerTrain(program: Command): void {
  program
    .command("train")
    .description("train the policies behind a workflow")
    .argument("<file>", "TypeScript or JavaScript file whose default export is trainConfig({ … })")
    .option("--run <name>", "name of the run; an earlier run of that name is moved aside, not overwritten")
    .option("--runs-folder <folder>", "where runs are kept")
    .option("--steps <number>", "optimiser steps, instead of the file's", integer(0))
    .option("--seed <number>", "seed, instead of the file's", integer(Number.MIN_SAFE_INTEGER))
    .option("--json", "report as JSON lines on standard output")
    .action(async (file: string, flags: TrainFlags) => {
      const config = await loadDefault(file);
      if (!isTrainConfig(config)) {
        throw new CommandLineError({
          code: "E_TRAIN_FILE",
          message: `The default export of ${file} is ${config === undefined ? "missing" : "not a training configuration"}.`,
          hint: 'write `export default trainConfig({ … })`, with trainConfig from "troupe".',
        });
      }
      const { json, ...overrides } = flags;
      const stop = stopOnInterrupt();
      try {
        const reporter = json === true ? jsonReporter() : consoleReporter();
        const { interrupted } = await train({ ...config, ...overrides }, { reporter, signal: stop.signal });
        if (interrupted) process.exitCode = exitCodes.interrupted;
      } finally {
        stop.dispose();
      }
    });
}

/**
 * First Ctrl-C: stop at a safe point. Second: leave at once. A terminal's Ctrl-C may arrive twice, since npm passes on
 * what the process has received already, so a second one counts only after a moment.
 */
function stopOnInterrupt(): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  let firstAt = 0;
  const onSignal = () => {
    if (controller.signal.aborted) {
      if (performance.now() - firstAt > 500) process.exit(exitCodes.interrupted);
      return;
    }
    firstAt = performance.now();
    process.stderr.write(
      "\nstopping at the next safe point and saving; press Ctrl-C again to leave at once\n",
    );
    controller.abort(new Error("interrupted"));
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    signal: controller.signal,
    dispose: () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}
