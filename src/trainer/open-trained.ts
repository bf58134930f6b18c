/** @file The policies of a configuration, as they are or as a checkpoint has them, for whatever comes after training. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { AnyPolicy } from "../engine/policy.ts";
import { isTrainable } from "../engine/policy-spec.ts";
import { needsOf } from "../rewards/reward.ts";
import { type Checkpoint, findCheckpoint } from "./checkpoint.ts";
import { checkConfig, type TrainOptions, type TrainSettings } from "./config.ts";
import { RunFolderError } from "./errors.ts";
import { usedPolicies } from "./teams.ts";

export interface TrainedPolicies {
  /** By name: those that agents run on, and those that rewards ask. */
  readonly policies: ReadonlyMap<string, AnyPolicy>;
  /** Where the weights came from; undefined: as the engines open them. */
  readonly checkpoint: Checkpoint | undefined;
  close(): Promise<void>;
}

export interface OpenPoliciesControl {
  /** A checkpoint, or a run whose newest one is meant. Default: the policies as their engines open them. */
  readonly checkpoint?: string;
  /** Hears of damaged checkpoints that are passed over. */
  readonly warn?: (text: string) => void;
}

/**
 * Opens the policies of a configuration without running anything: for `evaluateSearch`, or a service of one's own.
 *
 * @throws TrainConfigError, RunFolderError E_RUN_CHECKPOINT
 * @example
 * const { policies, close } = await openPoliciesOf(config, { checkpoint: "runs/puzzles" });
 * try {
 *   await evaluateSearch({ workflow: solve, tasks, policies, search, hidden, seed: 0 });
 * } finally {
 *   await close();
 * }
 */
export function openPoliciesOf<Task>(
  options: TrainOptions<Task>,
  { checkpoint, warn = () => {} }: OpenPoliciesControl = {},
): Promise<TrainedPolicies> {
  return openTrained(checkConfig(options), checkpoint, warn);
}

export async function openTrained<Task>(
  settings: TrainSettings<Task>,
  path: string | undefined,
  warn: (text: string) => void,
): Promise<TrainedPolicies> {
  const checkpoint = path === undefined ? undefined : await findCheckpoint(path, warn);
  const policies = new Map<string, AnyPolicy>();
  const close = async () => {
    await Promise.all([...policies.values()].map((policy) => policy.close()));
  };
  try {
    const judges = settings.rewards === undefined ? [] : needsOf(settings.rewards).policies;
    const used = usedPolicies(settings);
    for (const name of new Set([...used, ...judges]))
      policies.set(name, await settings.policies[name]!.open({ name, seed: settings.seed }));
    if (checkpoint !== undefined)
      await restoreAll(
        [...policies.values()].filter(({ name }) => used.has(name)),
        checkpoint.path,
      );
    return { policies, checkpoint, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Every trainable policy that agents use must be in the checkpoint: half a team of another training is no team. */
async function restoreAll(policies: readonly AnyPolicy[], checkpoint: string): Promise<void> {
  const trainable = policies.filter(isTrainable);
  const missing = trainable.filter(({ name }) => !existsSync(join(checkpoint, name)));
  if (missing.length > 0) {
    throw new RunFolderError({
      code: "E_RUN_CHECKPOINT",
      message: `The checkpoint ${checkpoint} has no weights of ${missing.map(({ name }) => `policy "${name}"`).join(", ")}.`,
      hint: "evaluate a checkpoint of a run with the same policies, or name them as that run did.",
      facts: { checkpoint, missing: missing.map(({ name }) => name) },
    });
  }
  for (const policy of trainable) await policy.restore(join(checkpoint, policy.name));
}
