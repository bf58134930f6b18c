/**
 * @file Loads a user's TypeScript file on any supported Node. `troupe` and its subpaths inside that file are the very
 * modules that run here, so there is one copy of everything, in the repository as in an installed package.
 */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { createJiti } from "jiti";
import { TroupeError } from "../errors.ts";
import { CommandLineError } from "./errors.ts";

/** Default export of the file. */
export async function loadDefault(file: string): Promise<unknown> {
  const path = resolve(file);
  if (!existsSync(path)) {
    throw new CommandLineError({
      code: "E_FILE_MISSING",
      message: `There is no file ${path}.`,
      hint: "check the path; it starts at the working directory.",
    });
  }
  const jiti = createJiti(pathToFileURL(path).href, {
    virtualModules: await ownModules(),
    interopDefault: false,
  });
  let loaded: unknown;
  try {
    loaded = await jiti.import(path);
  } catch (error) {
    if (TroupeError.is(error)) throw error;
    throw new CommandLineError({
      code: "E_FILE_LOAD",
      message: `${path} could not be loaded: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      hint: "correct the file; it is run once to read its default export.",
      cause: error,
    });
  }
  return typeof loaded === "object" && loaded !== null && "default" in loaded ? loaded.default : undefined;
}

/** The package's entry points by the name users import, from package.json: "troupe", "troupe/local", … */
async function ownModules(): Promise<Record<string, unknown>> {
  const manifest = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as {
    readonly name: string;
    readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
  };
  const fromSource = import.meta.url.endsWith(".ts");
  const modules: Record<string, unknown> = {};
  for (const [name, target] of Object.entries(manifest.exports)) {
    if (typeof target === "string") continue;
    const built = new URL(`../../${target.default}`, import.meta.url).href;
    const href = fromSource ? built.replace("/dist/", "/src/").replace(/\.js$/, ".ts") : built;
    if (existsSync(new URL(href)))
      modules[name.replace(/^\./, manifest.name)] = await import(/* @vite-ignore */ href);
  }
  return modules;
}
