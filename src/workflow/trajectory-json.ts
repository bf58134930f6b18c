/** @file Trajectories as JSON lines, schema "troupe.episode/1". Ids and log-probs survive exactly (float32 in 9 digits). */

import type { CallRecord, Trajectory } from "./trajectory.ts";

export const episodeSchema = "troupe.episode/1";

/** float32 → the shortest decimal that reads back to the same float32. JSON has no −∞: that becomes null. */
const exact = (values: Float32Array) => Array.from(values, (value) => Number(value.toPrecision(9)));

const seconds = (value: number) => Math.round(value * 1e4) / 1e4;

function callJson({ prompt, output, logprobs, plainLogprobs, mask, ...rest }: CallRecord): unknown {
  return {
    ...rest,
    startedAt: seconds(rest.startedAt),
    seconds: seconds(rest.seconds),
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
  return JSON.stringify({
    schema: episodeSchema,
    ...trajectory,
    seconds: seconds(trajectory.seconds),
    calls: trajectory.calls.map(callJson),
    tools: trajectory.tools.map((tool) => ({
      ...tool,
      startedAt: seconds(tool.startedAt),
      seconds: seconds(tool.seconds),
    })),
    ...extra,
  });
}
