/** @file Files and folders that are on the disk, and not only in memory, when a promise resolves. */

import { createHash } from "node:crypto";
import { type FileHandle, open, readdir, rename, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { writeFault } from "./errors.ts";

export interface FileDigest {
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** Writes a small file whole or not at all, and flushes it. @throws StoreError */
export async function writeDurably(path: string, text: string): Promise<void> {
  const partial = `${path}.partial`;
  try {
    await writeFlushed(partial, text);
    await rename(partial, path);
    await flushFolder(dirname(path));
  } catch (cause) {
    throw writeFault(path, cause);
  }
}

/** Writes a file and flushes it; its folder is not flushed. */
export async function writeFlushed(path: string, text: string): Promise<void> {
  const file = await open(path, "w");
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes renames and new names in a folder last. Windows cannot open folders and needs no flush. */
export async function flushFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Reads and flushes every file below a folder; digests by relative path with "/" between names, sorted. */
export async function flushTree(folder: string): Promise<Record<string, FileDigest>> {
  const digests: Record<string, FileDigest> = {};
  for (const name of await filesBelow(folder)) digests[name] = await flushFile(join(folder, name));
  for (const name of await foldersBelow(folder)) await flushFolder(join(folder, name));
  return digests;
}

async function flushFile(path: string): Promise<FileDigest> {
  const file = await open(path, "r+");
  try {
    await file.sync();
    return await digestOf(file);
  } finally {
    await file.close();
  }
}

async function digestOf(file: FileHandle): Promise<FileDigest> {
  const hash = createHash("sha256");
  let size = 0;
  for await (const chunk of file.createReadStream({ autoClose: false, start: 0, highWaterMark: 1 << 20 })) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { size, sha256: hash.digest("hex") };
}

/** What differs from the digests, in words; empty if the folder is as it was written. Further files do not matter. */
export async function differencesFrom(
  folder: string,
  digests: Readonly<Record<string, FileDigest>>,
): Promise<string[]> {
  const wrong: string[] = [];
  for (const [name, wanted] of Object.entries(digests)) {
    const path = join(folder, name);
    const size = await stat(path).then(
      (entry) => (entry.isFile() ? entry.size : undefined),
      () => undefined,
    );
    if (size === undefined) wrong.push(`${name} is missing`);
    else if (size !== wanted.size) wrong.push(`${name} has ${size} bytes instead of ${wanted.size}`);
    else if ((await digestOfFile(path)).sha256 !== wanted.sha256) wrong.push(`${name} has other contents`);
  }
  return wrong;
}

async function digestOfFile(path: string): Promise<FileDigest> {
  const file = await open(path, "r");
  try {
    return await digestOf(file);
  } finally {
    await file.close();
  }
}

async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const name = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    if (entry.isDirectory()) names.push(...(await filesBelow(folder, name)));
    else names.push(name);
  }
  return names.sort();
}

/** Deepest first, the folder itself last. */
async function foldersBelow(folder: string, prefix = ""): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    if (entry.isDirectory())
      names.push(...(await foldersBelow(folder, prefix === "" ? entry.name : `${prefix}/${entry.name}`)));
  }
  return [...names, prefix];
}
