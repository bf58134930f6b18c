/** @file What the checkpoint tests share: where fixtures are, a folder that goes away, tables of fixture models. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach } from "vitest";
import { ModelFolder } from "../../../../src/engine/local/checkpoint/index.ts";
import type { DecoderConfig } from "../../../../src/engine/local/model/config.ts";
import {
  decoderShapes,
  type ParameterTable,
  parameterTable,
} from "../../../../src/engine/local/model/parameters.ts";

export const fixture = (path: string) => fileURLToPath(new URL(`../../../fixtures/${path}`, import.meta.url));

const made: string[] = [];
afterEach(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A new empty folder, removed after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "troupe-test-"));
  made.push(folder);
  return folder;
}

export interface LoadedModel {
  readonly config: DecoderConfig;
  readonly sourceConfig: Readonly<Record<string, unknown>>;
  readonly table: ParameterTable;
  readonly flat: Float32Array;
  readonly formats: readonly string[];
}

export async function loadModel(folder: string): Promise<LoadedModel> {
  const model = await ModelFolder.open(folder);
  try {
    const { config, sourceConfig, formats } = model;
    const table = parameterTable(decoderShapes(config));
    const flat = new Float32Array(table.flatLength);
    await model.readWeights(table, flat);
    return { config, sourceConfig, table, flat, formats };
  } finally {
    await model.close();
  }
}

/** Bits, so that −0 and 0 differ and a comparison means bit-equal. */
export const bits = (values: Float32Array) =>
  new Uint32Array(values.buffer, values.byteOffset, values.length);
