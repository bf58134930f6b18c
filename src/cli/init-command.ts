/** @file `troupe init [folder]`: a small project that trains at once: the package's `examples/starter` with a model of its own. */

import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { print, printJson } from "./command-output.ts";
import { CommandLineError } from "./errors.ts";

const packageFolder = new URL("../../", import.meta.url);
const inPackage = (path: string) => fileURLToPath(new URL(path, packageFolder));

/** The starter's parts: where they are in the package, and where they go. */
const parts: readonly (readonly [from: string, to: string])[] = [
  ["examples/starter", "."],
  ["examples/atlas/assets/atlas-small", "model"],
];

export interface InitResult {
  readonly folder: string;
  readonly files: readonly string[];
}

export interface InitOptions {
  /** Write into a folder that has files already; those of the same names are replaced. Default false. */
  readonly force?: boolean;
}

/** @throws CommandLineError if the folder has files and `force` is not given. */
export async function initProject(folder: string, { force = false }: InitOptions = {}): Promise<InitResult> {
  const target = resolve(folder);
  const there = existsSync(target) ? await entriesOf(target) : [];
  // A fresh repository is as good as empty.
  const inTheWay = there.filter((name) => name !== ".git");
  if (inTheWay.length > 0 && !force) {
    throw new CommandLineError({
      code: "E_INIT_FOLDER",
      message: `${target} is not empty: it has ${inTheWay.slice(0, 5).join(", ")}${inTheWay.length > 5 ? ", …" : ""}.`,
      hint: "name another folder (`troupe init my-team`), or add --force to write there all the same; files of the same names are replaced.",
    });
  }
  await mkdir(target, { recursive: true });
  for (const [from, to] of parts) {
    // Whoever tried the example in place has runs of their own there.
    const filter = (path: string) => !/[/\\](runs|node_modules)$/.test(path.slice(inPackage(from).length));
    await cp(inPackage(from), join(target, to), { recursive: true, filter });
  }
  await writeManifest(target);
  await writeFile(join(target, ".gitignore"), "node_modules/\nruns/\nmodels/\n");
  return { folder: target, files: (await readdir(target)).filter((name) => name !== ".git").sort() };
}

async function entriesOf(target: string): Promise<string[]> {
  try {
    return await readdir(target);
  } catch (error) {
    throw new CommandLineError({
      code: "E_INIT_FOLDER",
      message: `${target} is no folder: ${error instanceof Error ? error.message : String(error)}`,
      hint: "name another folder.",
      cause: error,
    });
  }
}

/** A package.json of the user's own gains the dependency and keeps the rest. */
async function writeManifest(target: string): Promise<void> {
  const own = JSON.parse(await readFile(inPackage("package.json"), "utf8")) as {
    readonly name: string;
    readonly version: string;
    readonly engines: Readonly<Record<string, string>>;
  };
  const path = join(target, "package.json");
  const existing = existsSync(path) ? await readManifest(path) : undefined;
  const manifest = existing ?? {
    name:
      basename(target)
        .toLowerCase()
        .replace(/[^a-z0-9._-]+/g, "-")
        .replace(/^[._-]+/, "") || "team",
    private: true,
    type: "module",
    scripts: { train: "troupe train train.ts", dry: "troupe train train.ts --dry" },
    engines: own.engines,
  };
  const dependencies = { ...(manifest.dependencies as object | undefined), [own.name]: `^${own.version}` };
  await writeFile(path, `${JSON.stringify({ ...manifest, dependencies }, undefined, 2)}\n`);
}

async function readManifest(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new CommandLineError({
      code: "E_INIT_FOLDER",
      message: `${path} is not JSON: ${error instanceof Error ? error.message : String(error)}`,
      hint: "correct it, or name another folder.",
      cause: error,
    });
  }
}

export function registerInit(program: Command): void {
  program
    .command("init")
    .description("write a small project that trains at once, model included")
    .argument("[folder]", "where to", ".")
    .option("--force", "write into a folder that is not empty")
    .option("--json", "print what was written as JSON")
    .action(
      async (folder: string, { force, json }: { readonly force?: boolean; readonly json?: boolean }) => {
        const result = await initProject(folder, { force: force === true });
        if (json === true) return printJson(result);
        const lines = [
          `${result.folder}: ${result.files.join(", ")}`,
          "",
          "Next:",
          ...(folder === "." ? [] : [`  cd ${folder}`]),
          "  npm install",
          "  npx troupe train train.ts --dry",
          "  npx troupe train train.ts",
        ];
        print(lines.join("\n"));
      },
    );
}
