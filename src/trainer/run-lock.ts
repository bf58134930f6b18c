/** @file One process at a time in a run folder: `run.lock` holds the number of the process, and when that process began. */

import { existsSync, readFileSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { RunFolderError } from "./errors.ts";

/** Folders in which this process is running; other processes are told by the file. */
const active = new Set<string>();

const lockName = "run.lock";

/** Claims the name of a folder within this process, whether the folder exists or not. @throws RunFolderError */
export function claimFolder(path: string): void {
  if (active.has(resolve(path))) throw activeError(path, process.pid);
  active.add(resolve(path));
}

export function releaseFolder(path: string): void {
  active.delete(resolve(path));
}

/** @throws RunFolderError if a process that lives is running there. */
export async function refuseActive(path: string): Promise<void> {
  const lock = join(path, lockName);
  if (!existsSync(lock)) return;
  const [number, began] = (await readFile(lock, "utf8")).trim().split(" ");
  const pid = Number(number);
  // A lock of this very process in a folder that is not active is left over from an earlier one of the same number.
  if (pid === process.pid || !Number.isInteger(pid) || pid <= 0 || !isAlive(pid)) return;
  // So is one of another process with that number: containers give the same small numbers again after a restart.
  if (began !== undefined && beginOf(pid) !== began) return;
  throw activeError(path, pid);
}

export async function writeLock(path: string): Promise<void> {
  const lock = join(path, lockName);
  await rm(lock, { force: true });
  const began = beginOf(process.pid);
  const text = began === undefined ? String(process.pid) : `${process.pid} ${began}`;
  await writeFile(lock, text, { flag: "wx" });
}

export async function removeLock(path: string): Promise<void> {
  await rm(join(path, lockName), { force: true });
}

/** When a process began, in the kernel's ticks since boot and with the boot's id; undefined where there is no /proc. */
function beginOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold anything; field 22 of proc(5) is the 20th behind it.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    // A zombie: it has ended, and nobody has asked how. Containers without an init keep it for ever.
    if (fields[0] === "Z") return undefined;
    const ticks = fields[19];
    return `${ticks}@${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}`;
  } catch {
    return undefined;
  }
}

function activeError(path: string, pid: number): RunFolderError {
  return new RunFolderError({
    code: "E_RUN_ACTIVE",
    message: `A run is going on in ${path} (process ${pid}).`,
    hint: `choose another name with --run, or remove ${join(path, lockName)} if that process is not a run.`,
    facts: { path, pid },
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it exists, and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
