/** @file What commands share: where they write, how numbers on the command line are read, how a training file is loaded. */

import { InvalidArgumentError } from "commander";
import { isTrainConfig, type TrainConfig } from "../trainer/config.ts";
import { CommandLineError, exitCodes } from "./errors.ts";
import { loadDefault } from "./load-file.ts";

/** One line of text, or with `--json` the facts. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(facts: unknown): void {
  process.stdout.write(`${JSON.stringify(facts)}\n`);
}

/** An option's value as an integer. */
export function integer(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(
      `Expected an integer${least > Number.MIN_SAFE_INTEGER ? ` of at least ${least}` : ""}.`,
    );
  };
}

/** "1,4,8" */
export function integers(least: number): (text: string) => readonly number[] {
  return (text) => text.split(",").map(integer(least));
}

/** @throws CommandLineError unless the file's default export is what trainConfig(…) returns. */
export async function loadTrainConfig(file: string): Promise<TrainConfig<unknown>> {
  const config = await loadDefault(file);
  if (isTrainConfig(config)) return config;
  throw new CommandLineError({
    code: "E_TRAIN_FILE",
    message: `The default export of ${file} is ${config === undefined ? "missing" : "not a training configuration"}.`,
    hint: 'write `export default trainConfig({ … })`, with trainConfig from "troupe".',
  });
}

/**
 * First Ctrl-C: stop at a safe point. Second: leave at once. A terminal's Ctrl-C may arrive twice, since npm passes on
 * what the process has received already, so a second one counts only after a moment.
 */
export function stopOnInterrupt(notice: string): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  let firstAt = 0;
  const onSignal = () => {
    if (controller.signal.aborted) {
      if (performance.now() - firstAt > 500) process.exit(exitCodes.interrupted);
      return;
    }
    firstAt = performance.now();
    process.stderr.write(`\n${notice}; press Ctrl-C again to leave at once\n`);
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
