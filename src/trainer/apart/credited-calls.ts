/**
 * @file One policy's credited calls of one step as a file: a head, then one frame a call, each with its checksum. A call
 * is written with a trajectory that has nothing else in it, so that a policy's trainer reads its own calls alone.
 */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { z } from "zod";
import type { RewardedCall } from "../../methods/method.ts";
import { FramedLog, readFrames } from "../../store/framed-log.ts";
import { readTrajectory, trajectoryLine } from "../../workflow/trajectory-json.ts";
import type { CreditedCall } from "../credit-groups.ts";
import { ApartError } from "./errors.ts";

const headShape = z.strictObject({
  schema: z.literal("troupe.credited-calls/1"),
  policy: z.string(),
  step: z.int().min(1),
  /** The policy's version that the step was sampled with. */
  version: z.int().min(0),
  calls: z.int().min(0),
});
export type CallsHead = Omit<z.infer<typeof headShape>, "schema" | "calls">;

const callShape = z.strictObject({
  trajectory: z.string(),
  advantage: z.number(),
  link: z.string().optional(),
  recalled: z.literal(true).optional(),
  carried: z.literal(true).optional(),
  given: z.enum(["with log-probs", "without log-probs"]).optional(),
  told: z
    .strictObject({ task: z.string(), dataset: z.string(), rewarded: z.record(z.string(), z.unknown()) })
    .optional(),
});

/** Writes a new file; it is not flushed. @throws StoreError */
export async function writeCalls(
  path: string,
  head: CallsHead,
  calls: readonly CreditedCall[],
): Promise<void> {
  const { log } = await FramedLog.open(path);
  const append = (value: unknown) => log.append(Buffer.from(JSON.stringify(value)));
  append({ schema: "troupe.credited-calls/1", ...head, calls: calls.length });
  for (const { trajectory, call, ...rest } of calls) {
    const alone = {
      ...trajectory,
      calls: [call],
      tools: [],
      children: [],
      memory: [],
      draws: [],
      rewards: [],
    };
    append({ trajectory: trajectoryLine(alone), ...rest });
  }
  try {
    await log.flush();
  } finally {
    await log.close();
  }
}

/** @throws ApartError E_APART_DAMAGED */
export async function readCalls(
  path: string,
): Promise<{ readonly head: CallsHead; readonly calls: readonly CreditedCall[] }> {
  const bytes = await readFile(path).catch((cause) => {
    throw damaged(path, "it cannot be read", cause);
  });
  const { payloads, end, damaged: torn } = readFrames(bytes);
  if (torn.length > 0 || end !== bytes.length) throw damaged(path, "a checksum does not hold");
  try {
    const [first, ...rest] = payloads.map((payload) => JSON.parse(payload.toString("utf8")) as unknown);
    const { schema: _, calls, ...head } = headShape.parse(first);
    if (rest.length !== calls) throw damaged(path, `it has ${rest.length} of ${calls} calls`);
    return { head, calls: rest.map((value) => creditedCall(callShape.parse(value))) };
  } catch (cause) {
    throw cause instanceof ApartError ? cause : damaged(path, "it is of another form", cause);
  }
}

function creditedCall({
  trajectory: line,
  advantage,
  link,
  recalled,
  carried,
  given,
  told,
}: z.infer<typeof callShape>): CreditedCall {
  const trajectory = readTrajectory(line);
  return {
    trajectory,
    call: trajectory.calls[0]!,
    advantage,
    ...(link === undefined ? {} : { link }),
    ...(recalled === undefined ? {} : { recalled }),
    ...(carried === undefined ? {} : { carried }),
    ...(given === undefined ? {} : { given }),
    // It was a call's when it was written.
    ...(told === undefined ? {} : { told: { ...told, rewarded: told.rewarded as unknown as RewardedCall } }),
  };
}

/** sha256 of what calls teach: which they are, their tokens, their advantages. Not how long they took. */
export function callsDigest(calls: readonly CreditedCall[]): string {
  const hash = createHash("sha256");
  for (const { trajectory, call, advantage, link } of calls) {
    hash.update(`${trajectory.id}#${call.id} ${call.policy} ${advantage} ${link ?? ""}\n`);
    hash.update(call.prompt).update(call.output).update(call.logprobs);
  }
  return hash.digest("hex");
}

function damaged(path: string, what: string, cause?: unknown): ApartError {
  return new ApartError({
    code: "E_APART_DAMAGED",
    message: `${path} is not what was written: ${what}.`,
    hint: "look at the disk; begin anew with another store if the file cannot be had again.",
    cause,
    facts: { path },
  });
}
