/** @file The `troupe` command: its commands and how it ends. */

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { registerDoctor } from "./doctor.ts";
import { describeError, errorFacts, exitCodeOf, exitCodes } from "./errors.ts";
import { registerEval } from "./eval-command.ts";
import { registerInit } from "./init-command.ts";
import { registerMethods } from "./methods-command.ts";
import { registerPull } from "./pull.ts";
import { registerReplay } from "./replay-command.ts";
import { registerRuns } from "./runs-command.ts";
import { registerShow } from "./show-command.ts";
import { registerTrain } from "./train-command.ts";

const exitCodeHelp = `
From nothing to a trained team:
  troupe init my-team && cd my-team && npm install
  npx troupe train train.ts --dry    what would happen, in seconds
  npx troupe train train.ts          train; Ctrl-C saves, the same command goes on
  npx troupe runs                    what was trained
  npx troupe show <run>              its curve, its groups, its episodes
  npx troupe eval train.ts --checkpoint runs/<run>

Every command has --help and, for programs, --json.
Exit codes: 0 done · 1 failed · 2 wrong use or faulty configuration, nothing spent · 3 run stopped because going on was
worthless · 130 interrupted.`;

export function createProgram(): Command {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const program = new Command("troupe")
    .description("Train the language models behind a multi-agent workflow with reinforcement learning.")
    .version(version)
    .addHelpText("after", exitCodeHelp)
    .exitOverride();
  registerInit(program);
  registerTrain(program);
  registerEval(program);
  registerRuns(program);
  registerShow(program);
  registerReplay(program);
  registerMethods(program);
  registerDoctor(program);
  registerPull(program);
  // A command that was built apart and added would end the process itself.
  for (const command of program.commands) command.exitOverride();
  return program;
}

/** Runs the command line and returns the exit code. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  try {
    const program = createProgram();
    await program.parseAsync([...argv], { from: "user" });
    return typeof process.exitCode === "number" ? process.exitCode : exitCodes.ok;
  } catch (error) {
    // Commander has printed its message (and the nearest command) itself.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (argv.includes("--json")) process.stdout.write(`${JSON.stringify(errorFacts(error))}\n`);
    process.stderr.write(`${describeError(error, { stack: process.env.TROUPE_DEBUG !== undefined })}\n`);
    return exitCodeOf(error);
  }
}
