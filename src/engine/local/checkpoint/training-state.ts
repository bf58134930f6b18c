/**
 * @file What continues training bit-equal: AdamW's two moments as tensors beside the weights, and a small JSON of
 * counters. They travel as extra files of a model or adapter folder, under its manifest.
 */

import { join } from "node:path";
import type { ParameterTable } from "../model/parameters.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import { readJsonFile } from "./json-file.ts";
import { type ExtraFile, namedTensors } from "./model-folder.ts";
import { TensorSet } from "./tensor-set.ts";

export const optimizerName = "optimizer.safetensors";
export const stateName = "trainer_state.json";

export interface OptimizerState {
  readonly table: ParameterTable;
  /** First and second moment, laid out like the weights. */
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** Counters that the optimiser needs; callers may add their own. */
export interface TrainerState {
  /** Optimiser steps taken: AdamW's bias correction, and the policy's version. */
  readonly step: number;
  readonly [name: string]: unknown;
}

const prefixes = ["first.", "second."] as const;

/** Both files, as `extra` of `saveModelFolder` or `saveAdapterFolder`. */
export function trainingStateFiles(optimizer: OptimizerState, state: TrainerState): readonly ExtraFile[] {
  const shapes = shapesOf(optimizer.table);
  return [
    {
      name: optimizerName,
      tensors: [optimizer.first, optimizer.second].flatMap((flat, i) =>
        namedTensors(shapes, optimizer.table, flat, (name) => prefixes[i] + name),
      ),
    },
    { name: stateName, json: state },
  ];
}

/** Fills the moments in place and gives the counters. The folder's manifest is checked by whoever opens it. */
export async function readTrainingState(folder: string, optimizer: OptimizerState): Promise<TrainerState> {
  const stateFile = join(folder, stateName);
  const state = (await readJsonFile(stateFile)) as TrainerState | null;
  if (!Number.isInteger(state?.step) || state!.step < 0) {
    throw new CheckpointError({
      code: "E_CHECKPOINT_FORMAT",
      message: `${stateFile}: "step" is ${JSON.stringify(state?.step)}; expected a count.`,
      hint: "go back to an earlier checkpoint.",
      facts: { file: stateFile },
    });
  }
  const tensors = await TensorSet.openFile(join(folder, optimizerName));
  try {
    const shapes = shapesOf(optimizer.table);
    const wanted = prefixes.flatMap((prefix) =>
      shapes.map(([name, shape]) => [prefix + name, shape] as const),
    );
    tensors.check(
      wanted,
      (name) => name,
      () => false,
    );
    await tensors.readAll(shapes, optimizer.table, optimizer.first, (name) => prefixes[0] + name);
    await tensors.readAll(shapes, optimizer.table, optimizer.second, (name) => prefixes[1] + name);
  } finally {
    await tensors.close();
  }
  return state!;
}

const shapesOf = (table: ParameterTable) => table.parameters.map(({ name, shape }) => [name, shape] as const);
