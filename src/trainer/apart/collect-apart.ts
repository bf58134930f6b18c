/**
 * @file The controller of a run whose policies are trained by processes of their own: it samples episodes with the newest
 * weights of all policies, credits them, publishes each policy's calls, and goes on when all new weights are there. Its
 * run folder, evaluations, checkpoints and journal are those of `train`, and so are the weights, bit for bit.
 */

import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { loadTasks } from "../../data/task-source.ts";
import { writeDurably } from "../../store/durable.ts";
import { type BegunRun, beginRun } from "../begin-run.ts";
import { checkConfig } from "../config.ts";
import { type OpenPolicies, openPolicies } from "../policies.ts";
import { consoleReporter } from "../reporter.ts";
import type { RunSummary } from "../summary.ts";
import {
  type ApartControl,
  type ApartOptions,
  apartDigest,
  checkApart,
  checkControl,
} from "./apart-options.ts";
import { ControllerLoop } from "./controller-loop.ts";
import { ApartError } from "./errors.ts";
import { PlaceLock } from "./place-lock.ts";
import { SampleStore, storeSchema } from "./sample-store.ts";

/**
 * Runs the episodes of a run and the evaluations; `trainApart` in other processes, one a policy, does the updates. Killed,
 * it goes on when the same is called again.
 *
 * @throws TrainConfigError, TaskFileError, RunFolderError, ApartError; RunStoppedError, StoreError and errors of the engine
 * @example
 * const summary = await collectApart({ ...config, store: "/shared/run-7" });
 */
export async function collectApart<Task>(
  options: ApartOptions<Task>,
  control: ApartControl & { readonly fresh?: boolean } = {},
): Promise<RunSummary> {
  const { store: path, ...rest } = options;
  const settings = checkConfig<Task>(rest);
  checkApart(path, settings);
  const { timeout, sayAfter, beat } = checkControl(control);
  const { workflow } = settings;
  const tasks = await loadTasks(settings.tasks, "tasks", workflow.task);
  const heldOut =
    (settings.evaluate && (await loadTasks(settings.evaluate, "evaluate", workflow.task))) ?? [];
  const reporter = control.reporter ?? consoleReporter();
  const store = new SampleStore(path);
  const lock = await PlaceLock.take(store.controllerPlace, beat);
  let policies: OpenPolicies | undefined;
  let run: BegunRun<Task> | undefined;
  try {
    // Comparing with a reference is the trainers' work.
    policies = await openPolicies(settings, { references: false });
    const { signal, fresh = false } = control;
    run = await beginRun({ settings, tasks, heldOut, fresh, reporter, policies, signal });
    const { folder, runner } = run.parts;
    await beginStore(store, folder.path, apartDigest(settings), [...policies.trainable.keys()]);
    const say = (text: string) => reporter.info(text);
    const patience = { timeout, sayAfter, signal: runner.signal, say };
    return await new ControllerLoop({ ...run.parts, store, lock, patience }).run();
  } finally {
    reporter.close();
    await policies?.close();
    await run?.close();
    await lock.release();
  }
}

/** The run folder and the store know each other by an id, so that no run goes on with another's samples. */
async function beginStore(
  store: SampleStore,
  run: string,
  config: string,
  policies: readonly string[],
): Promise<void> {
  const file = join(run, "apart.json");
  const known = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  const id =
    known === undefined
      ? `${hostname()}/${process.pid}/${performance.timeOrigin}/${performance.now()}`
      : (JSON.parse(known) as { readonly id: string }).id;
  const found = await store.run();
  if (found !== undefined && found.id !== id) {
    throw new ApartError({
      code: "E_APART_STORE_USED",
      message: `The store ${store.path} has the samples of another run than ${run}.`,
      hint: "give every run a store of its own, or remove the old one.",
      facts: { store: store.path, run },
    });
  }
  if (known === undefined) await writeDurably(file, `${JSON.stringify({ id, store: store.path })}\n`);
  if (found === undefined) await store.begin({ schema: storeSchema, id, config, policies });
}
