/**
 * @file Pairs for preference losses: of each group the best episode against the worst, call by call,
 *
 *   chosen: +1 on each call of the best episode, rejected: −1 on the same call of the worst
 *
 * where the same call is that of the same agent, scope and turn. A call that only one of the two has, and every other
 * episode, is not trained on. Groups whose best is not better make no pair. Ties: the first in the order of the group.
 *
 * Source: best against worst of k samples, as in CGPO (arXiv 2409.20370) and iterative DPO; by call for teams (CHOSEN).
 * With `isFeasible`: the best feasible against the worst infeasible; no feasible one: no pair; none infeasible: against
 * the worst of all (CODPO).
 */

import type { MethodCard } from "../card.ts";
import { type EpisodeValue, episodeValue } from "../episode-value.ts";
import { leastDeviation } from "../group-advantage.ts";
import type { RewardedCall, RewardedEpisode, RewardedGroup } from "../method.ts";
import type { AdvantagePart, GroupAdvantages } from "../parts.ts";

export interface BestAgainstWorstSettings {
  /** What an episode is worth. Default: the mean of its calls' rewards. */
  readonly value?: EpisodeValue;
  /** Which episodes keep all constraints. Default: all do. */
  readonly isFeasible?: (episode: RewardedEpisode) => boolean;
}

export function bestAgainstWorst(given: BestAgainstWorstSettings = {}): AdvantagePart & {
  readonly compares: "episodes";
  readonly judges: "episodes";
  readonly gives: "pairs";
} {
  const { value = episodeValue, isFeasible } = given;
  return Object.freeze({
    stage: "advantage",
    name: "best-against-worst",
    compares: "episodes",
    judges: "episodes",
    gives: "pairs",
    settings: { feasibility: isFeasible !== undefined },
    advantages: (groups) =>
      groups.map(({ group }) => pairOf(group, chosenAndRejected(group.episodes, value, isFeasible))),
  } satisfies AdvantagePart);
}

function chosenAndRejected(
  episodes: readonly RewardedEpisode[],
  value: EpisodeValue,
  isFeasible: ((episode: RewardedEpisode) => boolean) | undefined,
): readonly [number, number] | undefined {
  const values = episodes.map(value);
  const feasible = episodes.map((episode) => isFeasible?.(episode) ?? true);
  const among = (wanted: boolean) => values.flatMap((_, i) => (feasible[i] === wanted ? [i] : []));
  const best = among(true).reduce<number | undefined>(
    (found, i) => (found === undefined || values[i]! > values[found]! ? i : found),
    undefined,
  );
  const others = among(false).length > 0 ? among(false) : among(true);
  const worst = others.reduce<number | undefined>(
    (found, i) => (found === undefined || values[i]! < values[found]! ? i : found),
    undefined,
  );
  if (best === undefined || worst === undefined || best === worst) return undefined;
  // An infeasible answer is the worse one whatever its reward.
  const differs = feasible[worst] === false || values[best]! - values[worst]! > leastDeviation;
  return differs ? [best, worst] : undefined;
}

const nameOf = ({ agent, scope = "", occurrence = 0 }: RewardedCall) =>
  JSON.stringify([scope, agent, occurrence]);

function pairOf(
  { task, episodes }: RewardedGroup,
  chosen: readonly [number, number] | undefined,
): GroupAdvantages {
  const advantages = episodes.map(({ calls }) => new Float64Array(calls.length));
  const trained = episodes.map(({ calls }) => new Uint8Array(calls.length));
  const links = episodes.map(({ calls }) => calls.map((): string | undefined => undefined));
  let hasSignal = false;
  if (chosen !== undefined) {
    const [best, worst] = chosen;
    const rejected = new Map(
      episodes[worst]!.calls.flatMap((call, j) => (call.length === 0 ? [] : [[nameOf(call), j] as const])),
    );
    episodes[best]!.calls.forEach((call, j) => {
      const other = rejected.get(nameOf(call));
      if (other === undefined || call.length === 0) return;
      hasSignal = true;
      for (const [i, k, sign] of [
        [best, j, 1],
        [worst, other, -1],
      ] as const) {
        advantages[i]![k] = sign;
        trained[i]![k] = 1;
        links[i]![k] =
          `${task}/${episodes[best]!.id ?? best}/${episodes[worst]!.id ?? worst}/${nameOf(call)}`;
      }
    });
  }
  return { advantages, trained, links, hasSignal };
}

export const bestAgainstWorstCard: MethodCard = {
  name: "best-against-worst",
  title: "Best against worst",
  stage: "advantage",
  line: "pairs for preference losses: a group's best episode against its worst, call by call",
  use: 'import { bestAgainstWorst } from "troupe/methods"',
  formula: [
    "+1 on each call of the best episode, −1 on the same agent's same turn of the worst; others are left out",
  ],
  defaults: { feasibility: { value: false, source: "CODPO takes feasibility into account" } },
  source: "CGPO (arXiv 2409.20370); iterative DPO",
  notes: ["CHOSEN: calls are paired by agent, scope and turn"],
};
