/**
 * @file The run's journal: every settled effect of every episode, and each episode's end, as they happen. After a crash
 * an episode that had ended is taken as it was, and one in flight goes on from its recorded effects. One file a step,
 * `journal/000012.log`; those up to a checkpoint's step are not needed any more and go when it is in place.
 *
 * Frames hold structured clones (node:v8), so ids, log-probs and texts come back to the bit.
 */

import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import type { Effect } from "../workflow/effect.ts";
import { jsonCopy } from "../workflow/json-value.ts";
import {
  type CallRecord,
  type EpisodeIdentity,
  episodeId,
  type ForkPoint,
  type MemoryRecord,
  type ToolRecord,
  type Trajectory,
} from "../workflow/trajectory.ts";
import { crashPoint } from "./crash-point.ts";
import { writeFault } from "./errors.ts";
import { type AppendFile, FramedLog } from "./framed-log.ts";

/** In the place of a record: the index of the episode's effect that holds it. */
type Stored<R> = number | R;

type StoredEpisode = Omit<Trajectory, "task" | "calls" | "tools" | "memory"> & {
  readonly calls: readonly Stored<CallRecord>[];
  readonly tools: readonly Stored<ToolRecord>[];
  readonly memory: readonly Stored<MemoryRecord>[];
};

type Frame =
  | { readonly id: string; readonly effect: Effect }
  | { readonly id: string; readonly end: StoredEpisode }
  /** What was recorded of the episode so far does not hold any more. */
  | { readonly id: string; readonly anew: true };

interface Known {
  effects: Effect[];
  end: StoredEpisode | undefined;
}

export interface EffectJournalOptions {
  /** Hears of damaged files. */
  readonly warn?: (text: string) => void;
  readonly openFile?: (path: string) => Promise<AppendFile>;
}

export class EffectJournal {
  readonly #folder: string;
  readonly #options: EffectJournalOptions;
  readonly #steps = new Map<number, Promise<StepJournal>>();

  /** `folder` is made with the first episode. */
  constructor(folder: string, options: EffectJournalOptions = {}) {
    this.#folder = folder;
    this.#options = options;
  }

  /** The journal of one episode, or of a branch; reads the step's file when it is the step's first. @throws StoreError */
  async episode(identity: EpisodeIdentity, forks: readonly ForkPoint[] = []): Promise<EpisodeJournal> {
    let step = this.#steps.get(identity.step);
    if (step === undefined) {
      step = this.#open(identity.step);
      this.#steps.set(identity.step, step);
    }
    const { log, known } = await step;
    const id = episodeId(identity, forks);
    const found = known.get(id);
    known.delete(id);
    return new EpisodeJournal(id, log, found);
  }

  /** Resolves once all effects recorded so far are written. @throws StoreError if one could not be. */
  async flush(): Promise<void> {
    for (const step of this.#steps.values()) await (await step).log.flush();
  }

  /** The checkpoint of `step` is in place: closes and removes the files of that step and earlier ones. */
  async forget(step: number): Promise<void> {
    for (const [number, opened] of this.#steps) {
      if (number > step) continue;
      this.#steps.delete(number);
      await (await opened).log.close();
    }
    for (const name of await readdir(this.#folder).catch(() => [])) {
      if (/^\d+\.log$/.test(name) && Number.parseInt(name, 10) <= step)
        await rm(join(this.#folder, name), { force: true });
    }
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#steps.values());
    this.#steps.clear();
    for (const step of opened) if (step.status === "fulfilled") await step.value.log.close();
  }

  async #open(step: number): Promise<StepJournal> {
    const path = join(this.#folder, `${String(step).padStart(6, "0")}.log`);
    await mkdir(this.#folder, { recursive: true }).catch((cause) => {
      throw writeFault(this.#folder, cause);
    });
    const { log, read } = await FramedLog.open(path, this.#options.openFile);
    for (const { offset, bytes } of read.damaged) {
      this.#options.warn?.(
        `${path}: ${bytes} bytes at ${offset} are damaged; the episodes recorded there are sampled again.`,
      );
    }
    return { log, known: knownEpisodes(read.payloads) };
  }
}

interface StepJournal {
  readonly log: FramedLog;
  readonly known: Map<string, Known>;
}

/** What is recorded of one episode, and where its further effects go. */
export class EpisodeJournal {
  /** Effects of earlier attempts, in the order of their settling. */
  readonly effects: readonly Effect[];
  /** The whole episode, if it had ended; its task is that of `restored`. */
  readonly #end: StoredEpisode | undefined;
  readonly #id: string;
  readonly #log: FramedLog;
  /** Record → its index among the recorded effects. */
  readonly #indices = new Map<object, number>();

  constructor(id: string, log: FramedLog, known: Known | undefined) {
    this.#id = id;
    this.#log = log;
    this.effects = known?.effects ?? [];
    this.#end = known?.end;
    for (const { record } of this.effects) this.#indices.set(record, this.#indices.size);
  }

  /** The episode as it ended, or undefined if it had not. */
  restored(task: unknown): Trajectory | undefined {
    const end = this.#end;
    if (end === undefined) return undefined;
    const stored = <R>(items: readonly Stored<R>[]): readonly R[] =>
      // An index was written for an effect of the same kind.
      items.map((item) => (typeof item === "number" ? (this.effects[item]!.record as R) : item));
    return {
      ...end,
      task,
      calls: stored(end.calls),
      tools: stored(end.tools),
      memory: stored(end.memory),
    };
  }

  /** Drops what is recorded: it belongs to other weights. */
  anew(): void {
    if (this.effects.length === 0 && this.#end === undefined) return;
    this.#append({ id: this.#id, anew: true });
    this.#indices.clear();
  }

  record(effect: Effect): void {
    const written =
      this.#append({ id: this.#id, effect }) || this.#append({ id: this.#id, effect: withoutParse(effect) });
    if (written) this.#indices.set(effect.record, this.#indices.size);
  }

  /** Records the end. One that cannot be restored as it is (a result of a class) is run again from its effects. */
  end(trajectory: Trajectory): void {
    if (isPlain(trajectory)) {
      const { task: _, ...rest } = trajectory;
      const stored = <R extends object>(records: readonly R[]): readonly Stored<R>[] =>
        records.map((record) => this.#indices.get(record) ?? record);
      const { calls, tools, memory } = trajectory;
      this.#append({
        id: this.#id,
        end: { ...rest, calls: stored(calls), tools: stored(tools), memory: stored(memory) },
      });
    }
    crashPoint("episode ended");
  }

  /** False if structured clone cannot hold it. */
  #append(frame: Frame): boolean {
    let payload: Buffer;
    try {
      payload = serialize(frame);
    } catch {
      return false;
    }
    this.#log.append(payload);
    return true;
  }
}

/** A parsed value of any kind; recovery parses the text again. */
function withoutParse(effect: Effect): Effect {
  if (effect.kind !== "call" || effect.record.parse?.ok !== true) return effect;
  return { ...effect, record: { ...effect.record, parse: { ok: true, value: undefined } } };
}

/** True if what user code made of the episode survives being written down: JSON, not instances of classes. */
function isPlain({ result, calls, children }: Trajectory): boolean {
  try {
    jsonCopy(result);
    for (const { parse } of calls) if (parse?.ok === true) jsonCopy(parse.value);
    for (const child of children) {
      jsonCopy(child.task);
      jsonCopy(child.result);
    }
    return true;
  } catch {
    return false;
  }
}

function knownEpisodes(payloads: readonly Buffer[]): Map<string, Known> {
  const episodes = new Map<string, Known>();
  for (const payload of payloads) {
    // The writer is `EpisodeJournal` above, and the checksum held.
    const frame = deserialize(payload) as Frame;
    let known = episodes.get(frame.id);
    if (known === undefined || "anew" in frame) {
      known = { effects: [], end: undefined };
      episodes.set(frame.id, known);
    }
    if ("effect" in frame) known.effects.push(ownArrays(frame.effect));
    else if ("end" in frame) known.end = { ...frame.end, calls: frame.end.calls.map(ownCall) };
  }
  return episodes;
}

function ownArrays(effect: Effect): Effect {
  return effect.kind === "call" ? { ...effect, record: ownRecord(effect.record) } : effect;
}

const ownCall = (call: Stored<CallRecord>): Stored<CallRecord> =>
  typeof call === "number" ? call : ownRecord(call);

/** Deserialised arrays are views of the file's bytes, which must not stay in memory, let alone go to another thread. */
function ownRecord(call: CallRecord): CallRecord {
  return {
    ...call,
    prompt: call.prompt.slice(),
    output: call.output.slice(),
    logprobs: call.logprobs.slice(),
    plainLogprobs: call.plainLogprobs.slice(),
    mask: call.mask.slice(),
  };
}
