import { describe, expect, it } from "vitest";
import { searchWorld } from "../../../examples/atlas/prompts.ts";
import { type AtlasTask, atlasQuestions } from "../../../examples/atlas/tasks.ts";
import { atlas, metrics } from "../../../examples/atlas/team.ts";
import { type Habits, workThrough } from "../../../examples/atlas/traces.ts";
import { trueWorld } from "../../../examples/atlas/world.ts";
import { type Policy, runEpisode, scriptedPolicy, stream, trajectoryReward } from "../../../src/index.ts";

/** A policy that says what the traces of these questions say: prompts are equal to the byte, or it throws. */
async function tracedPolicy(habits: Habits, count: number) {
  const search = searchWorld(trueWorld());
  const questions = atlasQuestions("test", count, 1);
  const completions = new Map<string, string>();
  questions.forEach((question, i) => {
    for (const trace of workThrough(question, search, habits, stream("test", i)))
      completions.set(trace.prompt, trace.completion);
  });
  const answer = (prompt: string) => {
    const completion = completions.get(prompt);
    if (completion === undefined) throw new Error(`No trace has the prompt ${JSON.stringify(prompt)}.`);
    return completion;
  };
  const policy = await scriptedPolicy({ answer }).open({ name: "traced", seed: 0 });
  // Its tokens are characters, of which an output has more.
  const patient: Policy = { ...policy, sample: (request) => policy.sample({ ...request, maxTokens: 2000 }) };
  return { questions, policy: patient };
}

async function play(habits: Habits, count: number) {
  const { questions, policy } = await tracedPolicy(habits, count);
  return Promise.all(
    questions.map(async ({ kind, hops, question, answer }, i) => {
      const task: AtlasTask = { id: `${i}`, kind, hops, question, answer, world: "test" };
      const trajectory = await runEpisode({
        workflow: atlas,
        task,
        policies: new Map([["traced", policy]]),
        assignment: new Map(["planner", "reader", "answerer"].map((name) => [name, "traced"])),
        stage: "evaluate",
        identity: { purpose: "test", step: 0, group: i, task: i, sample: 0 },
        seed: 1,
      });
      return { task, trajectory };
    }),
  );
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe("the atlas team", () => {
  it("answers the test questions when its agents do what the good traces do", async () => {
    const played = await play(
      {
        planner: { hasty: 0, stepwise: 1, thorough: 0 },
        reader: { value: 1, sentence: 0 },
        answerer: { exact: 1, wordy: 0 },
      },
      200,
    );
    for (const { trajectory } of played) expect(trajectory.status).toBe("complete");
    const scores = played.map(({ task, trajectory }) => {
      const episode = { task, result: trajectory.result, reward: trajectoryReward(trajectory), trajectory };
      expect(episode.reward).toBe(metrics.f1(episode));
      return { f1: metrics.f1(episode), em: metrics.em(episode) };
    });
    expect(mean(scores.map((score) => score.f1))).toBeGreaterThan(0.98);
    expect(mean(scores.map((score) => score.em))).toBeGreaterThan(0.98);
  });

  it("scores worse, and differently, with the other habits of the traces", async () => {
    const wordy = await play(
      {
        planner: { hasty: 1, stepwise: 0, thorough: 0 },
        reader: { value: 0, sentence: 1 },
        answerer: { exact: 0, wordy: 1 },
      },
      100,
    );
    const rewards = wordy.map(({ trajectory }) => trajectoryReward(trajectory));
    expect(mean(rewards)).toBeLessThan(0.3);
    expect(mean(rewards)).toBeGreaterThan(0.02);
  });
});
