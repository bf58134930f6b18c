/** @file `troupe show <run>`: a run, a step of it, a group of the step, or one episode with its calls. */

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { type RecordedEpisode, type RunRecord, readEpisodes, readRun } from "../trainer/run-record.ts";
import { describeEpisode } from "../trainer/transcript.ts";
import { dataEdges } from "../workflow/graph.ts";
import { trajectoryLine } from "../workflow/trajectory-json.ts";
import { integer, print, printJson } from "./command-output.ts";
import {
  describeGroup,
  describeGroups,
  describeRun,
  describeStepMetrics,
  groupViews,
} from "./describe-run.ts";
import { CommandLineError } from "./errors.ts";
import { episodeFiles, findRun } from "./find-run.ts";

interface ShowFlags {
  readonly step?: number;
  readonly group?: number;
  readonly episode?: string;
  readonly limit: number;
  readonly runsFolder: string;
  readonly json?: boolean;
}

export function registerShow(program: Command): void {
  program
    .command("show")
    .description("show a run, a step (--step), a group of it (--group), or an episode (--episode)")
    .argument("<run>", "a run's name or folder; with --episode also a file of episodes")
    .option("--step <number>", "the step's metrics, and its groups if its episodes were recorded", integer(0))
    .option("--group <number>", "with --step: the episodes of this group side by side", integer(0))
    .option("--episode <id>", "one episode: calls, tokens, rewards, advantages, data flow")
    .option("--limit <characters>", "of each text that an episode shows", integer(1), 2000)
    .option("--runs-folder <folder>", "where runs are kept", "runs")
    .option("--json", "print the same facts as JSON")
    .action(async (target: string, flags: ShowFlags) => {
      const { step, group, episode } = flags;
      if (group !== undefined && step === undefined)
        throw wrongUse("--group needs --step: groups are numbered within a step.", "add --step <number>.");
      if (episode !== undefined && step !== undefined)
        throw wrongUse("--episode and --step exclude each other.", "an episode's id names its step already.");
      if (episode !== undefined) return showEpisode(target, episode, flags);
      const run = await readRun(await findRun(target, flags.runsFolder));
      if (step !== undefined) return showStep(run, step, flags);
      if (flags.json === true) printJson(run);
      else print(describeRun(run));
    });
}

async function showStep(run: RunRecord, step: number, { group, json }: ShowFlags): Promise<void> {
  const metrics = run.steps.find((one) => one.step === step);
  const name = step === 0 ? "dry" : String(step).padStart(6, "0");
  const recorded = run.episodeFiles.includes(name);
  if (metrics === undefined && !recorded) {
    throw wrongUse(
      `Run ${run.path} has no step ${step}; its newest is ${run.steps.at(-1)?.step ?? 0}.`,
      "step 0 is the dry group.",
    );
  }
  const groups = recorded ? groupViews(await readEpisodes(join(run.path, "episodes", `${name}.jsonl`))) : [];
  if (group === undefined) {
    if (json === true) return printJson({ metrics: metrics ?? null, groups });
    if (metrics !== undefined) print(`${describeStepMetrics(metrics)}\n`);
    print(
      recorded
        ? describeGroups(groups)
        : "  its episodes were not recorded (`recordEpisodesEvery` in the training file)",
    );
    return;
  }
  const shown = groups.find((one) => one.group === group);
  if (shown === undefined) {
    throw wrongUse(
      recorded
        ? `Step ${step} has no group ${group}; it has ${groups.length}, from 0.`
        : `The episodes of step ${step} were not recorded.`,
      `\`troupe show ${run.name}\` says which steps have recorded episodes.`,
    );
  }
  if (json === true) printJson(shown);
  else print(describeGroup(shown));
}

async function showEpisode(target: string, id: string, flags: ShowFlags): Promise<void> {
  const found = await findEpisode(target, id, flags.runsFolder);
  if (flags.json === true) {
    const { advantages } = found;
    printJson({
      ...(JSON.parse(trajectoryLine(found)) as Readonly<Record<string, unknown>>),
      ...(advantages === undefined ? {} : { advantages }),
      edges: dataEdges(found),
    });
    return;
  }
  print(describeEpisode(found, { details: true, limit: flags.limit, advantages: found.advantages }));
}

async function findEpisode(target: string, id: string, runsFolder: string): Promise<RecordedEpisode> {
  const files = await episodeFiles(target, runsFolder);
  // "train/000012/003/05" is in 000012.jsonl; one of another purpose in a file of its own.
  const step = /^train\/(\d+)\//.exec(id)?.[1];
  const likely = files.filter((file) => step !== undefined && file.endsWith(`${step}.jsonl`));
  for (const file of likely.length > 0 ? likely : files) {
    const found = (await readEpisodes(file)).find((episode) => episode.id === id);
    if (found !== undefined) return found;
  }
  const isFile = existsSync(target) && statSync(target).isFile();
  throw new CommandLineError({
    code: "E_EPISODE_MISSING",
    message: `There is no episode ${id} in ${target}.`,
    hint: isFile
      ? "each line of the file begins with its episode's id."
      : `\`troupe show ${target} --step <n> --group <n>\` lists the ids of a group.`,
  });
}

function wrongUse(message: string, hint: string): CommandLineError {
  return new CommandLineError({ code: "E_OPTION", message, hint });
}
