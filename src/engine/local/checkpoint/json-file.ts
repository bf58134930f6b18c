/** @file Reads a JSON file of a model folder; what is wrong with it is said with its name. */

import { readFile } from "node:fs/promises";
import { CheckpointError, readError } from "./checkpoint-error.ts";

export async function readJsonFile(file: string): Promise<unknown> {
  const text = await readFile(file, "utf8").catch((cause) => {
    throw readError(cause, file);
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError({
      code: "E_CHECKPOINT_FORMAT",
      message: `${file} is not JSON: ${(cause as Error).message}`,
      hint: "it is truncated or was edited by hand; download or copy it again.",
      cause,
      facts: { file },
    });
  }
}

/** `undefined` where there is no such file. */
export async function readOptionalJsonFile(file: string): Promise<unknown> {
  try {
    return await readJsonFile(file);
  } catch (cause) {
    if (cause instanceof CheckpointError && cause.code === "E_CHECKPOINT_MISSING_FILE") return undefined;
    throw cause;
  }
}
