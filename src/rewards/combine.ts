/**
 * @file What combinators share. A term's records are of two kinds: those that count, and `logged` ones that are only
 * shown. A combinator makes new counting records out of its parts', and keeps the parts' as logged ones, so that every
 * term of a nested reward is in the logs under its own name and nothing counts twice.
 */

import type { RewardRecord } from "../workflow/trajectory.ts";
import { scoreChecked } from "./checked.ts";
import { isFailed } from "./failures.ts";
import {
  type FinishedEpisode,
  type Json,
  type RewardContext,
  RewardDefinitionError,
  type RewardTerm,
  type ScoredEpisode,
} from "./reward.ts";
import { checkName } from "./terms.ts";

/** Where a record counts: the trajectory, an agent, a call, a child workflow. */
export type RewardPlace = Pick<RewardRecord, "agent" | "call" | "scope">;

const counts = ({ logged }: RewardRecord) => logged !== true;

/** Sum of the counting records, whatever their place: the value of a term for conditions and comparisons. */
export const totalOf = (records: readonly RewardRecord[]): number =>
  records.reduce((total, record) => (counts(record) ? total + record.value : total), 0);

/** The same records, none of which counts. */
export const asLogged = (records: readonly RewardRecord[]): RewardRecord[] =>
  records.map((record) => (record.logged === true ? record : { ...record, logged: true }));

/** The counting records with their values summed by place, under one name, in the order of first appearance. */
export function byPlace(name: string, records: readonly RewardRecord[]): RewardRecord[] {
  const found = new Map<string, RewardRecord>();
  for (const record of records) {
    if (!counts(record)) continue;
    const { agent, call, scope, value } = record;
    const place = JSON.stringify([agent ?? null, call ?? null, scope ?? null]);
    const known = found.get(place);
    found.set(place, {
      name,
      value: (known?.value ?? 0) + value,
      ...(agent === undefined ? {} : { agent }),
      ...(call === undefined ? {} : { call }),
      ...(scope === undefined ? {} : { scope }),
    });
  }
  return [...found.values()];
}

/** Counting records by place under `name`, each value changed; and the originals, logged. */
export function changed(
  name: string,
  records: readonly RewardRecord[],
  change: (value: number) => number,
): RewardRecord[] {
  const own = byPlace(name, records).map((record) => ({ ...record, value: change(record.value) }));
  return [...own, ...asLogged(records)];
}

export interface Combination<Task> {
  readonly name: string;
  readonly parts: readonly RewardTerm<Task>[];
  /**
   * From what the parts say of one episode (none of them failed) to what the whole says. `index` is the episode's place
   * in `group`.
   */
  readonly combine: (
    parts: readonly (readonly RewardRecord[])[],
    episode: FinishedEpisode<Task>,
    context: RewardContext,
  ) => readonly RewardRecord[] | ScoredEpisode;
}

/** A term out of terms: the parts are scored at once; an episode of which one part failed fails with its failure. */
export function combination<Task>({ name, parts, combine }: Combination<Task>): RewardTerm<Task> {
  checkParts(name, parts);
  return {
    name,
    parts,
    async score(group, context) {
      const scored = await Promise.all(parts.map((part) => scoreChecked(part, group, context)));
      return group.map((episode, i): ScoredEpisode => {
        const records: (readonly RewardRecord[])[] = [];
        for (const part of scored) {
          const one = part[i]!;
          if (isFailed(one)) return one;
          records.push(one.rewards);
        }
        const whole = combine(records, episode, context);
        return Array.isArray(whole) ? { rewards: whole } : (whole as ScoredEpisode);
      });
    },
    ...partsMemory(name, parts),
  };
}

/** `learn`, `state` and `restore` of a term that remembers nothing itself, but whose parts may. */
export function partsMemory<Task>(
  name: string,
  parts: readonly RewardTerm<Task>[],
): Required<Pick<RewardTerm<Task>, "learn" | "state" | "restore">> {
  return {
    learn: (scored, context) => {
      for (const part of parts) part.learn?.(scored, context);
    },
    state: () => partsState(parts),
    restore: (state) => restoreParts(name, parts, state),
  };
}

export const partsState = <Task>(parts: readonly RewardTerm<Task>[]): Json =>
  parts.map((part) => ({ name: part.name, state: part.state?.() ?? null }));

/** @throws RewardDefinitionError if the state is of other parts. */
export function restoreParts<Task>(name: string, parts: readonly RewardTerm<Task>[], state: Json): void {
  const known = Array.isArray(state) ? (state as readonly Json[]) : undefined;
  if (known === undefined || known.length !== parts.length) throw wrongState(name);
  parts.forEach((part, i) => {
    const one = objectOf(name, known[i]);
    if (one.name !== part.name) throw wrongState(name);
    if (one.state !== null && one.state !== undefined) part.restore?.(one.state);
  });
}

/** @throws RewardDefinitionError if it is none. */
export function objectOf(name: string, state: Json | undefined): Readonly<Record<string, Json>> {
  if (typeof state !== "object" || state === null || Array.isArray(state)) throw wrongState(name);
  return state as Readonly<Record<string, Json>>;
}

export function wrongState(name: string): RewardDefinitionError {
  return new RewardDefinitionError({
    code: "E_REWARD_STATE",
    message: `What was saved for reward "${name}" does not belong to it: the rewards of the run were other ones then.`,
    hint: "continue the run with the rewards that it was started with, or start a new run.",
  });
}

/**
 * Every name may be used once, since logs tell terms apart by it; the parts of an exclusive term may share theirs.
 * @throws RewardDefinitionError
 */
export function checkParts<Task>(
  name: string,
  parts: readonly RewardTerm<Task>[],
  exclusive: boolean = false,
): void {
  checkName(name);
  if (parts.length === 0) {
    throw new RewardDefinitionError({
      code: "E_REWARD_EMPTY",
      message: `Reward "${name}" is made of no terms.`,
      hint: "give it at least one.",
    });
  }
  namesOf(name, parts, exclusive, name);
}

function namesOf<Task>(
  name: string,
  parts: readonly RewardTerm<Task>[],
  exclusive: boolean,
  root: string,
): Set<string> {
  const all = new Set([name]);
  for (const part of parts) {
    const names = namesOf(part.name, part.parts ?? [], part.exclusive ?? false, root);
    for (const one of names) {
      if (one === name || (!exclusive && all.has(one))) throw duplicate(root, one);
    }
    for (const one of names) all.add(one);
  }
  return all;
}

const duplicate = (reward: string, term: string) =>
  new RewardDefinitionError({
    code: "E_REWARD_NAME",
    message: `Reward "${reward}" has two terms of the name "${term}"; in the logs they could not be told apart.`,
    hint: 'give one of them another name, for example sum({ … }, { name: "quality" }).',
    facts: { reward, term },
  });
