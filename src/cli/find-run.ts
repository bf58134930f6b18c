/** @file What a user means by "run" or "episodes" on the command line: a name, a folder, or a file. */

import { existsSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { isRunFolder } from "../trainer/run-record.ts";
import { CommandLineError } from "./errors.ts";

/** The folder of a run that is given as a path, or by its name under the folder of runs. */
export async function findRun(name: string, runsFolder: string): Promise<string> {
  for (const path of [name, join(runsFolder, name)]) if (isRunFolder(path)) return path;
  const entries = await readdir(runsFolder).catch(() => []);
  const names = entries.filter((entry) => isRunFolder(join(runsFolder, entry)));
  const shown = names.slice(0, 10).join(", ") + (names.length > 10 ? ", …" : "");
  throw new CommandLineError({
    code: "E_RUN_MISSING",
    message: `There is no run "${name}", neither as a folder nor in ${runsFolder}.`,
    hint:
      names.length === 0
        ? `${runsFolder} has no runs; say where they are with --runs-folder.`
        : `${runsFolder} has ${shown}.`,
  });
}

/** Files of recorded episodes: one file that was named, or all of a run. */
export async function episodeFiles(target: string, runsFolder: string): Promise<readonly string[]> {
  if (existsSync(target) && statSync(target).isFile()) return [target];
  const folder = join(await findRun(target, runsFolder), "episodes");
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .map((name) => join(folder, name));
}
