/**
 * @file Downloads one file: continues what an earlier attempt left, retries what is worth retrying, and gives the
 * file its name only when size and hash are right.
 */

import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { HubError } from "./errors.ts";
import { type HubClient, type HubFile, type HubModel, refusal } from "./hub-client.ts";

export interface DownloadOptions {
  readonly signal?: AbortSignal;
  /** Called with bytes that arrived; negative when a part had to be thrown away. */
  readonly onBytes?: (bytes: number) => void;
  /** Called before each wait. */
  readonly onRetry?: (why: string, seconds: number) => void;
  /** Attempts in a row without a single new byte. Default 6. */
  readonly attempts?: number;
  /** Seconds before the second attempt; doubles up to 30. Default 1. */
  readonly firstDelay?: number;
  /** Seconds without a byte after which a connection counts as dead. Default 60. */
  readonly stallSeconds?: number;
}

/** How much was checked: by content hash, or only by size where the hub gave no hash. */
export type Checked = "hash" | "size" | "nothing";

const retryStatuses = new Set([408, 425, 429, 500, 502, 503, 504]);

/** A failure that another attempt may cure. */
class Interrupted extends Error {
  readonly seconds: number | undefined;
  constructor(message: string, seconds?: number, cause?: unknown) {
    super(message, { cause });
    this.seconds = seconds;
  }
}

export async function downloadFile(
  client: HubClient,
  model: Pick<HubModel, "id" | "commit">,
  file: HubFile,
  target: string,
  options: DownloadOptions = {},
): Promise<Checked> {
  const part = partPath(file, target);
  const attempts = options.attempts ?? 6;
  let failures = 0;
  let restarted = false;
  for (;;) {
    const before = await sizeOf(part);
    try {
      await continuePart(client, model, file, part, options);
      const checked = await checkPart(file, part);
      await rename(part, target);
      return checked;
    } catch (cause) {
      if (options.signal?.aborted) throw cancelled(file, cause);
      if (cause instanceof HubError && cause.code === "E_HUB_INTEGRITY" && before > 0 && !restarted) {
        // What an earlier attempt left may be at fault: once more, from the start.
        restarted = true;
        options.onBytes?.(-(await sizeOf(part)));
        await rm(part, { force: true });
        continue;
      }
      if (cause instanceof HubError && cause.code === "E_HUB_INTEGRITY") await rm(part, { force: true });
      if (!(cause instanceof Interrupted)) throw diskError(cause, file);
      failures = (await sizeOf(part)) > before ? 1 : failures + 1;
      if (failures >= attempts) throw gaveUp(file, cause, attempts);
      const seconds = cause.seconds ?? Math.min(30, (options.firstDelay ?? 1) * 2 ** (failures - 1));
      options.onRetry?.(`${file.name}: ${cause.message}`, seconds);
      await delay(seconds * 1000, undefined, options.signal ? { signal: options.signal } : {}).catch(
        (reason) => {
          throw cancelled(file, reason);
        },
      );
    }
  }
}

/** Named after the contents, so that the part of another revision is never continued. */
export function partPath(file: HubFile, target: string): string {
  return `${target}.${(file.sha256 ?? file.gitBlob ?? "unknown").slice(0, 12)}.part`;
}

/** One request, from where the part ends. */
async function continuePart(
  client: HubClient,
  model: Pick<HubModel, "id" | "commit">,
  file: HubFile,
  part: string,
  options: DownloadOptions,
): Promise<void> {
  const from = await sizeOf(part);
  if (file.size !== undefined && from === file.size && from > 0) return;
  if (file.size !== undefined && from > file.size)
    throw wrong(file, `the part on disk has ${from} bytes of ${file.size}`);

  const stall = new Stall(options.stallSeconds ?? 60);
  try {
    const range: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
    const response = await client
      .get(client.fileUrl(model, file.name), range, stall.signal)
      .catch((cause) => stall.explain(cause));
    if (response.status === 416) throw wrong(file, `the server has nothing after byte ${from}`);
    if (retryStatuses.has(response.status)) {
      await response.body?.cancel();
      throw new Interrupted(`the server answered ${response.status}`, retryAfter(response));
    }
    if (!response.ok) throw await refusal(response, model.id, model.commit, client.hasToken);
    const continues = response.status === 206;
    if (continues) checkRange(response, from, file);
    else if (from > 0) options.onBytes?.(-from);
    await append(response, part, continues, stall, options);
  } finally {
    stall.end();
  }
}

/** Some servers ignore a range and some answer another one; only the right one may be appended. */
function checkRange(response: Response, from: number, file: HubFile): void {
  const [, begin, total] =
    /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "") ?? [];
  if (Number(begin) !== from)
    throw wrong(file, `the server sent bytes from ${begin ?? "an unknown place"} instead of ${from}`);
  if (total !== "*" && file.size !== undefined && Number(total) !== file.size) {
    throw wrong(file, `the server's file has ${total} bytes instead of ${file.size}`);
  }
}

async function append(
  response: Response,
  part: string,
  continues: boolean,
  stall: Stall,
  options: DownloadOptions,
): Promise<void> {
  if (!response.body) throw new Interrupted("the server sent no body");
  const handle = await open(part, continues ? "a" : "w");
  try {
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read().catch((cause) => stall.explain(cause));
      if (done) break;
      stall.progress();
      await writeAll(handle, value);
      options.onBytes?.(value.length);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}

/** Ends a connection on which nothing arrives any more. */
class Stall {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #seconds: number;
  #stalled = false;

  constructor(seconds: number) {
    this.#seconds = seconds;
    this.#timer = setTimeout(() => {
      this.#stalled = true;
      this.#controller.abort();
    }, seconds * 1000);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  progress(): void {
    this.#timer.refresh();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  explain(cause: unknown): never {
    if (this.#stalled) throw new Interrupted(`nothing arrived for ${this.#seconds} s`, undefined, cause);
    const inner = (cause as Error).cause as NodeJS.ErrnoException | undefined;
    throw new Interrupted(
      `the connection broke (${inner?.code ?? inner?.message ?? (cause as Error).message})`,
      undefined,
      cause,
    );
  }
}

async function checkPart(file: HubFile, part: string): Promise<Checked> {
  const size = await sizeOf(part);
  if (file.size !== undefined && size < file.size) {
    throw new Interrupted(`the server ended after ${size} of ${file.size} bytes`);
  }
  if (file.size !== undefined && size > file.size)
    throw wrong(file, `it has ${size} bytes instead of ${file.size}`);
  const checked = await checkContents(file, part, size);
  if (checked === false) throw wrong(file, "its contents have another hash than the hub says");
  return checked;
}

/** `false` if the contents are not those of `file`. */
export async function checkContents(file: HubFile, path: string, size: number): Promise<Checked | false> {
  if (file.sha256 !== undefined) return (await digest(createHash("sha256"), path)) === file.sha256 && "hash";
  if (file.gitBlob !== undefined) {
    // git hashes a header with the contents.
    return (await digest(createHash("sha1").update(`blob ${size}\0`), path)) === file.gitBlob && "hash";
  }
  return file.size === undefined ? "nothing" : "size";
}

async function digest(hash: Hash, path: string): Promise<string> {
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}

export async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

function retryAfter(response: Response): number | undefined {
  const value = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(value) && value >= 0 ? Math.min(value, 300) : undefined;
}

function wrong(file: HubFile, why: string): HubError {
  return new HubError({
    code: "E_HUB_INTEGRITY",
    message: `${file.name} did not arrive as the hub lists it: ${why}.`,
    hint: "run the command again; if it repeats, a proxy or mirror changes the file: try another --endpoint.",
    facts: { file: file.name, size: file.size, sha256: file.sha256, gitBlob: file.gitBlob },
  });
}

function gaveUp(file: HubFile, cause: Interrupted, attempts: number): HubError {
  return new HubError({
    code: "E_HUB_NETWORK",
    message: `${file.name} could not be downloaded: ${cause.message}, ${attempts} times in a row.`,
    hint: "check the network and run the same command again; it continues where this one stopped.",
    cause,
    facts: { file: file.name },
  });
}

function cancelled(file: HubFile, cause: unknown): HubError {
  return new HubError({
    code: "E_HUB_CANCELLED",
    message: `The download of ${file.name} was stopped.`,
    hint: "run the same command again; it continues where this one stopped.",
    cause,
  });
}

function diskError(cause: unknown, file: HubFile): unknown {
  const { code, path } = (cause ?? {}) as NodeJS.ErrnoException;
  if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EACCES" && code !== "EROFS" && code !== "EPERM")
    return cause;
  const full = code === "ENOSPC" || code === "EDQUOT";
  return new HubError({
    code: "E_HUB_DISK",
    message: `${file.name} could not be written${path ? ` to ${path}` : ""}: ${full ? "the disk is full" : "this user may not write there"} (${code}).`,
    hint: full ? "free space and run the same command again." : "choose another folder with --to.",
    cause,
  });
}
