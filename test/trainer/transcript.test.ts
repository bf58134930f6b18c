/** What people read of an episode. */

import { describe, expect, test } from "vitest";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { describeEpisode } from "../../src/trainer/transcript.ts";
import { agent } from "../../src/workflow/agent.ts";
import { runEpisode } from "../../src/workflow/episode.ts";
import { type GiveReward, workflow } from "../../src/workflow/workflow.ts";

async function shown(...given: readonly Parameters<GiveReward>[]): Promise<string> {
  const say = agent("say", { prompt: () => "say" });
  const other = agent("other", { prompt: () => "other" });
  const team = workflow("team", { agents: { say, other } }, async ({ agents, reward }) => {
    await agents.say();
    await agents.other();
    for (const one of given) reward(...one);
    return "done";
  });
  const policy = await scriptedPolicy({ answer: (prompt) => `<${prompt}>` }).open({ name: "p", seed: 0 });
  const episode = await runEpisode({
    workflow: team,
    task: "t",
    policies: new Map([["p", policy]]),
    assignment: new Map([
      ["say", "p"],
      ["other", "p"],
    ]),
    stage: "train",
    identity: { purpose: "train", step: 1, group: 0, task: 0, sample: 0 },
    seed: 1,
  });
  return describeEpisode(episode);
}

describe("rewards", () => {
  test("one term stands for itself; several have a sum", async () => {
    expect(await shown([0.5])).not.toMatch(/whole|mean/);
    expect(await shown([0.5, { name: "a" }], [0.25, { name: "b" }])).toContain("whole trajectory: 0.750");
  });

  test("where only agents have one, their calls have a mean", async () => {
    const text = await shown([0.5, { agent: "say" }], [0.25, { agent: "other" }]);
    expect(text).toContain("reward of say: 0.500");
    expect(text).toContain("mean of its calls: 0.375");
    expect(text).not.toContain("whole");
  });
});

test("calls in their order, with what they said, and the result", async () => {
  const text = await shown([1]);
  expect(text.indexOf("<say>")).toBeGreaterThan(text.indexOf('task: "t"'));
  expect(text.indexOf("<other>")).toBeGreaterThan(text.indexOf("<say>"));
  expect(text).toContain("result: done");
});
