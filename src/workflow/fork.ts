/**
 * @file Fork: an episode is replayed up to one of its calls and goes on from there under new random keys. The user's
 * code is not snapshotted: it runs again, and everything that was issued before the branch point is answered from the
 * record.
 */

import type { Stage } from "./agent.ts";
import { type Clock, systemClock } from "./clock.ts";
import { describeRequest, type Effect, effectsOf, requestOf } from "./effect.ts";
import { type EpisodeOptions, type EpisodeSettings, execute } from "./episode.ts";
import { failureOf, ReplayDivergenceError, WorkflowDefinitionError } from "./errors.ts";
import { PromptCache } from "./prompt-cache.ts";
import { RecordedEffects } from "./recorded-effects.ts";
import type { CallRecord, Trajectory } from "./trajectory.ts";

export interface ForkOptions<Task>
  extends EpisodeSettings,
    Pick<
      EpisodeOptions<Task>,
      "workflow" | "policies" | "assignment" | "signal" | "needsReward" | "onEffect"
    > {
  /** The episode to branch off, ended or not. */
  readonly trajectory: Trajectory;
  /**
   * The call (its id) that is made anew; everything issued before it is replayed. The number of its calls: none is, and
   * what comes after its last call goes on from there (with a `task` that asks for more).
   */
  readonly at: number;
  /** Which branch: the same number gives the same tokens, another one others. */
  readonly branch: number;
  /** Do not sample call `at`, but put this text in its place, and go on. It is in no batch. */
  readonly edit?: { readonly text: string };
  /** Another task than the recorded one. What comes before the branch point must be the same under both. Default: the recorded one. */
  readonly task?: Task;
  /** Default: the recorded episode's. */
  readonly stage?: Stage;
}

/**
 * Branches off a recorded episode. Effects that were issued before call `at` keep their answers, also those that settled
 * later; the call itself and all that follows happen anew.
 *
 * @throws WorkflowDefinitionError if there is no such call.
 * @example
 * const other = await forkEpisode({ workflow: atlas, trajectory, at: 2, branch: 1, policies, assignment });
 */
export async function forkEpisode<Task>(options: ForkOptions<Task>): Promise<Trajectory> {
  const { workflow, trajectory, at, branch, policies, assignment, edit } = options;
  const call = trajectory.calls.find(({ id }) => id === at);
  if (call === undefined && (at !== trajectory.calls.length || edit !== undefined)) {
    throw new WorkflowDefinitionError({
      code: "E_FORK_PLACE",
      message: `Episode ${trajectory.id} has no call ${at}; it has ${trajectory.calls.length}.`,
      hint: "pass the id of one of its calls.",
      facts: { at, calls: trajectory.calls.length },
    });
  }
  const clock: Clock = options.clock ?? systemClock;
  const before = call?.issued ?? Number.POSITIVE_INFINITY;
  const put = edit && call && edited(call, edit.text, options);
  const effects = effectsOf(trajectory).map(
    (effect): Effect =>
      put !== undefined && effect.record === call ? { kind: "call", record: put } : effect,
  );
  const recorded = new RecordedEffects(
    effects,
    "happens",
    clock,
    ({ kind, record }) =>
      record === put || (record.issued < before && (kind === "draw" || record.settled >= 0)),
  );
  const forks = [...trajectory.forks, { at, branch }];
  const stage = options.stage ?? trajectory.stage;
  const { trajectory: forked } = await execute({
    workflow,
    task: options.task ?? trajectory.task,
    stage,
    identity: trajectory.identity,
    seed: trajectory.seed,
    forks,
    participants: { policies, assignment, prompts: options.prompts ?? new PromptCache() },
    recorded,
    needsReward: options.needsReward ?? stage === "train",
    settings: options,
    signal: options.signal,
    onEffect: options.onEffect,
  });
  // After the last call a longer episode may do without what the shorter one did at its end.
  return checkPrefix(recorded, forked, call?.issued ?? trajectory.calls.at(-1)?.issued ?? -1);
}

/** A prefix that was not asked for again means that the workflow does something else now. */
function checkPrefix(recorded: RecordedEffects, forked: Trajectory, upTo: number): Trajectory {
  const [missed] = recorded
    .untaken()
    .filter(({ record }) => record.issued <= upTo)
    .sort((left, right) => left.record.issued - right.record.issued);
  if (missed === undefined || forked.status === "cancelled") return forked;
  const error = new ReplayDivergenceError({
    boundary: "workflow",
    code: "E_REPLAY_DIVERGED",
    message: `Fork ${forked.id} did not ask for effect ${missed.record.issued}, ${describeRequest(requestOf(missed))}, which comes before its branch point.`,
    hint: "the workflow has changed since the episode was recorded, or it depends on something outside its context.",
  });
  const failure = failureOf(error, { workflow: forked.workflow, episode: forked.id });
  const { result: _, ...rest } = forked;
  return { ...rest, status: "failed", failure };
}

/** The call with a text put in by hand: encoded, since nobody sampled it, and masked out of training. */
function edited<Task>(call: CallRecord, text: string, { policies }: ForkOptions<Task>): CallRecord {
  const policy = policies.get(call.policy);
  const output =
    policy !== undefined && "tokenizer" in policy
      ? policy.tokenizer.encode(text, { addSpecial: false })
      : new Int32Array(0);
  const { failure: _, toolCalls: __, content: ___, ...rest } = call;
  return {
    ...rest,
    output,
    logprobs: new Float32Array(output.length),
    plainLogprobs: new Float32Array(output.length),
    mask: new Uint8Array(output.length),
    text,
    origin: "edited",
    stopReason: "end",
    parse: { ok: true, value: text },
    status: "complete",
    settled: call.settled < 0 ? Number.MAX_SAFE_INTEGER : call.settled,
  };
}
