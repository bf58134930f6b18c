/**
 * @file Value heads beside a model or an adapter, in a file of their own: other programs have no place for them in the
 * weights. How many there are is the first dimension of their tensors.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { DecoderConfig } from "../model/config.ts";
import { type ParameterTable, valueHeadShapes } from "../model/parameters.ts";
import { valueBiasName } from "../model/value-head.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import { type ExtraFile, namedTensors } from "./model-folder.ts";
import { SafetensorsFile } from "./safetensors.ts";
import { TensorSet } from "./tensor-set.ts";

export const valueHeadName = "value_head.safetensors";

export interface ValueHeadState {
  readonly config: DecoderConfig;
  /** How many; 0: none, and no file. */
  readonly heads: number;
  readonly table: ParameterTable;
  readonly flat: Float32Array;
}

/** As `extra` of `saveModelFolder` or `saveAdapterFolder`. */
export function valueHeadFiles({ config, heads, table, flat }: ValueHeadState): readonly ExtraFile[] {
  if (heads === 0) return [];
  return [{ name: valueHeadName, tensors: namedTensors(valueHeadShapes(config, heads), table, flat) }];
}

/** @throws CheckpointError if the folder's heads are not as many as the policy's: before anything is read. */
export async function checkValueHeads(folder: string, heads: number): Promise<void> {
  const saved = await savedHeads(folder);
  if (saved === heads) return;
  throw new CheckpointError({
    code: "E_CHECKPOINT_TENSORS",
    message: `${folder} was saved with ${counted(saved)}; the policy that it is restored into has ${counted(heads)}.`,
    hint: `open the policy with valueHead: ${saved < 2 ? saved === 1 : saved}, or begin anew from the weights.`,
    facts: { folder, saved, heads },
  });
}

/** Fills the heads in place. */
export async function readValueHeads(
  folder: string,
  { config, heads, table, flat }: ValueHeadState,
): Promise<void> {
  if (heads === 0) return;
  const shapes = valueHeadShapes(config, heads);
  const values = await TensorSet.openFile(join(folder, valueHeadName));
  const sameName = (name: string) => name;
  try {
    values.check(shapes, sameName, () => false);
    await values.readAll(shapes, table, flat, sameName);
  } finally {
    await values.close();
  }
}

async function savedHeads(folder: string): Promise<number> {
  const path = join(folder, valueHeadName);
  if (!existsSync(path)) return 0;
  const file = await SafetensorsFile.open(path);
  try {
    return file.tensors.get(valueBiasName)?.elements ?? 0;
  } finally {
    await file.close();
  }
}

const counted = (heads: number) =>
  heads === 0 ? "no value head" : heads === 1 ? "one value head" : `${heads} value heads`;
