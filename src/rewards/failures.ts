/** @file What goes wrong with a reward, as typed failures that name the term, the episode and its task. */

import { TroupeError } from "../errors.ts";
import { systemClock } from "../workflow/clock.ts";
import type { EpisodeFailure } from "../workflow/errors.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import type { RewardContext, ScoredEpisode } from "./reward.ts";

/** Seconds. Twice what a call may take: a judge may be asked twice. */
const defaultDeadline = 300;

type Place = Pick<Trajectory, "id" | "workflow" | "identity">;

const describe = (term: string, { id, workflow, identity }: Place) =>
  `Reward "${term}" of episode ${id} (task ${identity.task} of workflow "${workflow}")`;

/** A failure at the boundary "reward". `says` goes on from `Reward "f1" of episode … `. */
export function rewardFailure(
  term: string,
  place: Place,
  facts: {
    readonly code: string;
    readonly says: string;
    readonly hint?: string;
    readonly cause?: string | undefined;
  },
): EpisodeFailure {
  const { code, says, hint, cause } = facts;
  return {
    boundary: "reward",
    code,
    message: `${describe(term, place)} ${says}`,
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause }),
  };
}

/** A function of the user's threw: the first line of its stack says where. */
export function threw(term: string, place: Place, error: unknown): EpisodeFailure {
  const original = error instanceof Error ? error : undefined;
  const where = original?.stack?.split("\n").find((line) => line.trimStart().startsWith("at "));
  const said = (original?.message ?? String(error)).split("\n  Try: ")[0]!;
  return rewardFailure(term, place, {
    code: TroupeError.is(error) ? error.code : "E_REWARD_THREW",
    says: `${TroupeError.is(error) ? "failed" : "threw"}: ${said}${where === undefined || TroupeError.is(error) ? "" : ` (${where.trim()})`}`,
    hint:
      (TroupeError.is(error) ? error.hint : undefined) ??
      "correct the scoring function; an episode whose reward is unknown is left out, not scored as 0.",
    cause: said,
  });
}

/** Undefined if `value` is a reward; else what is wrong with it. */
export function faultOf(term: string, place: Place, value: unknown, what = ""): EpisodeFailure | undefined {
  if (typeof value === "number" && Number.isFinite(value)) return undefined;
  if (value === undefined || value === null) {
    return rewardFailure(term, place, {
      code: "E_REWARD_MISSING",
      says: `is missing${what}: the function returned ${value}.`,
      hint: "return a number on every path; a missing reward is not taken for a zero.",
    });
  }
  return rewardFailure(term, place, {
    code: "E_REWARD_NOT_FINITE",
    says: `is ${typeof value === "number" ? value : `a ${typeof value}`}${what}, not a finite number.`,
    hint: "check the scoring function for divisions by zero and for missing answers.",
  });
}

export const isFailed = (scored: ScoredEpisode): scored is { readonly failure: EpisodeFailure } =>
  "failure" in scored;

class RewardDeadline extends TroupeError {}

/**
 * Runs a function of the user's under the context's deadline and signal, so that a function that never answers holds up
 * nobody. What it does after that is ignored.
 */
export async function underDeadline<Value>(
  { deadline = defaultDeadline, clock = systemClock, signal }: RewardContext,
  work: () => Value | Promise<Value>,
): Promise<Value> {
  signal?.throwIfAborted();
  const answer = work();
  if (!isPromise(answer)) return answer;
  return new Promise((resolve, reject) => {
    const onAbort = () => end(() => reject(signal?.reason));
    const timer = Number.isFinite(deadline)
      ? clock.after(deadline * 1000, () => end(() => reject(late(deadline))))
      : undefined;
    const end = (settle: () => void) => {
      timer?.cancel();
      signal?.removeEventListener("abort", onAbort);
      settle();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    answer.then(
      (value) => end(() => resolve(value)),
      (error) => end(() => reject(error)),
    );
  });
}

const isPromise = <Value>(value: Value | Promise<Value>): value is Promise<Value> =>
  typeof value === "object" && value !== null && "then" in value;

const late = (seconds: number) =>
  new RewardDeadline({
    code: "E_REWARD_DEADLINE",
    message: `no answer after ${seconds} s`,
    hint: "make it faster, or raise the deadline of rewards.",
  });
