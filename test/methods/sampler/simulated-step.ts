/** One step's waves without a trainer: what a sampler asks for, over episodes whose rewards a function gives. */

import type {
  GroupSampler,
  RememberedEpisode,
  RewardedEpisode,
  SamplingRequest,
} from "../../../src/methods/method.ts";
import { stream } from "../../../src/random/stream.ts";

export interface SimulatedGroup {
  readonly task: string;
  readonly reflection?: true;
  dropped: boolean;
  episodes: RewardedEpisode[];
}

export interface SimulatedStep {
  readonly groups: readonly SimulatedGroup[];
  /** [waves] */
  readonly asked: readonly (readonly SamplingRequest[])[];
  /** Episodes sampled, dropped ones included. */
  readonly sampled: number;
}

/** @param reward of an episode, or undefined if it fails. */
export function simulateStep(
  sampler: GroupSampler,
  {
    tasks,
    reward,
    remembered = () => [],
    step = 1,
    seed = 1,
  }: {
    readonly tasks: number;
    readonly reward: (group: number, sample: number) => number | undefined;
    readonly remembered?: (task: string) => readonly RememberedEpisode[];
    readonly step?: number;
    readonly seed?: number;
  },
): SimulatedStep {
  const groups: SimulatedGroup[] = [];
  const begun: number[] = [];
  let sampled = 0;
  const sample = (group: number, count: number) => {
    for (let i = 0; i < count; i++) {
      const index = begun[group]!;
      begun[group] = index + 1;
      sampled++;
      const value = reward(group, index);
      if (value === undefined) continue;
      const calls = [{ agent: "a", reward: value }];
      groups[group]!.episodes.push({ id: `${group}/${index}`, reward: value, calls });
    }
  };
  const begin = (reflectedOn?: string) => {
    begun.push(0);
    groups.push({
      ...(reflectedOn === undefined
        ? { task: `task ${groups.length}` }
        : { task: `reflection on ${reflectedOn}`, reflection: true as const }),
      dropped: false,
      episodes: [],
    });
    sample(groups.length - 1, sampler.groupSize);
  };
  for (let i = 0; i < tasks; i++) begin();
  const asked: (readonly SamplingRequest[])[] = [];
  for (let wave = 1; wave <= 100; wave++) {
    const view = groups.map(({ episodes, ...group }) => ({
      ...group,
      dataset: "",
      episodes: [...episodes],
    }));
    const random = stream(seed, "sampler", step, wave);
    const requests = sampler.next({ step, wave, tasksPerStep: tasks, groups: view, remembered, random });
    if (requests.length === 0) return { groups, asked, sampled };
    asked.push(requests);
    for (const request of requests) {
      if (request.kind === "task") begin();
      else if (request.kind === "reflect") begin(request.episode);
      else if (request.kind === "drop") groups[request.group]!.dropped = true;
      else if (request.kind === "episodes") sample(request.group, request.count);
      else if (request.kind === "recall") {
        const { id, reward: value } = remembered(groups[request.group]!.task).find(
          (one) => one.id === request.episode,
        )!;
        const calls = [{ agent: "a", reward: value }];
        groups[request.group]!.episodes.push({ id, reward: value, calls, recalled: true });
      } else if (request.kind === "omit") {
        const omitted = view[request.group]!.episodes[request.episode]!;
        const group = groups[request.group]!;
        group.episodes = group.episodes.filter(({ id }) => id !== omitted.id);
      } else throw new Error(`No ${request.kind} here.`);
    }
  }
  throw new Error("The sampler never has enough.");
}
