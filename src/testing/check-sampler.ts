/**
 * @file Checks for samplers: what they ask for exists, they end, and equal views get equal answers. Steps are played with
 * random rewards and a memory, the way a run does it.
 */

import type {
  GroupSampler,
  RememberedEpisode,
  RewardedEpisode,
  RewardedGroup,
  SamplingRequest,
  SamplingView,
} from "../methods/method.ts";
import { stream } from "../random/stream.ts";
import { MethodCheckError } from "./check-method-error.ts";
import { type RandomBatchOptions, randomEpisode } from "./random-batch.ts";

export interface SamplerCheckOptions extends Omit<RandomBatchOptions, "seed"> {
  /** Steps that are played. Default 8. */
  readonly steps?: number;
  /** Waves after which a sampler is called endless. Default 100, as in a run. */
  readonly waves?: number;
}

interface PlayedGroup extends RewardedGroup {
  readonly episodes: RewardedEpisode[];
  dropped: boolean;
}

/**
 * @returns the groups of each step, dropped ones left out, as they would be trained on.
 * @throws MethodCheckError E_CHECK_SAMPLER
 */
export function checkSampler(
  sampler: GroupSampler,
  { steps = 8, waves = 100, groups: tasksPerStep = 3, episode = randomEpisode }: SamplerCheckOptions = {},
): readonly (readonly RewardedGroup[])[] {
  const memory = new Map<string, RememberedEpisode[]>();
  const stored = new Map<string, RewardedEpisode>();
  return Array.from({ length: steps }, (_, index) => {
    const step = index + 1;
    const groups: PlayedGroup[] = [];
    const sampled = (k: number): RewardedEpisode => {
      const { episodes } = groups[k]!;
      const sample = episodes.length;
      const random = stream("check sampler", step, k, sample);
      return {
        ...episode({ random, group: k, sample, earlier: [...episodes] }),
        id: `train/${step}/${k}/${sample}`,
      };
    };
    const begin = (reflectedOn?: string): void => {
      const k = groups.length;
      // Four tasks in turn, so that what is remembered of one comes up again.
      groups.push({
        ...(reflectedOn === undefined
          ? { task: `task ${(step + k) % 4}` }
          : { task: `reflection on ${reflectedOn}`, reflection: true }),
        dataset: "",
        episodes: [],
        dropped: false,
      });
      for (let i = 0; i < sampler.groupSize; i++) groups[k]!.episodes.push(sampled(k));
    };
    for (let k = 0; k < tasksPerStep; k++) begin();
    const refuse = (says: string): never => {
      throw new MethodCheckError({
        code: "E_CHECK_SAMPLER",
        message: `Sampler "${sampler.name}", step ${step}: ${says}.`,
        hint: "`next` is a function of the view alone, and may ask only for what the view has.",
        facts: { sampler: sampler.name, step },
      });
    };
    for (let wave = 1; ; wave++) {
      if (wave > waves) refuse(`it asks for more after ${waves} waves`);
      const view = (): SamplingView => ({
        step,
        wave,
        tasksPerStep,
        groups: structuredClone(groups),
        remembered: (task) => memory.get(task) ?? [],
        random: stream("check sampler", step, wave),
      });
      const requests = sampler.next(view());
      if (JSON.stringify(sampler.next(view())) !== JSON.stringify(requests))
        refuse(`asked twice in wave ${wave} it answers differently`);
      if (requests.length === 0) break;
      // Requests speak of the groups as they were seen.
      const seen = groups.map(({ episodes }) => [...episodes]);
      for (const request of requests) {
        const fault = faultOf(request, seen, memory.get(taskOf(request, groups)) ?? []);
        if (fault !== undefined) refuse(`${JSON.stringify(request)} in wave ${wave}: ${fault}`);
        if (request.kind === "task") begin();
        else if (request.kind === "reflect") begin(request.episode);
        else if (request.kind === "drop") groups[request.group]!.dropped = true;
        else {
          const { episodes } = groups[request.group]!;
          if (request.kind === "episodes")
            for (let i = 0; i < request.count; i++) episodes.push(sampled(request.group));
          else if (request.kind === "recall")
            episodes.push({ ...stored.get(request.episode)!, recalled: true });
          else {
            const one = seen[request.group]![request.episode]!;
            if (request.kind === "omit") episodes.splice(episodes.indexOf(one), 1);
            else episodes.push(branchOf(one, request.at, sampled(request.group)));
          }
        }
      }
    }
    const kept = groups.filter(({ dropped }) => !dropped);
    for (const group of kept) remember(group, step);
    return kept;
  });

  function remember(group: RewardedGroup, step: number): void {
    if (sampler.memory === undefined) return;
    const { capacity, keep } = sampler.memory;
    const wanted = keep(group);
    const fresh = group.episodes.filter(({ recalled }, i) => wanted[i] === true && recalled !== true);
    for (const one of fresh) stored.set(one.id!, one);
    const entries = fresh.map(({ id, reward }) => ({ id: id!, step, reward }));
    memory.set(group.task, [...(memory.get(group.task) ?? []), ...entries].slice(-capacity));
  }
}

const taskOf = (request: SamplingRequest, groups: readonly RewardedGroup[]) =>
  request.kind === "task" ? "" : (groups[request.group]?.task ?? "");

function faultOf(
  request: SamplingRequest,
  seen: readonly (readonly RewardedEpisode[])[],
  known: readonly RememberedEpisode[],
): string | undefined {
  if (request.kind === "task") return undefined;
  const episodes = seen[request.group];
  if (episodes === undefined) return "there is no such group";
  if (request.kind === "episodes")
    return Number.isInteger(request.count) && request.count > 0 ? undefined : "not a number of episodes";
  if (request.kind === "recall" || request.kind === "reflect")
    return known.some(({ id }) => id === request.episode) ? undefined : "that is not remembered of its task";
  if (request.kind === "drop") return undefined;
  const one = episodes[request.episode];
  if (one === undefined) return "there is no such episode";
  if (request.kind === "omit") return undefined;
  return one.calls.some(({ id }, j) => (id ?? j) === request.at) ? undefined : "there is no such call";
}

/** The calls before `at`, shared, then those of a new episode. */
function branchOf(one: RewardedEpisode, at: number, fresh: RewardedEpisode): RewardedEpisode {
  const before = one.calls.filter(({ id = 0 }) => id < at);
  return { ...fresh, calls: [...before, ...fresh.calls.filter(({ id = 0 }) => id >= at)] };
}
