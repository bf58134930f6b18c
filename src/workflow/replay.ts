/**
 * @file Replay: the workflow's function runs again, and every effect is answered from the recorded trajectory. No model,
 * no tool, no waiting. Whatever comes out differently is an error that names the first difference.
 */

import { isDeepStrictEqual } from "node:util";
import { systemClock } from "./clock.ts";
import { describeRequest, effectsOf, requestOf } from "./effect.ts";
import { execute } from "./episode.ts";
import { type EpisodeError, ReplayDivergenceError } from "./errors.ts";
import { type HiddenInput, watchHiddenInputs } from "./hidden-inputs.ts";
import { jsonText } from "./json-value.ts";
import { RecordedEffects } from "./recorded-effects.ts";
import type { EpisodeLimits } from "./runtime.ts";
import type { RewardRecord, Trajectory } from "./trajectory.ts";
import type { Workflow } from "./workflow.ts";

export interface ReplayOptions<Task> {
  readonly workflow: Workflow<Task>;
  /** What to replay: of this process, or read back with `readTrajectory`. */
  readonly trajectory: Trajectory;
  readonly limits?: EpisodeLimits;
  /** Seconds after which a replay that does not end is given up. Default 10. */
  readonly seconds?: number;
}

/**
 * Replays an episode that ended (complete or failed) and compares: requests, result, failure and the rewards that the
 * workflow gave itself.
 *
 * @returns the replayed trajectory, with the recorded times.
 * @throws ReplayDivergenceError naming the first effect that differs; uses of Math.random and of the clock are listed.
 * @example
 * const trajectory = readTrajectory(line);
 * await replayEpisode({ workflow: atlas, trajectory });
 */
export async function replayEpisode<Task>(options: ReplayOptions<Task>): Promise<Trajectory> {
  const { trajectory } = options;
  if (trajectory.status === "cancelled") {
    throw new ReplayDivergenceError({
      boundary: "workflow",
      code: "E_REPLAY_CANCELLED",
      message: `Episode ${trajectory.id} was stopped before its end, so there is no end to replay.`,
      hint: "fork it at a call to go on from there.",
    });
  }
  const { replayed, difference } = await attempt(options);
  if (difference === undefined)
    return { ...replayed, seconds: trajectory.seconds, children: trajectory.children };
  // Once more, watched: watching slows every promise of the process, so only a difference pays for it.
  const { value, uses } = await watchHiddenInputs(() => attempt(options));
  throw explained(value.difference ?? difference, uses);
}

async function attempt<Task>({ workflow, trajectory, limits, seconds = 10 }: ReplayOptions<Task>): Promise<{
  readonly replayed: Trajectory;
  readonly difference: EpisodeError | undefined;
}> {
  const recorded = new RecordedEffects(effectsOf(trajectory), "diverges", systemClock);
  const { trajectory: replayed, runtime } = await execute({
    workflow,
    task: trajectory.task,
    stage: trajectory.stage,
    identity: trajectory.identity,
    seed: trajectory.seed,
    forks: trajectory.forks,
    participants: undefined,
    recorded,
    needsReward: false,
    settings: { deadlines: { episode: seconds }, ...(limits === undefined ? {} : { limits }) },
    signal: undefined,
    onEffect: undefined,
  });
  const difference =
    runtime.fatal instanceof ReplayDivergenceError
      ? runtime.fatal
      : (leftOver(recorded, trajectory, replayed) ?? endingDifference(trajectory, replayed));
  return { replayed, difference };
}

/** Effects that the recorded episode had and the replay did not ask for. */
function leftOver(
  recorded: RecordedEffects,
  trajectory: Trajectory,
  replayed: Trajectory,
): ReplayDivergenceError | undefined {
  const [first] = recorded.untaken().sort((left, right) => left.record.issued - right.record.issued);
  const [draw] = recorded.untakenDraws();
  if (first === undefined && draw === undefined) return undefined;
  const what =
    first === undefined
      ? `a ${draw!.kind === "random" ? "random number" : "time"} (effect ${draw!.issued})`
      : `effect ${first.record.issued}, ${describeRequest(requestOf(first))}`;
  return diverged(
    `The replay of episode ${trajectory.id} ended${replayed.failure === undefined ? "" : ` with ${replayed.failure.code} (${replayed.failure.message})`} without asking for ${what}, as the recorded episode did.`,
  );
}

function endingDifference(recorded: Trajectory, replayed: Trajectory): ReplayDivergenceError | undefined {
  const place = `The replay of episode ${recorded.id}`;
  // A bad or missing reward is found after the workflow has ended, and not every replay checks for it.
  const known = recorded.failure?.boundary === "reward" ? undefined : recorded.failure;
  if (replayed.failure?.boundary !== "reward" && known?.code !== replayed.failure?.code) {
    const ending = ({ failure }: Pick<Trajectory, "failure">) =>
      failure === undefined ? "completes" : `fails with ${failure.code} (${failure.message})`;
    return diverged(
      `${place} ${ending(replayed)}; the recorded episode ${ending({ ...(known === undefined ? {} : { failure: known }) })}.`,
    );
  }
  if (jsonText(recorded.result) !== jsonText(replayed.result) && known === undefined) {
    return diverged(
      `${place} returns ${shorten(jsonText(replayed.result))}; recorded is ${shorten(jsonText(recorded.result))}.`,
    );
  }
  // Terms that were added after the episode had ended come behind those of the workflow.
  const own = recorded.rewards.slice(0, recorded.ownRewards);
  const longer = own.length > replayed.rewards.length ? own : replayed.rewards;
  const at = longer.findIndex((_, i) => !isDeepStrictEqual(plain(replayed.rewards[i]), plain(own[i])));
  if (at < 0) return undefined;
  const describe = (term: RewardRecord | undefined) =>
    term === undefined ? "nothing" : `"${term.name}" ${term.value}`;
  return diverged(
    `${place} gives reward ${describe(replayed.rewards[at])}; recorded is ${describe(own[at])}.`,
  );
}

const plain = (term: RewardRecord | undefined) => (term === undefined ? undefined : { ...term });

const shorten = (text: string) => (text.length <= 120 ? text : `${text.slice(0, 120)} …`);

function diverged(message: string): ReplayDivergenceError {
  return new ReplayDivergenceError({
    boundary: "workflow",
    code: "E_REPLAY_DIVERGED",
    message,
    hint: "the workflow has changed since the episode was recorded, or it depends on something outside its context.",
  });
}

/** A difference together with what most likely made it. */
function explained(error: EpisodeError, uses: readonly HiddenInput[]): EpisodeError {
  if (uses.length === 0) return error;
  const list = uses.map(({ what, where }) => `${what} at ${where}`).join("; ");
  return new ReplayDivergenceError({
    boundary: "workflow",
    code: error.code,
    message: `${error.message.split("\n  Try: ")[0]} The workflow used ${list}.`,
    hint: "use ctx.random instead of Math.random and ctx.now() instead of the clock: both are recorded.",
    facts: { ...error.facts, uses },
  });
}
