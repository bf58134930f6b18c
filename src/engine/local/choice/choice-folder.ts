/** @file A choice policy on disk: `choice.json`, `model.safetensors`, and with the optimiser its moments and counters. */

import { join } from "node:path";
import { writeFolder } from "../checkpoint/atomic-folder.ts";
import { CheckpointError } from "../checkpoint/checkpoint-error.ts";
import { readJsonFile } from "../checkpoint/json-file.ts";
import { verifyFolder } from "../checkpoint/manifest.ts";
import { namedTensors, writeExtras } from "../checkpoint/model-folder.ts";
import { writeSafetensors } from "../checkpoint/safetensors.ts";
import { TensorSet } from "../checkpoint/tensor-set.ts";
import { type OptimizerState, readTrainingState, trainingStateFiles } from "../checkpoint/training-state.ts";
import type { ParameterTable } from "../model/parameters.ts";

/** What two policies must share for one to take the other's weights. */
export interface ChoiceIdentity {
  readonly choices: readonly string[];
  readonly features: number;
  readonly hidden: readonly number[];
  readonly valueHeads: number;
  readonly dropout: number;
}

export interface ChoiceProgress {
  /** Optimiser steps. */
  readonly step: number;
  /** [K] rows learnt from, by choice: what exploration goes by. */
  readonly counts: readonly number[];
}

const file = "choice.json";
const weightsFile = "model.safetensors";
const shapesOf = (table: ParameterTable) => table.parameters.map(({ name, shape }) => [name, shape] as const);

/** Atomic; an existing folder is an error. */
export async function saveChoiceFolder(
  folder: string,
  identity: ChoiceIdentity,
  weights: { readonly table: ParameterTable; readonly flat: Float32Array },
  training?: { readonly optimizer: OptimizerState; readonly progress: ChoiceProgress },
): Promise<void> {
  await writeFolder(folder, async (writer) => {
    await writer.json(file, identity);
    const tensors = namedTensors(shapesOf(weights.table), weights.table, weights.flat);
    await writer.file(weightsFile, (sink) => writeSafetensors(sink, tensors));
    if (training) await writeExtras(writer, trainingStateFiles(training.optimizer, { ...training.progress }));
  });
}

/**
 * [flat] the folder's weights.
 * @throws CheckpointError if the folder was changed, or is of another policy.
 */
export async function readChoiceWeights(
  folder: string,
  identity: ChoiceIdentity,
  table: ParameterTable,
): Promise<Float32Array> {
  await verifyFolder(folder);
  const saved = ((await readJsonFile(join(folder, file))) ?? {}) as Readonly<Record<string, unknown>>;
  const different = Object.entries(identity).filter(
    ([name, value]) => JSON.stringify(saved[name]) !== JSON.stringify(value),
  );
  if (different.length > 0)
    throw new CheckpointError({
      code: "E_CHECKPOINT_CHOICES",
      message: `${folder} is of another choice policy: ${different
        .map(
          ([name, value]) => `${name} ${JSON.stringify(saved[name])} there and ${JSON.stringify(value)} here`,
        )
        .join("; ")}.`,
      hint: "open the policy with the options that it was trained with, or begin anew.",
      facts: { folder, different: different.map(([name]) => name) },
    });
  const tensors = await TensorSet.openFile(join(folder, weightsFile));
  const sameName = (name: string) => name;
  try {
    const shapes = shapesOf(table);
    tensors.check(shapes, sameName, () => false);
    const flat = new Float32Array(table.flatLength);
    await tensors.readAll(shapes, table, flat, sameName);
    return flat;
  } finally {
    await tensors.close();
  }
}

/** Moments and counters of a folder that was saved with the optimiser. */
export async function readChoiceTraining(
  folder: string,
  table: ParameterTable,
  choices: number,
): Promise<{ readonly optimizer: OptimizerState; readonly progress: ChoiceProgress }> {
  const empty = () => new Float32Array(table.flatLength);
  const optimizer = { table, first: empty(), second: empty() };
  const { step, counts } = await readTrainingState(folder, optimizer);
  if (
    !Array.isArray(counts) ||
    counts.length !== choices ||
    !counts.every((n) => Number.isFinite(n) && n >= 0)
  )
    throw new CheckpointError({
      code: "E_CHECKPOINT_FORMAT",
      message: `${folder}: "counts" is ${JSON.stringify(counts)}; expected ${choices} counts.`,
      hint: "go back to an earlier checkpoint.",
      facts: { folder },
    });
  return { optimizer, progress: { step, counts } };
}
