/**
 * @file Calls that wait until their policy has enough of them. A search gives policies unequal shares, so each policy is
 * updated when its buffer holds a batch, on the largest multiple of it, and what is over waits for a later step
 * (MARTI-MARS2's buffered updates, arXiv 2602.07848; its public code throws the remainder away).
 *
 * A call that waited is compared with the log-probs of the weights that sampled it, as all calls are.
 */

import { z } from "zod";
import type { RewardedCall } from "../methods/method.ts";
import { readTrajectory, trajectoryLine } from "../workflow/trajectory-json.ts";
import type { CreditedCall } from "./credit-groups.ts";
import type { StatefulPart } from "./save-run.ts";

export type BufferSizes = number | Readonly<Record<string, number>>;

const callShape = z.strictObject({
  /** The call alone in its trajectory. */
  line: z.string(),
  advantage: z.number(),
  link: z.string().optional(),
  given: z.enum(["with log-probs", "without log-probs"]).optional(),
  recalled: z.literal(true).optional(),
  told: z
    .strictObject({ task: z.string(), dataset: z.string(), rewarded: z.record(z.string(), z.unknown()) })
    .optional(),
});
const stateShape = z.record(z.string(), z.array(callShape));

export class CallBuffer implements StatefulPart {
  readonly #sizes: BufferSizes;
  #waiting = new Map<string, readonly CreditedCall[]>();

  constructor(sizes: BufferSizes) {
    this.#sizes = sizes;
  }

  /** How many calls of a policy wait. */
  waiting(policy: string): number {
    return this.#waiting.get(policy)?.length ?? 0;
  }

  /** Takes in a step's calls of a policy, and gives those that it is updated with now, oldest first. */
  take(policy: string, calls: readonly CreditedCall[]): readonly CreditedCall[] {
    const size = typeof this.#sizes === "number" ? this.#sizes : (this.#sizes[policy] ?? 0);
    if (size === 0) return calls;
    const all = [...(this.#waiting.get(policy) ?? []), ...calls];
    const ready = wholeLinks(all, Math.floor(all.length / size) * size);
    const rest = all.slice(ready);
    this.#waiting.set(
      policy,
      rest.map((call) => ({ ...call, carried: true })),
    );
    return all.slice(0, ready);
  }

  state(): unknown {
    return Object.fromEntries(
      [...this.#waiting].map(([policy, calls]) => [policy, calls.map((call) => stored(call))]),
    );
  }

  restore(state: unknown): void {
    this.#waiting = new Map(
      Object.entries(stateShape.parse(state)).map(([policy, calls]) => [policy, calls.map(restored)]),
    );
  }
}

/** The largest number up to `count` that cuts no link. */
function wholeLinks(calls: readonly CreditedCall[], count: number): number {
  let end = count;
  while (end > 0 && end < calls.length) {
    const before = new Set(calls.slice(0, end).flatMap(({ link }) => (link === undefined ? [] : [link])));
    if (!calls.slice(end).some(({ link }) => link !== undefined && before.has(link))) return end;
    end--;
  }
  return end;
}

function stored(source: CreditedCall): z.infer<typeof callShape> {
  const { trajectory, call, advantage, link, given, recalled, told } = source;
  const alone = { ...trajectory, calls: [call], tools: [], children: [], memory: [], draws: [], rewards: [] };
  return {
    line: trajectoryLine(alone),
    advantage,
    ...(link === undefined ? {} : { link }),
    ...(given === undefined ? {} : { given }),
    ...(recalled === undefined ? {} : { recalled }),
    ...(told === undefined ? {} : { told: { ...told, rewarded: { ...told.rewarded } } }),
  };
}

function restored({ line, advantage, link, given, recalled, told }: z.infer<typeof callShape>): CreditedCall {
  const trajectory = readTrajectory(line);
  return {
    trajectory,
    call: trajectory.calls[0]!,
    advantage,
    carried: true,
    ...(link === undefined ? {} : { link }),
    ...(given === undefined ? {} : { given }),
    ...(recalled === undefined ? {} : { recalled }),
    // It was a call's when it was written.
    ...(told === undefined ? {} : { told: { ...told, rewarded: told.rewarded as unknown as RewardedCall } }),
  };
}
