/**
 * @file A folder that appears whole or not at all, whatever happens: a kill, a full disk, a loss of power.
 *
 * Files go to a sibling `.tmp-<name>-…`, each is flushed to the disk; `manifest.json` is written last; then the
 * folder gets its name by one rename and the parent is flushed. An existing target is moved aside to
 * `.old-<name>-…` just before, and back by {@link recoverFolder} if the process dies between the two renames.
 */

import { createHash, type Hash, randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { TroupeError } from "../../../errors.ts";
import { CheckpointError, formatBytes } from "./checkpoint-error.ts";
import { isPlainName, type Manifest, type ManifestFile, manifestName, manifestSchema } from "./manifest.ts";
import type { ByteSink } from "./safetensors.ts";

/** Points at which a crash is survived; `onStage` is called as each is passed. */
export type FolderStage = "begun" | "written" | "sealed" | "moved-aside" | "in-place";

export interface AtomicFolderOptions {
  /** Replace an existing target. Default false: it is an error. */
  readonly replace?: boolean;
  /** Kept in the manifest. */
  readonly facts?: Readonly<Record<string, unknown>>;
  readonly onStage?: (stage: FolderStage) => void;
  /** Opens the files; tests put a failing disk here. Default: `open` of node:fs/promises. */
  readonly openFile?: (file: string) => Promise<WritableFile>;
}

/** The part of a FileHandle that writing needs. */
export interface WritableFile {
  write(bytes: Uint8Array): Promise<{ readonly bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The files of a folder that is being written. */
export interface FolderWriter {
  /** Opens a file; `produce` writes it from begin to end. */
  file(name: string, produce: (sink: ByteSink) => Promise<void>): Promise<void>;
  text(name: string, text: string): Promise<void>;
  json(name: string, value: unknown): Promise<void>;
  /** Copies a file, streaming. */
  copy(name: string, from: string): Promise<void>;
}

/**
 * Writes `target` through `produce`. When this promise resolves, the folder is complete and on the disk; when it
 * rejects, `target` is as it was.
 */
export async function writeFolder(
  target: string,
  produce: (folder: FolderWriter) => Promise<void>,
  options: AtomicFolderOptions = {},
): Promise<Manifest> {
  const place = resolve(target);
  const parent = dirname(place);
  const stage = options.onStage ?? (() => {});
  const temporaryBase = temporaryName("tmp", place);
  const temporary = join(parent, temporaryBase);
  try {
    await mkdir(parent, { recursive: true });
    await recoverFolder(place);
    await removeStale(place);
    if (!options.replace && (await exists(place))) throw alreadyThere(place);
    const folder = new OpenFolder(temporary, place, options.openFile ?? ((file) => open(file, "wx")));
    writing.add(temporaryBase);
    await mkdir(temporary);
    stage("begun");
    await produce(folder);
    stage("written");
    const manifest: Manifest = {
      schema: manifestSchema,
      files: { ...folder.files },
      facts: options.facts ?? {},
    };
    await folder.json(manifestName, manifest);
    await flushFolder(temporary);
    stage("sealed");
    await moveIntoPlace(temporary, place, options, stage);
    return manifest;
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw writeError(cause, place);
  } finally {
    writing.delete(temporaryBase);
  }
}

async function moveIntoPlace(
  temporary: string,
  place: string,
  { replace }: AtomicFolderOptions,
  stage: (stage: FolderStage) => void,
): Promise<void> {
  const parent = dirname(place);
  const aside = join(parent, temporaryName("old", place));
  const replacing = replace === true && (await exists(place));
  if (replacing) {
    await rename(place, aside);
    stage("moved-aside");
  }
  try {
    await rename(temporary, place);
  } catch (cause) {
    if (replacing) await rename(aside, place);
    throw cause;
  }
  await flushFolder(parent);
  stage("in-place");
  if (replacing) await rm(aside, { recursive: true, force: true });
}

class OpenFolder implements FolderWriter {
  readonly files: Record<string, ManifestFile> = {};
  readonly #folder: string;
  readonly #place: string;
  readonly #openFile: (file: string) => Promise<WritableFile>;

  constructor(folder: string, place: string, openFile: (file: string) => Promise<WritableFile>) {
    this.#folder = folder;
    this.#place = place;
    this.#openFile = openFile;
  }

  async file(name: string, produce: (sink: ByteSink) => Promise<void>): Promise<void> {
    if (!isPlainName(name) || Object.hasOwn(this.files, name)) {
      throw new RangeError(`"${name}" cannot be the name of a new file in ${this.#place}.`);
    }
    const handle = await this.#openFile(join(this.#folder, name));
    try {
      const sink = new HashingSink(join(this.#place, name), handle);
      await produce(sink);
      await handle.sync().catch((cause) => sink.fail(cause));
      this.files[name] = sink.entry();
    } finally {
      await handle.close();
    }
  }

  text(name: string, text: string): Promise<void> {
    return this.file(name, (sink) => sink.write(Buffer.from(text)));
  }

  json(name: string, value: unknown): Promise<void> {
    return this.text(name, `${JSON.stringify(value, undefined, 2)}\n`);
  }

  async copy(name: string, from: string): Promise<void> {
    const source = await open(from, "r");
    try {
      await this.file(name, async (sink) => {
        for await (const chunk of source.createReadStream({ autoClose: false, highWaterMark: 1 << 20 })) {
          await sink.write(chunk);
        }
      });
    } finally {
      await source.close();
    }
  }
}

class HashingSink implements ByteSink {
  readonly file: string;
  readonly #handle: WritableFile;
  readonly #hash: Hash = createHash("sha256");
  #size = 0;

  constructor(file: string, handle: WritableFile) {
    this.file = file;
    this.#handle = handle;
  }

  async write(bytes: Uint8Array, part?: string): Promise<void> {
    this.#hash.update(bytes);
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle
        .write(bytes.subarray(done))
        .catch((cause) => this.fail(cause, part));
      if (bytesWritten === 0) this.fail(new Error("the system wrote 0 bytes"), part);
      done += bytesWritten;
      this.#size += bytesWritten;
    }
  }

  /** Names the file, and what was being written to it. */
  fail(cause: unknown, part?: string): never {
    throw writeError(cause, this.file, `${part ? `${part}, ` : ""}after ${formatBytes(this.#size)}`);
  }

  entry(): ManifestFile {
    return { size: this.#size, sha256: this.#hash.digest("hex") };
  }
}

/**
 * If a writer died between moving `target` aside and putting the new folder in place, puts back the old one.
 * Readers call it before they say that a folder is missing.
 */
export async function recoverFolder(target: string): Promise<void> {
  const place = resolve(target);
  if (await exists(place)) return;
  for (const path of await abandoned(place, "old", 10_000)) {
    await rename(path, place);
    await flushFolder(dirname(place));
    return;
  }
}

/** Removes what dead writers of `target` left. */
async function removeStale(place: string): Promise<void> {
  for (const kind of ["tmp", "old"] as const) {
    for (const path of await abandoned(place, kind, 24 * 3600_000))
      await rm(path, { recursive: true, force: true });
  }
}

type TemporaryKind = "tmp" | "old";

const host = hostname().replaceAll(/[^A-Za-z0-9]/g, "_");
const suffix = /^([A-Za-z0-9_]+)-(\d+)-[0-9a-f]{8}$/;

function temporaryName(kind: TemporaryKind, place: string): string {
  return `.${kind}-${basename(place)}-${host}-${process.pid}-${randomUUID().slice(0, 8)}`;
}

/** Temporary folders that this process is writing now. */
const writing = new Set<string>();

/**
 * Temporary folders of `place` whose writer is dead. Process numbers are used again and other machines cannot be
 * asked, so whatever nobody touched for `age` milliseconds counts as abandoned too.
 */
async function abandoned(place: string, kind: TemporaryKind, age: number): Promise<string[]> {
  const prefix = `.${kind}-${basename(place)}-`;
  const found: string[] = [];
  for (const name of await readdir(dirname(place)).catch(() => [])) {
    const [, owner, id] = name.startsWith(prefix) ? (suffix.exec(name.slice(prefix.length)) ?? []) : [];
    if (id === undefined || writing.has(name)) continue;
    const path = join(dirname(place), name);
    const untouched = Date.now() - (await stat(path)).ctimeMs;
    if (untouched > age || (owner === host && !isRunning(Number(id), untouched))) found.push(path);
  }
  return found;
}

/** Whether the writer with this process number may still be at work. */
function isRunning(id: number, untouched: number): boolean {
  // Our own number: another thread of ours, unless the folder is older than this process.
  if (id === process.pid) return untouched < process.uptime() * 1000;
  try {
    process.kill(id, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Makes renames and new names in a folder last. Windows cannot open folders and needs no flush. */
async function flushFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle: FileHandle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function alreadyThere(place: string): CheckpointError {
  return new CheckpointError({
    code: "E_CHECKPOINT_EXISTS",
    message: `${place} exists already.`,
    hint: "choose another folder, or ask for it to be replaced.",
    facts: { folder: place },
  });
}

const reasons: Readonly<Record<string, readonly [what: string, hint: string]>> = {
  ENOSPC: ["the disk is full", "free space or save elsewhere"],
  EDQUOT: ["the disk quota is used up", "free space or save elsewhere"],
  EFBIG: ["a file would be larger than this file system or limit allows", "save elsewhere"],
  EACCES: ["this user may not write there", "choose a folder that you own"],
  EPERM: ["this user may not write there", "choose a folder that you own"],
  EROFS: ["the file system is read-only", "save elsewhere"],
  EIO: ["the disk reported an error", "check the disk and save elsewhere"],
};

function writeError(cause: unknown, file: string, where?: string): CheckpointError | unknown {
  if (TroupeError.is(cause)) return cause;
  const { code, path, message } = (cause ?? {}) as NodeJS.ErrnoException;
  if (code === undefined && where === undefined) return cause;
  const [what, hint] = reasons[code ?? ""] ?? [message, "look into the cause"];
  const at = where ?? (path === undefined ? undefined : basename(path));
  return new CheckpointError({
    code: "E_CHECKPOINT_WRITE",
    message: `${file} could not be written: ${what} (${[code, at].filter(Boolean).join(", ")}). What was there before is unchanged.`,
    hint: `${hint}, then save again; the weights in memory are intact.`,
    cause,
    facts: { file, reason: code },
  });
}
