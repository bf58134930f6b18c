/**
 * @file One process at a time in a place of the store: the controller's, or a policy's. `lock.json` says who it is and
 * what it does, and is written anew every few seconds. Whoever finds a lock watches whether it goes on beating: that
 * works over a shared disk, where neither clocks nor process numbers of other machines can be compared.
 */

import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { writeFault } from "../../store/errors.ts";
import { ApartError } from "./errors.ts";

/** `lock.json` */
export interface Holder {
  readonly host: string;
  readonly pid: number;
  /** Differs between processes, also of one number. */
  readonly token: string;
  /** Rises while the process lives. */
  readonly beats: number;
  /** In words. */
  readonly doing: string;
}

/** Beats without a change after which a holder is taken for dead. */
const silentBeats = 8;

let locksTaken = 0;

/** Who is in a place, whether alive or not; undefined if nobody is, or the file is being replaced. */
export async function holderOf(place: string): Promise<Holder | undefined> {
  const text = await readFile(join(place, "lock.json"), "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as Holder;
  } catch {
    return undefined;
  }
}

export class PlaceLock {
  readonly #place: string;
  readonly #beat: number;
  #holder: Holder;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();
  #failure: unknown;

  private constructor(place: string, beat: number, holder: Holder) {
    this.#place = place;
    this.#beat = beat;
    this.#holder = holder;
  }

  /**
   * Takes a place, also that of a process that died there.
   *
   * @param beat seconds between signs of life
   * @throws ApartError E_APART_LOCKED if a process that lives is there; StoreError
   */
  static async take(place: string, beat: number): Promise<PlaceLock> {
    const token = `${hostname()}/${process.pid}/${performance.timeOrigin}/${++locksTaken}`;
    const holder: Holder = { host: hostname(), pid: process.pid, token, beats: 0, doing: "begins" };
    const path = join(place, "lock.json");
    try {
      await mkdir(place, { recursive: true });
      for (;;) {
        if (await created(path, holder)) break;
        await refuseLiving(place, beat);
        // Of several that found it dead one renames it; the others find the new one.
        await rename(path, `${path}.${process.pid}.dead`).catch(() => {});
        await rm(`${path}.${process.pid}.dead`, { force: true });
      }
    } catch (error) {
      throw error instanceof ApartError ? error : writeFault(path, error);
    }
    const lock = new PlaceLock(place, beat, holder);
    lock.#next();
    return lock;
  }

  /** Says what the process does now. */
  doing(what: string): void {
    this.#holder = { ...this.#holder, doing: what };
  }

  /** @throws ApartError E_APART_LOST if another process has taken the place; what a sign of life failed with */
  async check(): Promise<void> {
    await this.#beating;
    if (this.#failure === undefined) await this.#own();
    if (this.#failure !== undefined) throw this.#failure;
  }

  async release(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#beating;
    const now = await holderOf(this.#place);
    if (now?.token === this.#holder.token) await rm(join(this.#place, "lock.json"), { force: true });
  }

  #next(): void {
    this.#timer = setTimeout(() => {
      this.#beating = this.#again().catch((error) => {
        this.#failure ??= error;
      });
      void this.#beating.then(() => {
        if (this.#timer !== undefined && this.#failure === undefined) this.#next();
      });
    }, this.#beat * 1000);
    this.#timer.unref();
  }

  async #again(): Promise<void> {
    await this.#own();
    this.#holder = { ...this.#holder, beats: this.#holder.beats + 1 };
    const path = join(this.#place, "lock.json");
    const partial = `${path}.${process.pid}.partial`;
    await writeFile(partial, JSON.stringify(this.#holder));
    await rename(partial, path);
  }

  async #own(): Promise<void> {
    const now = await holderOf(this.#place);
    if (now?.token === this.#holder.token) return;
    throw new ApartError({
      code: "E_APART_LOST",
      message: `${this.#place} is no longer this process's: ${now === undefined ? "its lock is gone" : `process ${now.pid} on ${now.host} has taken it`}.`,
      hint: "a process that stood still for long was taken for dead; let the other one go on.",
      facts: { place: this.#place },
    });
  }
}

/** False if there is one already. */
async function created(path: string, holder: Holder): Promise<boolean> {
  try {
    const file = await open(path, "wx");
    await file.writeFile(JSON.stringify(holder)).finally(() => file.close());
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Returns once the holder is known to be dead. */
async function refuseLiving(place: string, beat: number): Promise<void> {
  const before = await holderOf(place);
  if (before !== undefined && before.host === hostname() && isGone(before.pid)) return;
  for (let i = 0; i < silentBeats; i++) {
    await sleep(beat * 1000);
    const now = await holderOf(place);
    if (now === undefined) continue;
    if (now.token === before?.token && now.beats === before.beats) continue;
    throw new ApartError({
      code: "E_APART_LOCKED",
      message: `Process ${now.pid} on ${now.host} is at work in ${place} (it ${now.doing}).`,
      hint: "let it go on, or end it first.",
      facts: { place, pid: now.pid, host: now.host },
    });
  }
}

/** A number that nobody has; one that somebody has may be another process, which only the beats can tell. */
function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
