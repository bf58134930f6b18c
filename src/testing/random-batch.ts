/**
 * @file Random groups and batches for tests of methods: episodes are drawn, credited and turned into a loss's input the way
 * a run does it, without an engine.
 */

import type {
  BatchCall,
  GroupCredit,
  LossInput,
  Method,
  RewardedCall,
  RewardedEpisode,
  RewardedGroup,
} from "../methods/method.ts";
import { type Stream, stream } from "../random/stream.ts";

export interface RandomEpisode {
  readonly random: Stream;
  /** Its group and its place there, from 0. */
  readonly group: number;
  readonly sample: number;
  /** Episodes of its group that were drawn before it. */
  readonly earlier: readonly RewardedEpisode[];
}

export interface RandomBatchOptions {
  /** Names the random numbers. Default 0. */
  readonly seed?: number;
  /** Groups of a batch. Default 3. */
  readonly groups?: number;
  /** Default: two agents, up to five calls, every second episode a branch of the one before; see `randomEpisode`. */
  readonly episode?: (of: RandomEpisode) => RewardedEpisode;
}

/** Groups of as many episodes as the method samples. */
export function randomGroups(
  { groupSize }: Pick<Method, "groupSize">,
  { seed = 0, groups = 3, episode = randomEpisode }: RandomBatchOptions = {},
): readonly RewardedGroup[] {
  return Array.from({ length: groups }, (_, group): RewardedGroup => {
    const episodes: RewardedEpisode[] = [];
    for (let sample = 0; sample < groupSize; sample++) {
      const random = stream("random group", seed, group, sample);
      episodes.push(episode({ random, group, sample, earlier: [...episodes] }));
    }
    return { task: `task ${group}`, dataset: group % 2 === 0 ? "even" : "odd", episodes };
  });
}

/**
 * Rewards of the whole episode between 0 and 1, in a third of the episodes exactly 0 or 1, in terms `correct` (all of it),
 * `format` and `infeasible` (−1 or 0); in half of the episodes calls are rewarded on their own too. Calls of "lead", of
 * "helper", and sometimes of "helper" in a child workflow, all of one policy, each with a term `contribution`; the same few prompts come
 * back. Every second episode shares its first call with the one before.
 */
export function randomEpisode({ random, group, sample, earlier }: RandomEpisode): RewardedEpisode {
  const draw = random.uniform();
  const reward = draw < 1 / 6 ? 0 : draw < 1 / 3 ? 1 : Math.round(random.uniform() * 1e6) / 1e6;
  const terms = { correct: reward, format: random.integer(2) / 2, infeasible: -random.integer(2) };
  const rewardsCalls = random.integer(2) === 0;
  const places = [
    { agent: "lead", occurrence: 0, scope: "" },
    { agent: "helper", occurrence: 0, scope: "" },
    { agent: "lead", occurrence: 1, scope: "" },
    ...(random.integer(2) === 0 ? [{ agent: "helper", occurrence: 1, scope: "" }] : []),
    ...(random.integer(2) === 0 ? [{ agent: "helper", occurrence: 0, scope: "child" }] : []),
  ];
  const shared = sample % 2 === 1 ? earlier.at(-1)?.calls[0] : undefined;
  const calls = places.map((place, id): RewardedCall => {
    const own = rewardsCalls ? random.integer(5) / 4 : 0;
    const contribution = random.integer(1000) / 1000;
    const facts = {
      ...place,
      policy: "policy",
      id,
      reward: reward + own,
      own,
      terms: { ...terms, contribution },
    };
    const length = 1 + random.integer(4);
    const state = id === 0 ? `task ${group}` : `state ${random.integer(3)}`;
    const truncated = random.integer(8) === 0;
    const text = `text ${random.integer(1000)}`;
    if (id === 0 && shared !== undefined) return { ...shared, ...facts };
    return { ...facts, length, node: `${group}/${sample}#${id}`, state, truncated, text };
  });
  return { id: `train/1/${group}/${sample}`, reward, terms, calls };
}

/**
 * An episode of one call of "solver" by policy "a" or "b" in turn, each in a team of its name, so that a method may give
 * the one's texts to the other: rewards of 0, 1 or between, and mean log-probs.
 */
export function randomTeamEpisode({ random, group, sample }: RandomEpisode): RewardedEpisode {
  const policy = sample % 2 === 0 ? "a" : "b";
  const draw = random.integer(4);
  const reward = draw < 2 ? draw : Math.round(random.uniform() * 1e6) / 1e6;
  const call: RewardedCall = {
    agent: "solver",
    policy,
    reward,
    length: 1 + random.integer(4),
    node: `${group}/${sample}#0`,
    text: `text ${random.integer(1000)}`,
    meanLogprob: -0.1 - 2 * random.uniform(),
  };
  return { id: `train/1/${group}/${sample}`, team: policy, reward, calls: [call] };
}

/** Of each group, as a run asks for it: all at once where the method wants that. */
export function creditsOf(method: Method, groups: readonly RewardedGroup[]): readonly GroupCredit[] {
  return method.creditAll?.(groups) ?? groups.map(({ episodes }) => method.credit(episodes));
}

export interface RandomBatch {
  readonly groups: readonly RewardedGroup[];
  readonly credits: readonly GroupCredit[];
  /** [calls] of the batch. */
  readonly calls: readonly BatchCall[];
  /** The whole batch as one microbatch. */
  readonly input: LossInput;
}

/**
 * A batch of one policy that has moved a little since it sampled; where a method gives texts, of the first policy that is
 * given one, with these behind its own calls. In every second seed some tokens are masked, and tokens
 * have importance weights.
 */
export function randomBatch(method: Method, options: RandomBatchOptions = {}): RandomBatch {
  const { seed = 0 } = options;
  const groups = randomGroups(method, options);
  const credits = creditsOf(method, groups);
  const { needs } = method;
  const heads = Number(needs.values ?? 0);
  const random = stream("random batch", seed);
  const numbers = (length: number, from: number, to: number) =>
    Float32Array.from({ length }, () => from + (to - from) * random.uniform());
  const links = new Map<string, number>();
  const numbered = (link: string | undefined) => {
    if (link === undefined) return -1;
    if (!links.has(link)) links.set(link, links.size);
    return links.get(link)!;
  };
  const learner = credits.flatMap(({ given = [] }) => given.map(({ policy }) => policy)).sort()[0];
  const linked: number[] = [];
  const sampled = groups.flatMap(({ task, dataset, episodes }, k) =>
    episodes.flatMap((episode, i) =>
      episode.calls.flatMap((call, j): readonly BatchCall[] => {
        const { agent, occurrence = 0, scope = "", length = 1, id = j, terms = {} } = call;
        const { advantages, trained, links: of } = credits[k]!;
        if (length === 0 || trained?.[i]?.[j] === 0) return [];
        if (learner !== undefined && (call.policy !== learner || call.frozen === true)) return [];
        linked.push(numbered(of?.[i]?.[j]));
        return [
          {
            ...{ episode: episode.id ?? `${k}/${i}`, agent, occurrence, scope, order: id, length },
            ...{ task, dataset, terms, credit: advantages[i]![j]!, policy: call.policy ?? "policy" },
            oldLogprobs: numbers(length, -3, -0.1),
            referenceLogprobs: numbers(length, -3, -0.1),
            ...(heads > 0 ? { values: numbers(length * heads, -1, 1) } : {}),
            ...(needs.entropyInEstimate === true ? { entropies: numbers(length, 0.1, 2) } : {}),
          },
        ];
      }),
    ),
  );
  const given = groups.flatMap(({ task, dataset, episodes }, k) =>
    (credits[k]!.given ?? []).flatMap((text): readonly BatchCall[] => {
      const episode = episodes[text.episode]!;
      const { agent, occurrence = 0, scope = "", length = 1, id = text.call } = episode.calls[text.call]!;
      if (text.policy !== learner || length === 0) return [];
      linked.push(numbered(text.link));
      return [
        {
          ...{ episode: episode.id ?? `${k}/${text.episode}`, agent, occurrence, scope, order: id, length },
          ...{ task, dataset, credit: text.advantage, given: true, policy: learner },
          oldLogprobs:
            text.oldLogprob === undefined
              ? numbers(length, -3, -0.1)
              : new Float32Array(length).fill(text.oldLogprob),
          referenceLogprobs: numbers(length, -3, -0.1),
          ...(heads > 0 ? { values: numbers(length * heads, -1, 1) } : {}),
          ...(needs.entropyInEstimate === true ? { entropies: numbers(length, 0.1, 2) } : {}),
        },
      ];
    }),
  );
  const calls = [...sampled, ...given];
  const estimates = method.estimate?.(calls);
  const prepared = method.prepare?.(calls);
  const joined = (of: (call: BatchCall, i: number) => Float32Array) =>
    Float32Array.from(calls.flatMap((call, i) => [...of(call, i)]));
  const oldLogprobs = joined((call) => call.oldLogprobs!);
  const size = oldLogprobs.length;
  const input: LossInput = {
    lengths: calls.map(({ length }) => length),
    logprobs: oldLogprobs.map((old) => Math.min(old + (random.uniform() - 0.5), -0.01)),
    oldLogprobs,
    advantages: joined((call, i) => estimates?.advantages[i] ?? constant(call)),
    ...(needs.reference ? { referenceLogprobs: joined((call) => call.referenceLogprobs!) } : {}),
    ...(needs.entropy ? { entropies: numbers(size, 0.1, 2) } : {}),
    ...(heads > 0 ? { values: numbers(size * heads, -1, 1), oldValues: joined((call) => call.values!) } : {}),
    ...(heads > 0 && estimates?.returns !== undefined
      ? { returns: joined((_, i) => estimates.returns![i]!) }
      : {}),
    ...(seed % 2 === 1
      ? {
          importance: numbers(size, 0.3, 2),
          // Never a whole call: one without tokens is in no batch.
          mask: Uint8Array.from(
            calls.flatMap(({ length }) =>
              Array.from({ length }, (_, t) => (t > 0 && random.integer(3) === 0 ? 0 : 1)),
            ),
          ),
        }
      : {}),
    ...(linked.some((link) => link >= 0) ? { links: linked } : {}),
    ...(prepared === undefined ? {} : { prepared }),
    ...(given.length === 0 ? {} : { given: Uint8Array.from(calls, (call) => (call.given === true ? 1 : 0)) }),
    places: [...calls.keys()],
    policy: learner ?? "policy",
    step: 1,
    totals: { sequences: calls.length, tokens: size },
  };
  return { groups, credits, calls, input };
}

const constant = ({ credit, length }: BatchCall) => new Float32Array(length).fill(credit);

/** The sequences of a batch at these places, as a microbatch of it. */
export function microbatchOf(input: LossInput, places: readonly number[]): LossInput {
  const starts: number[] = [];
  let at = 0;
  for (const length of input.lengths) {
    starts.push(at);
    at += length;
  }
  const cut = <T extends Float32Array | Uint8Array>(array: T): T => {
    const width = at === 0 ? 1 : array.length / at;
    const parts = places.flatMap((i) => [
      ...array.subarray(starts[i]! * width, (starts[i]! + input.lengths[i]!) * width),
    ]);
    return (array instanceof Uint8Array ? Uint8Array.from(parts) : Float32Array.from(parts)) as T;
  };
  // One entry a sequence, and not a token.
  const { given } = input;
  const arrays = Object.entries(input).flatMap(([name, value]) =>
    name !== "given" && (value instanceof Float32Array || value instanceof Uint8Array)
      ? [[name, cut(value)] as const]
      : [],
  );
  const numbers = new Map<number, number>();
  const links = input.links === undefined ? undefined : places.map((i) => input.links![i]!);
  for (const link of links ?? []) if (link >= 0 && !numbers.has(link)) numbers.set(link, numbers.size);
  return {
    ...input,
    ...Object.fromEntries(arrays),
    lengths: places.map((i) => input.lengths[i]!),
    ...(input.places === undefined ? {} : { places: places.map((i) => input.places![i]!) }),
    ...(given === undefined ? {} : { given: Uint8Array.from(places, (i) => given[i]!) }),
    ...(links === undefined ? {} : { links: links.map((link) => numbers.get(link) ?? -1) }),
  };
}
