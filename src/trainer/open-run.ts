/** @file Where a run begins: at its own newest checkpoint, at another run's (`from`), or at the policies as they are. */

import { rm } from "node:fs/promises";
import { isAbsolute, join, relative, resolve } from "node:path";
import { type Checkpoint, findCheckpoint, readCheckpoint } from "./checkpoint.ts";
import type { TrainSettings } from "./config.ts";
import { configRecord } from "./config-record.ts";
import { RunFolderError } from "./errors.ts";
import type { Reporter } from "./reporter.ts";
import { RunFolder, unfinishedConfig } from "./run-folder.ts";
import { type ConfigRecord, codeDigest, configDigest, tasksDigest } from "./same-run.ts";
import type { StatefulPart } from "./save-run.ts";

/** In `config.json`: the checkpoint that a run's weights came from. */
interface Lineage {
  readonly checkpoint: string;
  readonly step: number;
  readonly versions: Readonly<Record<string, number>>;
  /** Digest of that run's configuration. */
  readonly config: string;
}

export interface OpenRunOptions<Task> {
  readonly settings: TrainSettings<Task>;
  readonly tasks: readonly Task[];
  readonly heldOut: readonly Task[];
  readonly fresh: boolean;
  readonly reporter: Reporter;
}

export interface OpenedRun {
  readonly folder: RunFolder;
  /** Of this run: where it goes on. */
  readonly checkpoint: Checkpoint | undefined;
  /** What the policies begin with: `checkpoint`, or one of another run; undefined if they stay as they were opened. */
  readonly begin: Checkpoint | undefined;
  /** Digest of the configuration. */
  readonly config: string;
}

/** Opens the run's folder and says how the run begins. @throws RunFolderError */
export async function openRun<Task>(options: OpenRunOptions<Task>): Promise<OpenedRun> {
  const { settings, tasks, heldOut, fresh, reporter } = options;
  const warn = (text: string) => reporter.warn(text);
  const { runsFolder, run: name, from } = settings;
  const record = {
    ...configRecord(settings),
    code: codeDigest(settings.workflow),
    data: {
      tasks: tasks.length,
      tasksDigest: tasksDigest(tasks),
      evaluate: heldOut.length,
      evaluateDigest: tasksDigest(heldOut),
    },
  };
  const path = join(runsFolder, name);
  // A run that goes on keeps its lineage, whatever became of the run that it came from.
  const recorded = fresh ? undefined : await unfinishedConfig(path);
  const known = recorded?.lineage as Lineage | undefined;
  const source = from === undefined || known !== undefined ? undefined : await findSource(from, path, warn);
  const lineage = known ?? (source && lineageOf(source));
  const config = lineage === undefined ? record : { ...record, lineage };
  const opened = await RunFolder.open({ runsFolder, name, config, fresh, warn });
  const { folder, movedTo, continued, checkpoint } = opened;
  if (movedTo !== undefined) reporter.info(`the earlier run of that name is now ${movedTo}`);
  if (continued) sayContinued(folder.path, checkpoint, reporter);
  try {
    if (recorded !== undefined && recorded.code !== record.code) await dropJournal(folder, config, warn);
    const begin = checkpoint ?? source ?? (lineage && (await readCheckpoint(lineage.checkpoint)));
    if (begin !== undefined && begin !== checkpoint) reporter.info(`the weights are those of ${begin.path}`);
    return { folder, checkpoint, begin, config: configDigest(record) };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

/** Episodes of the code as it was are not mixed with those of the code as it is. */
async function dropJournal(
  folder: RunFolder,
  config: ConfigRecord,
  warn: (text: string) => void,
): Promise<void> {
  warn("the workflow's code has changed since the run began; steps that are taken now use it as it is.");
  await rm(folder.journal, { recursive: true, force: true });
  await folder.config(config);
}

function sayContinued(run: string, checkpoint: Checkpoint | undefined, reporter: Reporter): void {
  const step = checkpoint?.state.step ?? 0;
  const where = step === 0 ? "from the beginning, since it has no checkpoint yet" : `after step ${step}`;
  reporter.info(`the run in ${run} was not finished; it goes on ${where}`);
  reporter.event({ kind: "continued", step, run });
}

async function findSource(from: string, run: string, warn: (text: string) => void): Promise<Checkpoint> {
  const inside = relative(resolve(run), resolve(from));
  if (inside === "" || !(inside.startsWith("..") || isAbsolute(inside))) {
    throw new RunFolderError({
      code: "E_RUN_FROM",
      message: `A run in ${run} cannot begin from ${from}: that is its own folder.`,
      hint: "give the new run another name with --run.",
      facts: { run, from },
    });
  }
  return findCheckpoint(from, warn);
}

function lineageOf({ path, state, manifest }: Checkpoint): Lineage {
  return { checkpoint: resolve(path), step: state.step, versions: state.versions, config: manifest.config };
}

/** What a checkpoint keeps the state of, besides policies. A memory that cannot say its state is not kept. */
export function statefulParts<Task>(
  { method, memory, rewards, schedule }: TrainSettings<Task>,
  store?: StatefulPart,
  buffer?: StatefulPart,
): Map<string, StatefulPart> {
  const parts = new Map<string, StatefulPart>([["method", method]]);
  if (memory !== undefined) parts.set("memory", memory);
  if (store !== undefined) parts.set("episodes", store);
  if (buffer !== undefined) parts.set("buffer", buffer);
  if (schedule !== undefined) parts.set("schedule", schedule);
  // What restore takes is what state gave: JSON.
  if (rewards !== undefined) parts.set("rewards", rewards as StatefulPart);
  return parts;
}
