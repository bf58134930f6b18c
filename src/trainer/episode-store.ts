/**
 * @file Episodes that a method's sampler wants to meet again, task by task: kept as journal lines, so that a checkpoint
 * has them too and a resumed run recalls the same ones.
 */

import { z } from "zod";
import type { GroupSampler, RememberedEpisode } from "../methods/method.ts";
import type { Trajectory } from "../workflow/trajectory.ts";
import { readTrajectory, trajectoryLine } from "../workflow/trajectory-json.ts";
import type { CreditedGroup } from "./credit-groups.ts";
import { RunFolderError } from "./errors.ts";
import type { StatefulPart } from "./save-run.ts";

interface Kept extends RememberedEpisode {
  readonly line: string;
}

const stateShape = z.record(
  z.string(),
  z.array(z.strictObject({ id: z.string(), step: z.int(), reward: z.number(), line: z.string() })),
);

export class EpisodeStore implements StatefulPart {
  readonly #memory: NonNullable<GroupSampler["memory"]>;
  #kept = new Map<string, readonly Kept[]>();

  constructor(memory: NonNullable<GroupSampler["memory"]>) {
    this.#memory = memory;
  }

  /** Oldest first. */
  of(task: string): readonly RememberedEpisode[] {
    return this.#kept.get(task) ?? [];
  }

  /** @throws RunFolderError if the episode is not remembered. */
  recall(task: string, id: string): Trajectory {
    const found = this.#kept.get(task)?.find((kept) => kept.id === id);
    if (found === undefined) {
      throw new RunFolderError({
        code: "E_RECALL",
        message: `The sampler asks for episode ${id}, which is not remembered of its task.`,
        hint: "a sampler may recall what `remembered(task)` lists.",
        facts: { episode: id },
      });
    }
    return readTrajectory(found.line);
  }

  /** Once a step, after the updates. Rewards of the run's own terms are given anew when an episode is recalled. */
  remember(groups: readonly CreditedGroup<unknown>[], step: number): void {
    const { capacity, keep } = this.#memory;
    for (const { group, rewarded } of groups) {
      const kept = keep(rewarded);
      const trajectories = new Map(group.trajectories.map((trajectory) => [trajectory.id, trajectory]));
      const fresh = rewarded.episodes.flatMap(({ id, reward, recalled }, i): readonly Kept[] => {
        if (kept[i] !== true || recalled === true || id === undefined) return [];
        const { ownRewards, ...trajectory } = trajectories.get(id)!;
        const rewards = trajectory.rewards.slice(0, ownRewards ?? trajectory.rewards.length);
        return [{ id, step, reward, line: trajectoryLine({ ...trajectory, rewards }) }];
      });
      if (fresh.length > 0)
        this.#kept.set(
          rewarded.task,
          [...(this.#kept.get(rewarded.task) ?? []), ...fresh].slice(-Math.max(1, capacity)),
        );
    }
  }

  state(): unknown {
    return Object.fromEntries(this.#kept);
  }

  restore(state: unknown): void {
    this.#kept = new Map(Object.entries(stateShape.parse(state)));
  }
}
