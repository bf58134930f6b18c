/**
 * @file The controller's loop: sample groups → rewards → advantages → publish → wait for all weights → metrics. The order
 * and the arithmetic are those of `loop.ts`; what differs is that the updates happen elsewhere.
 */

import { checkpointSteps, type RunState } from "../checkpoint.ts";
import type { CreditedCall, CreditedGroup } from "../credit-groups.ts";
import { endRun } from "../end-run.ts";
import { endStep } from "../end-step.ts";
import { type Evaluation, evaluationSample } from "../evaluate.ts";
import { evaluateStep } from "../evaluate-step.ts";
import { judgeStep } from "../judge-step.ts";
import type { LoopParts } from "../loop-parts.ts";
import { sampleStep } from "../sample-step.ts";
import { describeChange, type RunSummary } from "../summary.ts";
import type { PolicyUpdate } from "../update.ts";
import { leftOut } from "../update-policies.ts";
import { ApartError } from "./errors.ts";
import { holderOf, type PlaceLock } from "./place-lock.ts";
import type { SampleStore, StoreWeights } from "./sample-store.ts";
import { describeHolder } from "./train-apart.ts";
import { type Patience, waitFor } from "./waiting.ts";

export interface ControllerParts<Task> extends LoopParts<Task> {
  readonly store: SampleStore;
  readonly lock: PlaceLock;
  readonly patience: Patience;
}

export class ControllerLoop<Task> {
  readonly #parts: ControllerParts<Task>;

  constructor(parts: ControllerParts<Task>) {
    this.#parts = parts;
  }

  async run(): Promise<RunSummary> {
    const { runner, reporter, folder, heldOut, progress, stepsDone, store, lock } = this.#parts;
    const { steps, evaluateEvery, evaluateSample, checkpointEvery, seed } = runner.settings;
    reporter.info(`run ${folder.path} · store ${store.path} · seed ${seed} · ${steps} steps`);
    if (stepsDone === 0) {
      await this.#publishFirst();
      await this.#evaluation(heldOut, 0, "before");
    }
    const sample = evaluationSample(heldOut, evaluateSample, seed);
    let done = stepsDone;
    let saved = "";
    const isDue = (every: number) => every > 0 && done > 0 && done % every === 0;
    while (done < steps && !progress.spent && !runner.signal.aborted) {
      if (isDue(evaluateEvery) && progress.newest?.step !== done)
        await this.#evaluation(sample, done, "during");
      if (isDue(checkpointEvery)) await this.#checkpoint(done);
      await lock.check();
      const { saver } = this.#parts;
      const before = saver.state(done);
      let stepped = false;
      try {
        stepped = await this.#step(done + 1);
      } finally {
        // What the method and the rewards have learned of a step that did not end is learned again.
        if (!stepped) saved = await this.#saveBefore(before);
      }
      if (!stepped) return this.#conclude(done, saved, undefined);
      done++;
    }
    lock.doing("ends the run");
    saved = await this.#checkpoint(done);
    if (!runner.signal.aborted) await store.finish(done);
    return this.#conclude(done, saved, await this.#evaluation(heldOut, done, "after"));
  }

  async #conclude(done: number, checkpoint: string, after: Evaluation | undefined): Promise<RunSummary> {
    const { runner, reporter, progress } = this.#parts;
    const summary = await endRun(this.#parts, done, checkpoint, after);
    if (summary.interrupted)
      reporter.info(
        `stopped after step ${done} of ${runner.settings.steps}; the same command goes on from there`,
      );
    else if (after !== undefined) reporter.info(describeChange(after, progress.before));
    return summary;
  }

  /** Says so where that fails, too: what ended the step is the error to be seen. */
  async #saveBefore(state: RunState): Promise<string> {
    const { saver, reporter } = this.#parts;
    try {
      return (await saver.saveBefore(state)) ?? "";
    } catch (error) {
      reporter.warn(
        `step ${state.step + 1} did not end, and the weights before it could not be saved: ${error}`,
      );
      return "";
    }
  }

  /** What every trainer begins with. */
  async #publishFirst(): Promise<void> {
    const { policies, store } = this.#parts;
    for (const [name, policy] of policies.trainable) {
      if ((await store.weightSteps(name)).length > 0) continue;
      const { version } = policy;
      await store.publishWeights(name, { step: 0, version, update: null }, (folder) =>
        policy.save(folder, { optimizer: true }),
      );
    }
  }

  /** False: the run was stopped, and the step did not happen. */
  async #step(step: number): Promise<boolean> {
    const { runner, policies, tasks, store, lock } = this.#parts;
    const began = performance.now();
    lock.doing(`samples step ${step}`);
    const sampled = await sampleStep(runner, tasks, step);
    if (runner.signal.aborted) return false;
    await runner.journal?.flush();
    const sampledAt = performance.now();
    const judged = await judgeStep(this.#parts, sampled, step);
    if (judged === undefined) return false;

    const versions = Object.fromEntries(
      [...policies.trainable].map(([name, { version }]) => [name, version]),
    );
    const learned = runner.settings.method.state?.();
    await store.publish(
      { step, versions, ...(learned === undefined ? {} : { method: learned }) },
      this.#callsOf(judged.credited),
    );
    lock.doing(`waits for the weights of step ${step}`);
    const updates = await this.#updates(step, judged.credited);
    if (updates === undefined) return false;

    await endStep(this.#parts, judged, updates, { step, began, sampledAt });
    return true;
  }

  #callsOf(credited: readonly CreditedGroup<Task>[]): ReadonlyMap<string, readonly CreditedCall[]> {
    const { policies, runner } = this.#parts;
    const calls = credited.flatMap((group) => group.calls);
    return new Map(
      [...policies.trainable.keys()].map((name) => {
        const own = calls.filter(({ call }) => call.policy === name);
        return [name, runner.buffer?.take(name, own) ?? own];
      }),
    );
  }

  /** Waits for all trainers, then takes up their weights; undefined if the run was stopped meanwhile. */
  async #updates(
    step: number,
    credited: readonly CreditedGroup<Task>[],
  ): Promise<ReadonlyMap<string, PolicyUpdate> | undefined> {
    const { policies, store, runner } = this.#parts;
    const names = [...policies.trainable.keys()];
    const found = await Promise.all(names.map((name) => this.#weights(name, step)));
    // All or none: a checkpoint has the weights of one step.
    if (found.includes(undefined)) return undefined;
    const updates = new Map<string, PolicyUpdate>();
    for (const [i, weights] of found.entries()) {
      if (weights === undefined) continue;
      const name = names[i]!;
      const policy = policies.trainable.get(name)!;
      await policy.restore(await store.policyFolder(name, weights));
      // Of a step above 0 there is an update.
      updates.set(name, { ...weights.update!, ...leftOut(name, credited, runner.buffer) });
    }
    return updates;
  }

  #weights(name: string, step: number): Promise<StoreWeights | undefined> {
    const { store, lock, patience } = this.#parts;
    return waitFor(
      async () => {
        await lock.check();
        const weights = await store.weights(name, step);
        if (weights !== undefined) return weights;
        const newest = (await store.weightSteps(name))[0] ?? 0;
        if (newest > step) throw overtaken(name, step, newest, store.path);
        return undefined;
      },
      `the controller waits for policy "${name}" at step ${step}`,
      async () => describeHolder(`the trainer of "${name}"`, await holderOf(store.placeOf(name))),
      patience,
    );
  }

  async #checkpoint(step: number): Promise<string> {
    const { saver, store, policies, folder, reporter } = this.#parts;
    const path = await saver.save(step);
    // The checkpoint before this one can still be gone on from, should this one be damaged.
    const [, older = 0] = await checkpointSteps(folder.checkpoints);
    await store.prune(older, policies.trainable.keys());
    reporter.event({ kind: "checkpoint", step, path });
    return path;
  }

  async #evaluation(
    tasks: readonly Task[],
    step: number,
    when: "before" | "during" | "after",
  ): Promise<Evaluation | undefined> {
    this.#parts.lock.doing(`evaluates ${when} training`);
    return evaluateStep(this.#parts, tasks, step, when);
  }
}

function overtaken(policy: string, step: number, newest: number, store: string): ApartError {
  return new ApartError({
    code: "E_APART_GONE",
    message: `Policy "${policy}" is at step ${newest} in ${store}, and its weights of step ${step}, which the controller needs, are gone.`,
    hint: "the run's newest checkpoints were lost; begin anew with another store.",
    facts: { policy, step, newest },
  });
}
