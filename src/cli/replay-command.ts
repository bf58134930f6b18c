/** @file `troupe replay`: recorded episodes once more through the workflow's code, without a model, and compared. */

import { join } from "node:path";
import type { Command } from "commander";
import { TroupeError } from "../errors.ts";
import { type RecordedEpisode, readEpisodes } from "../trainer/run-record.ts";
import { replayEpisode } from "../workflow/replay.ts";
import { loadTrainConfig, print, printJson } from "./command-output.ts";
import { CommandLineError, exitCodes } from "./errors.ts";
import { episodeFiles } from "./find-run.ts";

/** One change of the workflow makes all episodes diverge in the same way. */
const shownDivergences = 3;

interface ReplayFlags {
  readonly file: string;
  readonly episode?: string;
  readonly runsFolder: string;
  readonly json?: boolean;
}

export interface ReplayOutcome {
  readonly kind: "replay";
  readonly episode: string;
  readonly outcome: "equal" | "diverged" | "cancelled";
  readonly calls: number;
  readonly message?: string;
}

export function registerReplay(program: Command): void {
  program
    .command("replay")
    .description("run recorded episodes through the workflow again, without a model, and compare")
    .argument("<episodes>", "a run, or a file of its episodes/ folder")
    .requiredOption("--file <file>", "training file whose workflow recorded them")
    .option("--episode <id>", "only this one, for example train/000012/003/05")
    .option("--runs-folder <folder>", "where runs are kept", "runs")
    .option("--json", "print one JSON line an episode, then the counts")
    .addHelpText(
      "after",
      "\nEqual: the workflow as it is now asks for the same effects, in the same order, and comes to the same end.\nExit code 1 if an episode diverges.",
    )
    .action(async (target: string, flags: ReplayFlags) => {
      const { workflow, limits } = await loadTrainConfig(flags.file);
      const files = await episodeFiles(target, flags.runsFolder);
      const counts = { equal: 0, diverged: 0, cancelled: 0 };
      const began = performance.now();
      for (const file of files) {
        for (const trajectory of await readEpisodes(file)) {
          if (flags.episode !== undefined && trajectory.id !== flags.episode) continue;
          if (trajectory.workflow !== workflow.name)
            throw otherWorkflow(trajectory, workflow.name, flags.file);
          const outcome = await replayed(trajectory, () =>
            replayEpisode({ workflow, trajectory, ...(limits === undefined ? {} : { limits }) }),
          );
          counts[outcome.outcome]++;
          if (flags.json === true) printJson(outcome);
          else if (outcome.outcome === "diverged" && counts.diverged <= shownDivergences)
            print(`${outcome.episode}: diverged\n  ${outcome.message!.replaceAll("\n", "\n  ")}`);
          else if (flags.episode !== undefined) print(`${outcome.episode}: ${outcome.outcome}`);
        }
      }
      const all = counts.equal + counts.diverged + counts.cancelled;
      if (all === 0) throw nothingThere(target, flags.episode, files);
      const seconds = (performance.now() - began) / 1000;
      if (flags.json === true) printJson({ kind: "replays", episodes: all, ...counts, seconds });
      else {
        const cancelled =
          counts.cancelled === 0 ? "" : `, ${counts.cancelled} were stopped before their end and have none`;
        if (counts.diverged > shownDivergences)
          print(`… and ${counts.diverged - shownDivergences} more diverge; --json lists them all`);
        print(`${counts.equal} of ${all} episodes replay equal${cancelled} (${seconds.toFixed(2)} s)`);
      }
      if (counts.diverged > 0) process.exitCode = exitCodes.failed;
    });
}

async function replayed(trajectory: RecordedEpisode, replay: () => Promise<unknown>): Promise<ReplayOutcome> {
  const facts = { kind: "replay", episode: trajectory.id, calls: trajectory.calls.length } as const;
  try {
    await replay();
    return { ...facts, outcome: "equal" };
  } catch (error) {
    if (!TroupeError.is(error)) throw error;
    if (error.code === "E_REPLAY_CANCELLED") return { ...facts, outcome: "cancelled" };
    return { ...facts, outcome: "diverged", message: error.message };
  }
}

function otherWorkflow({ id, workflow }: RecordedEpisode, name: string, file: string): CommandLineError {
  return new CommandLineError({
    code: "E_REPLAY_WORKFLOW",
    message: `Episode ${id} was recorded by workflow "${workflow}"; ${file} has workflow "${name}".`,
    hint: "give the training file whose workflow recorded the episodes.",
  });
}

function nothingThere(target: string, episode: string | undefined, files: readonly string[]) {
  return new CommandLineError({
    code: "E_EPISODE_MISSING",
    message:
      episode === undefined
        ? `There are no episodes in ${target}.`
        : `There is no episode ${episode} in ${files.length === 1 ? files[0] : join(target, "episodes")}.`,
    hint: "`troupe show <run> --step <n>` lists the episodes of a step; a run records those of every `recordEpisodesEvery`th.",
  });
}
