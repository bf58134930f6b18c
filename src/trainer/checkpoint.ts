/**
 * @file Checkpoints of a run: everything that the same command needs to go on to bit-equal weights.
 *
 * `checkpoints/step-000040/` holds a folder per trained policy (weights and optimiser), `state.json` and, written last,
 * `manifest.json` with size and sha256 of every file. It is written under a name that ends in `.partial`, flushed, and
 * renamed; so a folder with a checkpoint's name is complete, and a change of it shows. See docs/checkpoints.md.
 */

import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { TroupeError } from "../errors.ts";
import { crashPoint } from "../store/crash-point.ts";
import { differencesFrom, type FileDigest, flushFolder, flushTree, writeFlushed } from "../store/durable.ts";
import { writeFault } from "../store/errors.ts";
import { RunFolderError } from "./errors.ts";
import type { ProgressState } from "./progress.ts";

/** Raised when a reader of this version could misread what a later one wrote. */
export const checkpointSchema = "troupe.checkpoint/1";

/** How random streams are named and made: a checkpoint of another scheme would go on with other numbers. */
export const keyScheme = "troupe.keys/1 (philox4x32-10)";

/** `state.json` */
export interface RunState {
  readonly step: number;
  readonly seed: number;
  /** Optimiser steps of each trained policy. */
  readonly versions: Readonly<Record<string, number>>;
  readonly keys: string;
  /** Tasks drawn so far: the next step begins with the one at this position of the keyed shuffles. */
  readonly cursor: number;
  /** Lengths in bytes; what is behind them belongs to steps that a resumed run takes again. */
  readonly files: { readonly metrics: number; readonly timings: number };
  readonly progress: ProgressState;
  /** Of the method, the rewards, the memory: what each said of itself, by name. */
  readonly parts: Readonly<Record<string, unknown>>;
}

/** `manifest.json` */
export interface CheckpointManifest {
  readonly schema: typeof checkpointSchema;
  readonly step: number;
  readonly seed: number;
  readonly versions: Readonly<Record<string, number>>;
  /** sha256 of what decides the run's results in `config.json`. */
  readonly config: string;
  /** Means of the newest evaluation during training: what keep-best looks at. */
  readonly scores: Readonly<Record<string, number>>;
  readonly files: Readonly<Record<string, FileDigest>>;
}

export interface Checkpoint {
  readonly path: string;
  readonly manifest: CheckpointManifest;
  readonly state: RunState;
}

/** Which checkpoints stay when a new one is in place. */
export interface KeepCheckpoints {
  /** The newest ones. Default 2: one more than needed, should the newest be damaged. */
  readonly last?: number;
  /** Besides, those with the largest mean of an evaluation metric. Default: none. */
  readonly best?: { readonly metric: string; readonly count: number };
}

const manifestShape = z.object({
  schema: z.literal(checkpointSchema),
  step: z.int().min(0),
  seed: z.int(),
  versions: z.record(z.string(), z.int().min(0)),
  config: z.string(),
  scores: z.record(z.string(), z.number()),
  files: z.record(
    z.string().refine((name) => !name.split("/").includes("..") && !name.startsWith("/")),
    z.object({ size: z.int().min(0), sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  ),
});

const checkpointName = (step: number) => `step-${String(step).padStart(6, "0")}`;
const namePattern = /^step-(\d{6,})$/;

/**
 * Writes one checkpoint. When this resolves it is on the disk; when it rejects, the earlier ones are as they were.
 *
 * @throws StoreError, or what `save` throws.
 */
export async function writeCheckpoint(
  folder: string,
  state: RunState,
  facts: Pick<CheckpointManifest, "config" | "scores">,
  save: (inside: string) => Promise<void>,
): Promise<string> {
  const { step, seed, versions } = state;
  const target = join(folder, checkpointName(step));
  const partial = `${target}.partial`;
  try {
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    await save(partial);
    crashPoint("checkpoint after weights");
    await writeFlushed(join(partial, "state.json"), `${JSON.stringify(state, undefined, 2)}\n`);
    const files = await flushTree(partial);
    crashPoint("checkpoint before manifest");
    const manifest: CheckpointManifest = { schema: checkpointSchema, step, seed, versions, ...facts, files };
    await writeFlushed(join(partial, "manifest.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
    await flushFolder(partial);
    crashPoint("checkpoint before rename");
    // Only a damaged one can be there: a run goes on from its newest good checkpoint.
    await rm(target, { recursive: true, force: true });
    await rename(partial, target);
    await flushFolder(folder);
  } catch (error) {
    await rm(partial, { recursive: true, force: true }).catch(() => {});
    throw TroupeError.is(error) ? error : writeFault(target, error);
  }
  return target;
}

/** Reads a checkpoint and compares every file with the manifest. @throws RunFolderError saying what is wrong. */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const manifest = await readManifest(path);
  const wrong = await differencesFrom(path, manifest.files);
  if (wrong.length > 0) throw damaged(path, wrong.join("; "));
  // Its digest held, so it is what this program wrote.
  const state = JSON.parse(await readFile(join(path, "state.json"), "utf8")) as RunState;
  if (state.keys !== keyScheme) {
    throw new RunFolderError({
      code: "E_RUN_CHECKPOINT",
      message: `The checkpoint ${path} was made with random numbers of scheme "${state.keys}"; this version uses "${keyScheme}".`,
      hint: "finish the run with the version that began it, or begin a new one from its weights with `from`.",
      facts: { path, keys: state.keys },
    });
  }
  return { path, manifest, state };
}

async function readManifest(path: string): Promise<CheckpointManifest> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(join(path, "manifest.json"), "utf8"));
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw damaged(path, missing ? "manifest.json is missing" : "manifest.json is not JSON", error);
  }
  const parsed = manifestShape.safeParse(json);
  if (!parsed.success) throw damaged(path, `manifest.json: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

function damaged(path: string, what: string, cause?: unknown): RunFolderError {
  return new RunFolderError({
    code: "E_RUN_CHECKPOINT",
    message: `The checkpoint ${path} is not what was written: ${what}.`,
    hint: "go back to an earlier one, or copy this one again from where it was made.",
    cause,
    facts: { path },
  });
}

/** Steps of the checkpoints in a folder, newest first; good ones and damaged ones. */
export async function checkpointSteps(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .flatMap((name) => {
      const step = namePattern.exec(name)?.[1];
      return step === undefined ? [] : [Number(step)];
    })
    .sort((left, right) => right - left);
}

/** The newest checkpoint whose files are as they were written; damaged ones are reported and passed over. */
export async function newestCheckpoint(
  folder: string,
  warn: (text: string) => void,
): Promise<Checkpoint | undefined> {
  for (const step of await checkpointSteps(folder)) {
    try {
      return await readCheckpoint(join(folder, checkpointName(step)));
    } catch (error) {
      if (!TroupeError.is(error)) throw error;
      warn(`${error.message.split("\n")[0]} It is passed over.`);
    }
  }
  return undefined;
}

/**
 * Removes what `keep` does not keep, once the checkpoint of `newest` is in place, and torn writes. A folder loses its name
 * before it loses its files. Later steps can only be damaged ones that a resumed run passed over: they do not count.
 */
export async function pruneCheckpoints(folder: string, keep: KeepCheckpoints, newest: number): Promise<void> {
  const steps = (await checkpointSteps(folder)).filter((step) => step <= newest);
  const kept = new Set(steps.slice(0, keep.last ?? 2));
  if (keep.best !== undefined) for (const step of await bestSteps(folder, steps, keep.best)) kept.add(step);
  try {
    for (const step of steps) {
      if (kept.has(step)) continue;
      const path = join(folder, checkpointName(step));
      await rename(path, `${path}.partial`);
      crashPoint("checkpoint during prune");
    }
    for (const name of await readdir(folder)) {
      if (name.endsWith(".partial")) await rm(join(folder, name), { recursive: true, force: true });
    }
  } catch (error) {
    throw writeFault(folder, error);
  }
}

async function bestSteps(
  folder: string,
  steps: readonly number[],
  { metric, count }: NonNullable<KeepCheckpoints["best"]>,
): Promise<number[]> {
  const scored: { readonly step: number; readonly score: number }[] = [];
  for (const step of steps) {
    const { scores } = await readManifest(join(folder, checkpointName(step))).catch(() => ({
      scores: {} as CheckpointManifest["scores"],
    }));
    const score = scores[metric];
    if (score !== undefined) scored.push({ step, score });
  }
  // Equal ones: the newer first, as the list came.
  return scored
    .sort((left, right) => right.score - left.score)
    .slice(0, count)
    .map(({ step }) => step);
}

/** A checkpoint folder, or the newest good one of a run folder. @throws RunFolderError */
export async function findCheckpoint(path: string, warn: (text: string) => void): Promise<Checkpoint> {
  if (
    namePattern.test(
      path
        .replace(/[/\\]+$/, "")
        .split(/[/\\]/)
        .at(-1)!,
    )
  )
    return readCheckpoint(path);
  const newest = await newestCheckpoint(join(path, "checkpoints"), warn);
  if (newest !== undefined) return newest;
  throw new RunFolderError({
    code: "E_RUN_CHECKPOINT",
    message: `There is no checkpoint in ${join(path, "checkpoints")}.`,
    hint: `name a run folder with a checkpoint, or a checkpoint such as ${join(dirname(path), "name", "checkpoints", "step-000040")}.`,
    facts: { path },
  });
}
