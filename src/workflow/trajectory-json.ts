/**
 * @file Trajectories as JSON lines, schema "troupe.episode/2", written and read. Ids and log-probs survive exactly
 * (float32 in 9 digits). Described in docs/episode-schema.md.
 */

import { TroupeError } from "../errors.ts";
import { jsonText } from "./json-value.ts";
import type { CallRecord, Trajectory } from "./trajectory.ts";

export const episodeSchema = "troupe.episode/2";

/** A line that is no trajectory. */
export class EpisodeLineError extends TroupeError {}

/** float32 → the shortest decimal that reads back to the same float32. JSON has no −∞: that becomes null. */
const exact = (values: Float32Array) => Array.from(values, (value) => Number(value.toPrecision(9)));

const seconds = (value: number) => Math.round(value * 1e4) / 1e4;

const timed = <R extends { readonly startedAt: number; readonly seconds: number }>(record: R) => ({
  ...record,
  startedAt: seconds(record.startedAt),
  seconds: seconds(record.seconds),
});

function callJson(call: CallRecord): unknown {
  const { prompt, output, logprobs, plainLogprobs, mask } = call;
  return {
    ...timed(call),
    prompt: Array.from(prompt),
    output: Array.from(output),
    logprobs: exact(logprobs),
    plainLogprobs: exact(plainLogprobs),
    mask: Array.from(mask),
  };
}

/** One line, without the line break. `extra` fields (advantages) go beside the record. */
export function trajectoryLine(
  trajectory: Trajectory,
  extra: Readonly<Record<string, unknown>> = {},
): string {
  const { calls, tools, children, memory } = trajectory;
  const line = {
    schema: episodeSchema,
    ...trajectory,
    seconds: seconds(trajectory.seconds),
    calls: calls.map(callJson),
    tools: tools.map(timed),
    children: children.map(timed),
    memory: memory.map(timed),
    ...extra,
  };
  try {
    return JSON.stringify(line);
  } catch {
    // A result or a parsed value of user code that JSON cannot hold must not cost the run its episode.
    return JSON.stringify({
      ...line,
      task: shown(line.task),
      result: shown(line.result),
      calls: calls.map((call) => callJson({ ...call, ...shownParse(call) })),
    });
  }
}

const shown = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(jsonText(value)));

const shownParse = ({ parse }: CallRecord): Pick<CallRecord, "parse"> =>
  parse?.ok === true ? { parse: { ok: true, value: shown(parse.value) } } : {};

type CallJson = Omit<CallRecord, "prompt" | "output" | "logprobs" | "plainLogprobs" | "mask"> & {
  readonly prompt: readonly number[];
  readonly output: readonly number[];
  readonly logprobs: readonly (number | null)[];
  readonly plainLogprobs: readonly (number | null)[];
  readonly mask: readonly number[];
};

const floats = (values: readonly (number | null)[]) =>
  Float32Array.from(values, (value) => value ?? Number.NEGATIVE_INFINITY);

/**
 * Reads one line back. Fields that stood beside the record (advantages) stay on it.
 * @throws EpisodeLineError if it is no JSON, of another schema, or incomplete.
 */
export function readTrajectory(line: string): Trajectory & Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw refuse(`is not JSON (${error instanceof Error ? error.message : String(error)})`);
  }
  if (typeof value !== "object" || value === null) throw refuse("is not an object");
  const { schema, ...rest } = value as Record<string, unknown>;
  if (schema !== episodeSchema)
    throw refuse(`has schema ${JSON.stringify(schema ?? null)}; this version reads ${episodeSchema}`);
  for (const name of ["calls", "tools", "children", "memory", "draws", "rewards", "forks"]) {
    if (!Array.isArray(rest[name])) throw refuse(`has no list "${name}"`);
  }
  // The writer is `trajectoryLine` above; the lists were checked.
  const record = rest as unknown as Omit<Trajectory, "calls"> & { readonly calls: readonly CallJson[] };
  return {
    ...rest,
    ...record,
    calls: record.calls.map(
      (call): CallRecord => ({
        ...call,
        prompt: Int32Array.from(call.prompt),
        output: Int32Array.from(call.output),
        logprobs: floats(call.logprobs),
        plainLogprobs: floats(call.plainLogprobs),
        mask: Uint8Array.from(call.mask),
      }),
    ),
  };
}

function refuse(what: string): EpisodeLineError {
  return new EpisodeLineError({
    code: "E_EPISODE_LINE",
    message: `The line ${what}, so it is not a recorded episode.`,
    hint: "pass a line of a file in the run's episodes/ folder.",
  });
}
