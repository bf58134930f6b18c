/**
 * @file An append-only file of frames, `[u32 length][u32 crc32][payload]` (little-endian, payload of at least one byte).
 * Appending only queues; what was queued in one turn of the event loop goes out in one write. A process that is killed
 * leaves at most a torn frame at the end, which the next `open` cuts off.
 *
 * Nothing is flushed to the disk: a kill loses nothing that was written, a loss of power may lose the end, and whatever
 * it leaves behind does not pass the crc.
 */

import { type FileHandle, open, readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { crashPoint } from "./crash-point.ts";
import { StoreError, writeFault } from "./errors.ts";

const headerBytes = 8;
/** Larger lengths are taken for damage. */
const longestFrame = 1 << 28;
/** Bytes that a search for the next whole frame behind a damaged one may checksum. */
const searchBudget = 1 << 27;

/** The part of a FileHandle that appending needs; tests put a failing disk here. */
export type AppendFile = Pick<FileHandle, "writev" | "close">;

export interface DamagedPart {
  readonly offset: number;
  readonly bytes: number;
}

export interface ReadFrames {
  readonly payloads: readonly Buffer[];
  /** Where the last whole frame ends; what follows is torn. */
  readonly end: number;
  /** Parts that are damaged although whole frames follow: not a torn end, but a changed file. */
  readonly damaged: readonly DamagedPart[];
}

/** The whole frames of a log, and what else it holds. */
export function readFrames(bytes: Buffer): ReadFrames {
  const payloads: Buffer[] = [];
  const damaged: DamagedPart[] = [];
  let end = 0;
  for (let at = 0; at + headerBytes < bytes.length; ) {
    const payload = payloadAt(bytes, at);
    if (payload !== undefined) {
      payloads.push(payload);
      at += headerBytes + payload.length;
      end = at;
      continue;
    }
    const next = nextFrame(bytes, at + 1);
    if (next === undefined) break;
    damaged.push({ offset: at, bytes: next - at });
    at = next;
  }
  return { payloads, end, damaged };
}

function payloadAt(bytes: Buffer, at: number): Buffer | undefined {
  const length = lengthAt(bytes, at);
  if (length === 0) return undefined;
  const payload = bytes.subarray(at + headerBytes, at + headerBytes + length);
  return crc32(payload) === bytes.readUInt32LE(at + 4) ? payload : undefined;
}

/** 0 if there can be no whole frame. Zeros, as a file system leaves them after a loss of power, are none. */
function lengthAt(bytes: Buffer, at: number): number {
  if (at + headerBytes >= bytes.length) return 0;
  const length = bytes.readUInt32LE(at);
  return length <= longestFrame && at + headerBytes + length <= bytes.length ? length : 0;
}

function nextFrame(bytes: Buffer, from: number): number | undefined {
  let budget = searchBudget;
  for (let at = from; at + headerBytes < bytes.length && budget > 0; at++) {
    const length = lengthAt(bytes, at);
    if (length === 0) continue;
    budget -= length;
    if (payloadAt(bytes, at) !== undefined) return at;
  }
  return undefined;
}

/** A log that is open for appending. */
export class FramedLog {
  readonly path: string;
  readonly #file: AppendFile;
  #queue: Buffer[] = [];
  #writing: Promise<void> | undefined;
  #failure: StoreError | undefined;

  constructor(path: string, file: AppendFile) {
    this.path = path;
    this.#file = file;
  }

  /**
   * Reads what is there, cuts off a torn end, and opens for appending.
   *
   * @throws StoreError if the file cannot be read or opened.
   */
  static async open(
    path: string,
    openFile: (path: string) => Promise<AppendFile> = (file) => open(file, "a"),
  ): Promise<{ readonly log: FramedLog; readonly read: ReadFrames }> {
    const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOENT") return Buffer.alloc(0);
      throw readFault(path, cause);
    });
    const read = readFrames(bytes);
    try {
      if (read.end < bytes.length) await truncate(path, read.end);
      return { log: new FramedLog(path, await openFile(path)), read };
    } catch (cause) {
      throw writeFault(path, cause);
    }
  }

  /** Queues one frame. A failure shows in the next `flush`; after one nothing is queued any more. */
  append(payload: Uint8Array): void {
    if (this.#failure !== undefined) return;
    const header = Buffer.allocUnsafe(headerBytes);
    header.writeUInt32LE(payload.length, 0);
    header.writeUInt32LE(crc32(payload), 4);
    this.#queue.push(header, payload as Buffer);
    this.#writing ??= this.#write();
  }

  /**
   * Resolves once everything appended so far is written.
   *
   * @throws StoreError of the first write that failed.
   */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Writes what is queued and closes; a failed write is not reported again. */
  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#file.close();
  }

  async #write(): Promise<void> {
    // What the rest of this turn appends goes along.
    await new Promise((resolve) => setImmediate(resolve));
    const buffers = this.#queue;
    this.#queue = [];
    try {
      crashPoint("journal before write");
      await writeAll(this.#file, buffers);
      crashPoint("journal after write");
    } catch (cause) {
      this.#failure ??= writeFault(this.path, cause);
      this.#queue = [];
    }
    this.#writing = this.#queue.length === 0 ? undefined : this.#write();
  }
}

/** `writev` takes at most 1,024 buffers, and may write less than it was given. */
async function writeAll(file: AppendFile, buffers: readonly Buffer[]): Promise<void> {
  for (let i = 0; i < buffers.length; i += 512) {
    let rest = buffers.slice(i, i + 512);
    while (rest.length > 0) {
      let { bytesWritten } = await file.writev(rest);
      if (bytesWritten === 0) throw new Error("the system wrote 0 bytes");
      while (rest.length > 0 && bytesWritten >= rest[0]!.length) {
        bytesWritten -= rest[0]!.length;
        rest = rest.slice(1);
      }
      if (bytesWritten > 0) rest = [rest[0]!.subarray(bytesWritten), ...rest.slice(1)];
    }
  }
}

async function truncate(path: string, length: number): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.truncate(length);
  } finally {
    await file.close();
  }
}

function readFault(path: string, cause: NodeJS.ErrnoException): StoreError {
  return new StoreError({
    code: "E_STORE_READ",
    message: `${path} cannot be read: ${cause.message}.`,
    hint: "check that it is a file and that this user may read it.",
    cause,
    facts: { path },
  });
}
