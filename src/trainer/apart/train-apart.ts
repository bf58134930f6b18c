/**
 * @file One policy's trainer, in a process of its own: reads the policy's credited calls of a step from the store, updates
 * it as a run in one process would, writes its weights, and waits for the next step. It samples nothing, runs no workflow
 * and opens no other policy. The setting of M-GRPO (arXiv 2511.13288): main agent and sub-agent on separate servers,
 * joined by a database of samples alone.
 */

import type { AnyPolicy, ScoringPolicy, TrainablePolicy } from "../../engine/policy.ts";
import { isTrainable } from "../../engine/policy-spec.ts";
import { checkConfig, type TrainSettings } from "../config.ts";
import { openReference } from "../policies.ts";
import { consoleReporter, type Reporter } from "../reporter.ts";
import { usedPolicies } from "../teams.ts";
import { updatePolicy } from "../update.ts";
import { checkValueHead } from "../value-head.ts";
import {
  type ApartControl,
  type ApartOptions,
  apartDigest,
  checkApart,
  checkControl,
} from "./apart-options.ts";
import { ApartError } from "./errors.ts";
import { holderOf, PlaceLock } from "./place-lock.ts";
import { SampleStore, type StoreRun } from "./sample-store.ts";
import { type Patience, waitFor } from "./waiting.ts";

export interface TrainedApart {
  readonly policy: string;
  /** The last step whose update this policy has. */
  readonly step: number;
  readonly version: number;
  /** The signal came before the run's end. */
  readonly interrupted: boolean;
}

/**
 * Trains one policy of a run whose episodes another process samples (`collectApart`). Ends when the run does. Killed, it
 * goes on when the same is called again: with the newest weights that it wrote.
 *
 * @throws TrainConfigError; ApartError; StoreError; LossError and errors of the engine
 * @example
 * await trainApart({ ...config, store: "/shared/run-7", policy: "sub" });
 */
export async function trainApart<Task>(
  options: ApartOptions<Task> & { readonly policy: string },
  control: ApartControl = {},
): Promise<TrainedApart> {
  const { store: path, policy: name, ...rest } = options;
  const settings = checkConfig<Task>(rest);
  checkApart(path, settings);
  const { timeout, sayAfter, beat } = checkControl(control);
  if (!usedPolicies(settings).has(name)) throw noSuchPolicy(name, [...usedPolicies(settings)]);
  const reporter = control.reporter ?? consoleReporter();
  const signal = control.signal ?? new AbortController().signal;
  const patience: Patience = { timeout, sayAfter, signal, say: (text) => reporter.info(text) };
  const store = new SampleStore(path);
  const lock = await PlaceLock.take(store.placeOf(name), beat);
  const opened: AnyPolicy[] = [];
  try {
    const policy = await settings.policies[name]!.open({ name, seed: settings.seed });
    opened.push(policy);
    if (!isTrainable(policy)) throw noSuchPolicy(name, []);
    await checkValueHead(name, policy, settings.method);
    const reference = await openReference(name, settings);
    if (reference !== undefined) opened.push(reference);
    const trainer = new PolicyTrainer({ name, policy, reference, settings, store, lock, patience, reporter });
    return await trainer.run();
  } finally {
    await Promise.all(opened.map((policy) => policy.close()));
    await lock.release();
    reporter.close();
  }
}

interface TrainerParts<Task> {
  readonly name: string;
  readonly policy: TrainablePolicy;
  readonly reference: ScoringPolicy | undefined;
  readonly settings: TrainSettings<Task>;
  readonly store: SampleStore;
  readonly lock: PlaceLock;
  readonly patience: Patience;
  readonly reporter: Reporter;
}

class PolicyTrainer<Task> {
  readonly #parts: TrainerParts<Task>;

  constructor(parts: TrainerParts<Task>) {
    this.#parts = parts;
  }

  async run(): Promise<TrainedApart> {
    const { name, policy, reporter } = this.#parts;
    let step = await this.#begin();
    if (step === undefined) return { policy: name, step: 0, version: policy.version, interrupted: true };
    reporter.info(`policy "${name}" is trained from step ${step} on, version ${policy.version}`);
    for (;;) {
      const next = await this.#next(step + 1);
      if (next !== "step")
        return { policy: name, step, version: policy.version, interrupted: next === undefined };
      await this.#update(step + 1);
      step++;
    }
  }

  /** Takes up the newest weights; the step that they are of. */
  async #begin(): Promise<number | undefined> {
    const { name, policy, settings, store } = this.#parts;
    const run = await this.#wait("the run", () => store.run());
    if (run === undefined) return undefined;
    checkRun(run, name, apartDigest(settings), store.path);
    const newest = await this.#wait("its first weights", async () => (await store.weightSteps(name))[0]);
    if (newest === undefined) return undefined;
    const weights = (await store.weights(name, newest))!;
    await policy.restore(await store.policyFolder(name, weights));
    return newest;
  }

  async #next(step: number): Promise<"step" | "end" | undefined> {
    const { store, lock } = this.#parts;
    lock.doing(`waits for step ${step}`);
    return this.#wait(`step ${step}`, async () => {
      await lock.check();
      if ((await store.step(step)) !== undefined) return "step";
      const end = await store.end();
      return end !== undefined && end < step ? "end" : undefined;
    });
  }

  async #update(step: number): Promise<void> {
    const { name, policy, reference, settings, store, lock, reporter } = this.#parts;
    lock.doing(`updates on step ${step}`);
    const { versions, method } = (await store.step(step))!;
    if (versions[name] !== policy.version)
      throw gone(
        `Step ${step} of ${store.path} was sampled by version ${versions[name]} of policy "${name}", which is at version ${policy.version}`,
      );
    if (method !== undefined) settings.method.restore?.(method);
    const calls = await store.calls(step, name);
    const began = performance.now();
    const update = await updatePolicy({ name, policy, reference, calls, step, settings });
    // Another process may have taken its place while it stood still; two must not write.
    await lock.check();
    lock.doing(`writes the weights of step ${step}`);
    await store.publishWeights(name, { step, version: policy.version, update }, (folder) =>
      policy.save(folder, { optimizer: true }),
    );
    reporter.info(
      `step ${step}/${settings.steps} · ${calls.length} calls of "${name}" · version ${policy.version} · ${((performance.now() - began) / 1000).toFixed(1)} s`,
    );
  }

  #wait<T>(what: string, look: () => Promise<T | undefined>): Promise<T | undefined> {
    const { name, store, patience } = this.#parts;
    return waitFor(
      look,
      `the trainer of "${name}" waits for ${what}`,
      async () => describeHolder("the controller", await holderOf(store.controllerPlace)),
      patience,
    );
  }
}

/** What is known of a process from its lock, in words. */
export function describeHolder(who: string, holder: Awaited<ReturnType<typeof holderOf>>): string {
  if (holder === undefined) return `${who} is not running`;
  return `${who} (process ${holder.pid} on ${holder.host}, ${holder.beats} signs of life) ${holder.doing}`;
}

function checkRun(run: StoreRun, policy: string, config: string, path: string): void {
  const known = run.policies.includes(policy);
  if (run.config === config && known) return;
  throw new ApartError({
    code: "E_APART_OTHER_RUN",
    message: known
      ? `The run in ${path} has another configuration than this trainer.`
      : `The run in ${path} trains ${run.policies.join(", ")}, and not "${policy}".`,
    hint: "give the trainer and the controller the same options, and each run a store of its own.",
    facts: { path, policy },
  });
}

function noSuchPolicy(policy: string, used: readonly string[]): ApartError {
  return new ApartError({
    code: "E_APART_SETTING",
    message:
      used.length === 0
        ? `Policy "${policy}" cannot be trained.`
        : `No agent is assigned to policy "${policy}"; agents are assigned to ${used.join(", ")}.`,
    hint: "start one trainer for each policy that agents use and that can be trained.",
    facts: { policy },
  });
}

function gone(what: string): ApartError {
  return new ApartError({
    code: "E_APART_GONE",
    message: `${what}.`,
    hint: "files of the store were removed or came from elsewhere; begin anew with another store.",
  });
}
