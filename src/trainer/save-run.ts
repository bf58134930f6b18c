/** @file Between the loop and its checkpoints: gathers what a checkpoint keeps, and puts it back. */

import { TroupeError } from "../errors.ts";
import { crashPoint } from "../store/crash-point.ts";
import type { EffectJournal } from "../store/effect-journal.ts";
import {
  type Checkpoint,
  keyScheme,
  pruneCheckpoints,
  type RunState,
  writeCheckpoint,
} from "./checkpoint.ts";
import type { TrainSettings } from "./config.ts";
import { RunFolderError } from "./errors.ts";
import type { OpenPolicies } from "./policies.ts";
import type { RunProgress } from "./progress.ts";
import type { RunFolder } from "./run-folder.ts";

/** A part of a run that learns something between steps and can say it as JSON: a method, a reward, a memory. */
export interface StatefulPart {
  state?(): unknown;
  restore?(state: unknown): void;
}

export interface RunSaverOptions {
  readonly folder: RunFolder;
  readonly policies: Pick<OpenPolicies, "trainable">;
  readonly settings: Pick<TrainSettings<unknown>, "seed" | "tasksPerStep" | "keepCheckpoints">;
  readonly progress: RunProgress;
  readonly parts: ReadonlyMap<string, StatefulPart>;
  readonly journal: EffectJournal | undefined;
  /** Digest of the configuration. */
  readonly config: string;
  /** The checkpoint that the run goes on from. */
  readonly saved: Checkpoint | undefined;
}

export class RunSaver {
  readonly #options: RunSaverOptions;
  #newest: { readonly step: number; readonly path: string } | undefined;

  constructor(options: RunSaverOptions) {
    this.#options = options;
    const { saved } = options;
    if (saved !== undefined) this.#newest = { step: saved.state.step, path: saved.path };
  }

  /** The checkpoint after `step`, written unless it is there. @throws StoreError, CheckpointError */
  async save(step: number, state: RunState = this.state(step)): Promise<string> {
    const { folder, policies, config } = this.#options;
    if (this.#newest?.step === step) {
      // An earlier attempt may have died before this.
      await this.#tidy(step);
      return this.#newest.path;
    }
    // What the lengths of the files speak of must be on the disk before the checkpoint is.
    await folder.flush();
    const path = await writeCheckpoint(
      folder.checkpoints,
      state,
      { config, scores: state.progress.newest?.means ?? {} },
      async (inside) => {
        for (const [name, policy] of policies.trainable) {
          await policy.save(`${inside}/${name}`, { optimizer: true });
          crashPoint("checkpoint after one policy");
        }
      },
    );
    this.#newest = { step, path };
    crashPoint("checkpoint before prune");
    await this.#tidy(step);
    return path;
  }

  /** Removes what the checkpoint of `step` has made superfluous. */
  async #tidy(step: number): Promise<void> {
    const { folder, settings, journal } = this.#options;
    await pruneCheckpoints(folder.checkpoints, settings.keepCheckpoints, step);
    await journal?.forget(step);
  }

  /**
   * The checkpoint after `state.step` although a later step was begun and failed; undefined if that step has changed
   * weights already, so that they are those of no step.
   */
  async saveBefore(state: RunState): Promise<string | undefined> {
    const now = versionsOf(this.#options.policies);
    const same = Object.entries(state.versions).every(([name, version]) => now[name] === version);
    return same ? this.save(state.step, state) : undefined;
  }

  /** What a checkpoint after `step` says besides the weights. */
  state(step: number): RunState {
    const { folder, policies, settings, progress, parts } = this.#options;
    return {
      step,
      seed: settings.seed,
      versions: versionsOf(policies),
      keys: keyScheme,
      cursor: step * settings.tasksPerStep,
      files: folder.lengths,
      progress: progress.state(),
      parts: Object.fromEntries(
        [...parts].flatMap(([name, part]) => (part.state === undefined ? [] : [[name, part.state()]])),
      ),
    };
  }
}

const versionsOf = ({ trainable }: Pick<OpenPolicies, "trainable">) =>
  Object.fromEntries([...trainable].map(([name, { version }]) => [name, version]));

/**
 * Gives every trained policy the weights and the optimiser of a checkpoint.
 *
 * @throws RunFolderError if the checkpoint has no such policy, or what `restore` throws.
 */
export async function restorePolicies(
  { path, state }: Checkpoint,
  policies: Pick<OpenPolicies, "trainable">,
): Promise<void> {
  for (const [name, policy] of policies.trainable) {
    const version = state.versions[name];
    if (version === undefined) throw missing(path, name, Object.keys(state.versions));
    await policy.restore(`${path}/${name}`);
    if (policy.version !== version) {
      throw new RunFolderError({
        code: "E_RUN_CHECKPOINT",
        message: `Policy "${name}" of ${path} is at version ${policy.version}; the checkpoint was made at version ${version}.`,
        hint: "this is a fault of the engine or of Troupe; please report it.",
        facts: { path, policy: name, version: policy.version, expected: version },
      });
    }
  }
}

/** What parts said of themselves when a run first met them. */
const firstStates = new WeakMap<StatefulPart, unknown>();

/**
 * Gives every part what it knew when the process first trained with it: a method, a reward or a schedule that is passed
 * to a second run begins that run as it began the first. A memory is the user's, and stays as it is.
 */
export function beginParts(parts: ReadonlyMap<string, StatefulPart>): void {
  for (const [name, part] of parts) {
    if (name === "memory" || part.state === undefined || part.restore === undefined) continue;
    if (firstStates.has(part)) part.restore(structuredClone(firstStates.get(part)));
    else firstStates.set(part, structuredClone(part.state()));
  }
}

/** Gives every part the state that it had. @throws RunFolderError if a part does not take it. */
export function restoreParts({ path, state }: Checkpoint, parts: ReadonlyMap<string, StatefulPart>): void {
  for (const [name, part] of parts) {
    const saved = state.parts[name];
    if (saved === undefined || part.restore === undefined) continue;
    try {
      part.restore(saved);
    } catch (cause) {
      if (TroupeError.is(cause)) throw cause;
      throw new RunFolderError({
        code: "E_RUN_CHECKPOINT",
        message: `The state of "${name}" in ${path}/state.json cannot be restored: ${cause instanceof Error ? cause.message : String(cause)}`,
        hint: "use the version that wrote it, or begin anew with --fresh.",
        cause,
        facts: { path, part: name },
      });
    }
  }
}

function missing(path: string, name: string, known: readonly string[]): RunFolderError {
  return new RunFolderError({
    code: "E_RUN_CHECKPOINT",
    message: `The checkpoint ${path} has no policy "${name}"; it has ${known.join(", ")}.`,
    hint: "name the policies as the run did that made it, or load weights of another policy with local(folder).",
    facts: { path, policy: name },
  });
}
