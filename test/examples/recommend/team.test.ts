import { describe, expect, it } from "vitest";
import { recommenderPrompt } from "../../../examples/recommend/prompts.ts";
import { experts, letters, recommendTasks } from "../../../examples/recommend/tasks.ts";
import { metrics, promptWithout, questionOf, recommend } from "../../../examples/recommend/team.ts";
import type { AnyPolicy } from "../../../src/engine/policy.ts";
import { runEpisode, scriptedPolicy, trajectoryReward } from "../../../src/index.ts";

const tasks = recommendTasks("test", 8, 1);

async function episode(place: number, answers: Readonly<Record<string, (prompt: string) => string>>) {
  const policies = new Map<string, AnyPolicy>();
  for (const [name, answer] of Object.entries(answers))
    policies.set(name, await scriptedPolicy({ answer }).open({ name, seed: 1 }));
  const trajectory = await runEpisode({
    workflow: recommend,
    task: tasks[place]!,
    policies,
    assignment: new Map(Object.keys(answers).map((name) => [name, name])),
    stage: "evaluate",
    identity: { purpose: "test", step: 0, group: 0, task: place, sample: 0 },
    seed: 1,
  });
  return { trajectory, task: tasks[place]!, result: trajectory.result, reward: trajectoryReward(trajectory) };
}

describe("recommend", () => {
  it("gives the recommender the aligner's line, and returns what rewards need", async () => {
    const finished = await episode(1, {
      selector: () => "triples",
      aligner: (prompt) => ` ${prompt.split("\nFacts: ")[1]!.split(";")[0]!}`,
      recommender: (prompt) => {
        const lines = prompt.split("\n");
        const asked = lines.pop()!;
        return lines.find((line) => asked.endsWith(` ${line.slice(0, -1)}`))!.at(-1)!;
      },
    });
    expect(finished.trajectory.failure).toBeUndefined();
    expect(finished.result).toMatchObject({ expert: "triples", triples: 3, answer: tasks[1]!.answer });
    expect(metrics.accuracy(finished)).toBe(1);
    expect(metrics.named(finished)).toBe(1);
    expect(metrics.needed(finished)).toBe(1);
    expect(questionOf(finished.result)).toEqual({ options: letters, answer: tasks[1]!.answer, expert: 2 });
  });

  it("asks no aligner where nothing was retrieved, and then reads what the baseline reads", async () => {
    let read = "";
    const finished = await episode(1, {
      selector: () => "none",
      aligner: () => "never",
      recommender: (prompt) => {
        read = prompt;
        return "?";
      },
    });
    expect(finished.trajectory.calls.map(({ agent }) => agent)).toEqual(["selector", "recommender"]);
    expect(read).toBe(promptWithout(tasks[1]!));
    expect(questionOf(finished.result).expert).toBe(1);
    expect(metrics.accuracy(finished)).toBe(0);
  });

  it("fails, typed, on an expert that is none", async () => {
    const { trajectory } = await episode(0, {
      selector: () => "all",
      aligner: () => "",
      recommender: () => "A",
    });
    expect(trajectory).toMatchObject({ status: "failed", failure: { boundary: "parser", code: "E_PARSE" } });
  });

  it("shows no agent what the task was made for", () => {
    for (const task of tasks) {
      const read = recommenderPrompt({ ...task, hint: undefined });
      expect(read).toBe(promptWithout({ ...task, need: experts[0], answer: "A" }));
    }
  });
});
