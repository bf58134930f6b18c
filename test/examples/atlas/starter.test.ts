import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { atlasTasks } from "../../../examples/atlas/tasks.ts";
import { atlas, metrics } from "../../../examples/atlas/team.ts";
import { type FrozenLocalPolicy, openLocalPolicy } from "../../../src/engine/local/index.ts";
import { runEpisode, trajectoryReward } from "../../../src/index.ts";

const folder = fileURLToPath(new URL("../../../examples/atlas/assets/atlas-small", import.meta.url));
let policy: FrozenLocalPolicy;

beforeAll(async () => {
  policy = await openLocalPolicy("small", folder, { trainable: false });
});
afterAll(() => policy.close());

it("is small enough for a repository", () => {
  const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(`${folder}/${name}`).size, 0);
  expect(bytes).toBeLessThan(8e6);
  expect(policy.parameterCount).toBeGreaterThan(0.8e6);
});

it("is right in a quarter to a half of the held-out questions, before any reinforcement learning", async () => {
  const scores = await Promise.all(
    atlasTasks("test", 120, 1).map(async (task, i) => {
      const trajectory = await runEpisode({
        workflow: atlas,
        task,
        policies: new Map([["small", policy]]),
        assignment: new Map(["planner", "reader", "answerer"].map((name) => [name, "small"])),
        stage: "evaluate",
        identity: { purpose: "test", step: 0, group: i, task: i, sample: 0 },
        seed: 1,
      });
      expect(trajectory.status).toBe("complete");
      return metrics.f1({
        task,
        trajectory,
        result: trajectory.result,
        reward: trajectoryReward(trajectory),
      });
    }),
  );
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  expect(mean).toBeGreaterThan(0.25);
  expect(mean).toBeLessThan(0.5);
});
