/**
 * @file The folder that joins processes which share nothing else:
 *
 *   run.json                      whose store it is
 *   steps/step-000012/            the controller's: `<policy>.calls` for each policy, and step.json, written last
 *   weights/<policy>/step-000012/ a trainer's: the policy after step 12, and weights.json, written last
 *   end.json                      the last step, once the run has come to its end
 *
 * A folder is written under a name of its own, flushed, and renamed: all of a step is there or nothing, and nothing that
 * is there ever changes. What every process has left behind is removed by the controller.
 */

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TroupeError } from "../../errors.ts";
import {
  differencesFrom,
  type FileDigest,
  flushFolder,
  flushTree,
  writeDurably,
  writeFlushed,
} from "../../store/durable.ts";
import { writeFault } from "../../store/errors.ts";
import type { CreditedCall } from "../credit-groups.ts";
import type { PolicyUpdate } from "../update.ts";
import { callsDigest, readCalls, writeCalls } from "./credited-calls.ts";
import { ApartError } from "./errors.ts";

export const storeSchema = "troupe.apart/1";

/** `run.json` */
export interface StoreRun {
  readonly schema: typeof storeSchema;
  /** Of this run alone. */
  readonly id: string;
  /** Digest of what decides the run's results. */
  readonly config: string;
  /** Policies that are trained. */
  readonly policies: readonly string[];
}

/** `step.json` */
export interface StoreStep {
  readonly step: number;
  /** Of each policy, as the step was sampled. */
  readonly versions: Readonly<Record<string, number>>;
  /** What the method had learned before the update; absent if it learns nothing. */
  readonly method?: unknown;
  /** [policy] of its calls. */
  readonly digests: Readonly<Record<string, string>>;
}

/** `weights.json` */
export interface StoreWeights {
  readonly step: number;
  readonly version: number;
  /** How the update went; of step 0 there was none. */
  readonly update: PolicyUpdate | null;
  readonly files: Readonly<Record<string, FileDigest>>;
}

const nameOf = (step: number) => `step-${String(step).padStart(6, "0")}`;

export class SampleStore {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Undefined while no run has begun in the store. */
  run(): Promise<StoreRun | undefined> {
    return this.#json(join(this.path, "run.json"));
  }

  async begin(run: StoreRun): Promise<void> {
    await mkdir(this.path, { recursive: true });
    await writeDurably(join(this.path, "run.json"), `${JSON.stringify(run, undefined, 2)}\n`);
  }

  /** The last step of a run that has come to its end. */
  async end(): Promise<number | undefined> {
    return (await this.#json<{ readonly step: number }>(join(this.path, "end.json")))?.step;
  }

  async finish(step: number): Promise<void> {
    await writeDurably(join(this.path, "end.json"), `${JSON.stringify({ step })}\n`);
  }

  /** Where the controller's lock is. */
  get controllerPlace(): string {
    return join(this.path, "controller");
  }

  /** Where a policy's weights and the lock of its trainer are. */
  placeOf(policy: string): string {
    return join(this.path, "weights", policy);
  }

  step(step: number): Promise<StoreStep | undefined> {
    return this.#json(join(this.#stepFolder(step), "step.json"));
  }

  /**
   * Publishes the calls of all policies of one step at once. One that was published before stays as it is.
   *
   * @throws ApartError E_APART_DIFFERS if it had other calls; StoreError
   */
  async publish(
    facts: Omit<StoreStep, "digests">,
    calls: ReadonlyMap<string, readonly CreditedCall[]>,
  ): Promise<void> {
    const { step, versions } = facts;
    const digests = Object.fromEntries([...calls].map(([name, own]) => [name, callsDigest(own)]));
    const before = await this.step(step);
    if (before !== undefined) {
      for (const [name, digest] of Object.entries(digests))
        if (before.digests[name] !== digest) throw this.#differs(step, name);
      return;
    }
    await this.#whole(this.#stepFolder(step), async (folder) => {
      for (const [policy, own] of calls)
        await writeCalls(join(folder, `${policy}.calls`), { policy, step, version: versions[policy]! }, own);
      await flushTree(folder);
      await writeFlushed(
        join(folder, "step.json"),
        `${JSON.stringify({ ...facts, digests } satisfies StoreStep)}\n`,
      );
    });
  }

  /** One policy's calls of a step that is there. @throws ApartError E_APART_DAMAGED */
  async calls(step: number, policy: string): Promise<readonly CreditedCall[]> {
    const path = join(this.#stepFolder(step), `${policy}.calls`);
    const { head, calls } = await readCalls(path);
    const digest = (await this.step(step))?.digests[policy];
    if (head.policy === policy && head.step === step && callsDigest(calls) === digest) return calls;
    throw this.#damaged(path, `it holds step ${head.step} of policy "${head.policy}", or other calls`);
  }

  weights(policy: string, step: number): Promise<StoreWeights | undefined> {
    return this.#json(join(this.#weightsFolder(policy, step), "weights.json"));
  }

  /** Steps of the weights that are there, newest first. */
  async weightSteps(policy: string): Promise<readonly number[]> {
    return stepsIn(this.placeOf(policy));
  }

  /** Publishes a policy's weights. `save` writes them into a folder that does not exist yet. @throws StoreError, what `save` throws */
  async publishWeights(
    policy: string,
    facts: Omit<StoreWeights, "files">,
    save: (folder: string) => Promise<void>,
  ): Promise<void> {
    await this.#whole(this.#weightsFolder(policy, facts.step), async (folder) => {
      await save(join(folder, "policy"));
      const files = await flushTree(folder);
      await writeFlushed(
        join(folder, "weights.json"),
        `${JSON.stringify({ ...facts, files } satisfies StoreWeights)}\n`,
      );
    });
  }

  /** The folder to restore a policy from. @throws ApartError E_APART_DAMAGED if a file is not as it was written */
  async policyFolder(policy: string, { step, files }: StoreWeights): Promise<string> {
    const folder = this.#weightsFolder(policy, step);
    const wrong = await differencesFrom(folder, files);
    if (wrong.length > 0) throw this.#damaged(folder, wrong.join("; "));
    return join(folder, "policy");
  }

  /** Removes what nobody can need once every process may begin after `step`: its samples, and weights before it. */
  async prune(step: number, policies: Iterable<string>): Promise<void> {
    await removeBefore(join(this.path, "steps"), step + 1);
    for (const policy of policies) await removeBefore(this.placeOf(policy), step);
  }

  #stepFolder(step: number): string {
    return join(this.path, "steps", nameOf(step));
  }

  #weightsFolder(policy: string, step: number): string {
    return join(this.placeOf(policy), nameOf(step));
  }

  async #whole(target: string, write: (folder: string) => Promise<void>): Promise<void> {
    const partial = `${target}.${process.pid}.partial`;
    try {
      await rm(partial, { recursive: true, force: true });
      await mkdir(partial, { recursive: true });
      await write(partial);
      await flushFolder(partial);
      await rename(partial, target);
      await flushFolder(dirname(target));
    } catch (error) {
      await rm(partial, { recursive: true, force: true }).catch(() => {});
      throw TroupeError.is(error) ? error : writeFault(target, error);
    }
  }

  async #json<T>(path: string): Promise<T | undefined> {
    const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw this.#damaged(path, error.message, error);
    });
    if (text === undefined) return undefined;
    try {
      // Written whole by this file.
      return JSON.parse(text) as T;
    } catch (error) {
      throw this.#damaged(path, "it is not JSON", error);
    }
  }

  #damaged(path: string, what: string, cause?: unknown): ApartError {
    return new ApartError({
      code: "E_APART_DAMAGED",
      message: `${path} is not what was written: ${what}.`,
      hint: "look at the disk; begin anew with another store if it cannot be had again.",
      cause,
      facts: { path },
    });
  }

  #differs(step: number, policy: string): ApartError {
    return new ApartError({
      code: "E_APART_DIFFERS",
      message: `Step ${step} was sampled and credited again after a crash, and the calls of policy "${policy}" came out otherwise than those in ${this.#stepFolder(step)}.`,
      hint: "a workflow, a tool or a reward depends on more than the seed; begin anew with another store.",
      facts: { step, policy },
    });
  }
}

async function stepsIn(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => []);
  return names
    .flatMap((name) => {
      const step = /^step-(\d{6,})$/.exec(name)?.[1];
      return step === undefined ? [] : [Number(step)];
    })
    .sort((left, right) => right - left);
}

/** A folder loses its name before it loses its files. Torn writes go along, when nothing newer is being written there. */
async function removeBefore(folder: string, step: number): Promise<void> {
  try {
    for (const found of await stepsIn(folder)) {
      if (found >= step) continue;
      const path = join(folder, nameOf(found));
      await rename(path, `${path}.old`);
    }
    if (!existsSync(folder)) return;
    for (const name of await readdir(folder)) {
      const torn = /^step-(\d{6,})\.(?:\d+\.partial|old)$/.exec(name)?.[1];
      if (torn !== undefined && Number(torn) < step)
        await rm(join(folder, name), { recursive: true, force: true });
    }
  } catch (error) {
    throw writeFault(folder, error);
  }
}
