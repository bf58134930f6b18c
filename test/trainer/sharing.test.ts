/** DESIGN §2: changing φ alone leaves trajectories and rewards unchanged. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { tabularPolicy } from "../../src/testing/index.ts";
import type { TrainSettings } from "../../src/trainer/config.ts";
import { checkConfig } from "../../src/trainer/config.ts";
import { sampleGroups } from "../../src/trainer/groups.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { type ToyTask, toyTasks, toyTeam, words } from "./toy-team.ts";

const sharings: Record<string, Record<string, string>> = {
  full: { planner: "a", answerer: "a" },
  separate: { planner: "a", answerer: "b" },
  swapped: { planner: "b", answerer: "a" },
};

async function trajectories(sharing: string, seed: number): Promise<readonly Trajectory[]> {
  const names = [...new Set(Object.values(sharings[sharing]!))];
  const settings: TrainSettings<ToyTask> = checkConfig({
    workflow: toyTeam,
    tasks: toyTasks,
    policies: Object.fromEntries(names.map((name) => [name, tabularPolicy({ words })])),
    assign: sharings[sharing]!,
    method: grpo({ groupSize: 3 }),
    steps: 1,
    seed,
  });
  const policies = new Map(
    await Promise.all(
      names.map(async (name) => [name, await settings.policies[name]!.open({ name, seed })] as const),
    ),
  );
  const groups = await sampleGroups(
    { settings, policies, shared: {}, signal: new AbortController().signal, onEpisode: () => {} },
    toyTasks,
    [0, 1, 2],
    { purpose: "train", step: 1 },
  );
  return groups.flatMap((group) => group.trajectories);
}

/** What a trajectory says, less the names of policies and the clock. */
const content = ({ id, status, result, calls, rewards, draws }: Trajectory) => ({
  id,
  status,
  result,
  rewards,
  draws,
  calls: calls.map(({ policy: _, startedAt: __, seconds: ___, ...call }) => call),
});

test("changing the assignment alone changes no trajectory and no reward", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => {
      const [full, separate, swapped] = await Promise.all(
        ["full", "separate", "swapped"].map(async (sharing) =>
          (await trajectories(sharing, seed)).map(content),
        ),
      );
      expect(full!.every(({ status }) => status === "complete")).toBe(true);
      expect(separate).toEqual(full);
      expect(swapped).toEqual(full);
    }),
    { numRuns: 10 },
  );
});

test("another seed gives other trajectories, so the comparison above can fail", async () => {
  const [one, two] = await Promise.all([trajectories("full", 1), trajectories("full", 2)]);
  expect(one.map(content)).not.toEqual(two.map(content));
});
