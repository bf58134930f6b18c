/** @file Finished episodes made by hand, for tests of rewards. */

import type { FinishedEpisode, RewardContext, RewardTerm } from "../../src/rewards/reward.ts";
import type { CallRecord, Trajectory } from "../../src/workflow/trajectory.ts";

export interface ToyEpisode {
  readonly result?: unknown;
  readonly task?: unknown;
  readonly calls?: readonly (Partial<CallRecord> & { readonly agent: string })[];
  readonly tools?: readonly string[];
  readonly status?: Trajectory["status"];
  readonly sample?: number;
}

export function call(id: number, facts: Partial<CallRecord> & { readonly agent: string }): CallRecord {
  const output = facts.output ?? Int32Array.of(5, 0);
  return {
    id,
    scope: "",
    issued: 2 * id,
    settled: 2 * id + 1,
    startedAt: 0,
    seconds: 0,
    status: "complete",
    occurrence: 0,
    policy: "p",
    version: 0,
    sampling: {},
    input: "prompt",
    prompt: Int32Array.of(1),
    logprobs: new Float32Array(output.length),
    plainLogprobs: new Float32Array(output.length),
    mask: new Uint8Array(output.length).fill(1),
    text: "",
    origin: "sampled",
    ...facts,
    output,
  };
}

export function trajectory(toy: ToyEpisode = {}): Trajectory {
  const { result = "x", task = {}, calls = [], tools = [], status = "complete", sample = 0 } = toy;
  return {
    id: `train/000001/000/${String(sample).padStart(2, "0")}`,
    workflow: "toy",
    stage: "train",
    identity: { purpose: "train", step: 1, group: 0, task: 17, sample },
    seed: 0,
    forks: [],
    task,
    status,
    result,
    calls: calls.map((facts, id) => call(id, facts)),
    tools: tools.map((tool, id) => ({
      id,
      scope: "",
      issued: 100 + 2 * id,
      settled: 101 + 2 * id,
      startedAt: 0,
      seconds: 0,
      status: "complete" as const,
      tool,
      occurrence: id,
      input: {},
      output: {},
    })),
    children: [],
    memory: [],
    draws: [],
    rewards: [],
    seconds: 0,
  };
}

export const episode = (toy: ToyEpisode = {}): FinishedEpisode => {
  const made = trajectory(toy);
  return { task: made.task, result: made.result, trajectory: made };
};

/** Episodes whose results are the values. */
export const episodes = (...results: readonly unknown[]): FinishedEpisode[] =>
  results.map((result, sample) => episode({ result, sample }));

export const context: RewardContext = { step: 1, seed: 7, stage: "train" };

/** What a term makes of each episode: the total of what counts, or the code of the failure. */
export async function totals(
  term: RewardTerm,
  group: readonly FinishedEpisode[],
  given: RewardContext = context,
): Promise<(number | string)[]> {
  const scored = await term.score(group, given);
  return scored.map((one) =>
    "failure" in one
      ? one.failure.code
      : one.rewards.reduce((sum, { value, logged }) => (logged === true ? sum : sum + value), 0),
  );
}
