/**
 * @file Stages: one term after another as training goes on. A stage ends after a given step, or when a watched mean has not
 * risen for some steps. Sources: Context-Picker (arXiv 2512.14465: margins tighten when validation plateaus), GraphRAG-R1
 * (arXiv 2507.23581: format, then retrieval, then cost). Neither states its plateau rule; patience is CHOSEN.
 */

import type { UntypedTask } from "../workflow/workflow.ts";
import { scoreChecked } from "./checked.ts";
import { changed, checkParts, objectOf, partsState, restoreParts, totalOf, wrongState } from "./combine.ts";
import { isFailed } from "./failures.ts";
import {
  type Json,
  type RewardContext,
  RewardDefinitionError,
  type RewardTerm,
  type ScoredEpisode,
} from "./reward.ts";

/** When a stage ends. */
export type StageEnd =
  /** After this step of the run. */
  | { readonly step: number }
  /** When the mean of a term of the stage has not risen for `patience` steps. */
  | {
      /** Default: the stage's own term. */
      readonly plateauOf?: string;
      /** Steps (or evaluations) without a rise. */
      readonly patience: number;
      /** What counts as a rise. Default 0.01 (CHOSEN). */
      readonly rise?: number;
    }
  /** The same for a metric of the held-out evaluation. */
  | { readonly plateauOfMetric: string; readonly patience: number; readonly rise?: number };

export interface RewardStage<Task = UntypedTask> {
  readonly term: RewardTerm<Task>;
  /** Not for the last stage, which does not end. */
  readonly until?: StageEnd;
}

interface StagesState {
  readonly current: number;
  /** Best mean of the stage so far; null before the first. */
  readonly best: number | null;
  /** Steps or evaluations since. */
  readonly waited: number;
  /** Of the newest evaluation that was counted. */
  readonly evaluated: number;
}

const fresh = { best: null, waited: 0 };

/**
 * @example
 * const reward = stages([{ term: format, until: { step: 20 } }, { term: recall, until: { plateauOf: "recall", patience: 5 } }, { term: strict }]);
 */
export function stages<Task = UntypedTask>(
  list: readonly RewardStage<Task>[],
  { name = "stages" }: { readonly name?: string } = {},
): RewardTerm<Task> {
  const parts = list.map(({ term }) => term);
  checkParts(name, parts, true);
  checkEnds(name, list);
  let state: StagesState = { current: 0, ...fresh, evaluated: -1 };

  const at = ({ step }: RewardContext): number => {
    let { current } = state;
    for (;;) {
      const end = list[current]!.until;
      if (end === undefined || !("step" in end) || step <= end.step) return current;
      current++;
    }
  };

  return {
    name,
    parts,
    exclusive: true,
    async score(group, context) {
      const index = at(context);
      const scored = await scoreChecked(parts[index]!, group, context);
      return scored.map((one): ScoredEpisode => {
        if (isFailed(one)) return one;
        const shown = { name: `${name}.stage`, value: index + 1, logged: true } as const;
        return { rewards: [...changed(name, one.rewards, (value) => value), shown] };
      });
    },
    learn(scored, context) {
      const index = at(context);
      if (index !== state.current) state = { ...state, current: index, ...fresh };
      const { term, until } = list[index]!;
      term.learn?.(scored, context);
      if (until === undefined || "step" in until) return;
      let mean: number | undefined;
      let { evaluated } = state;
      if ("plateauOfMetric" in until) {
        if (context.evaluation === undefined || context.evaluation.step <= evaluated) return;
        evaluated = context.evaluation.step;
        mean = context.evaluation.means[until.plateauOfMetric];
      } else {
        mean = meanOf(until.plateauOf ?? term.name, scored);
      }
      if (mean === undefined) return;
      const risen = state.best === null || mean >= state.best + (until.rise ?? 0.01);
      state = risen
        ? { current: index, best: mean, waited: 0, evaluated }
        : { current: index, best: state.best, waited: state.waited + 1, evaluated };
      if (state.waited >= until.patience) state = { current: index + 1, ...fresh, evaluated };
    },
    state: (): Json => ({ ...state, parts: partsState(parts) }),
    restore(saved) {
      const { current, best, waited, evaluated, parts: inner } = objectOf(name, saved);
      if (
        !Number.isInteger(current) ||
        !((current as number) >= 0 && (current as number) < list.length) ||
        !(best === null || typeof best === "number") ||
        typeof waited !== "number" ||
        typeof evaluated !== "number"
      ) {
        throw wrongState(name);
      }
      restoreParts(name, parts, inner ?? null);
      state = { current: current as number, best, waited, evaluated };
    },
  };
}

/** Mean over the episodes that have it of the total of one term, counting or logged. */
export function meanOf(name: string, scored: readonly ScoredEpisode[]): number | undefined {
  const totals = scored.flatMap((one) => {
    if (isFailed(one)) return [];
    const own = one.rewards.filter((record) => record.name === name);
    return own.length === 0 ? [] : [totalOf(own.map(({ logged: _, ...record }) => record))];
  });
  return totals.length === 0 ? undefined : totals.reduce((sum, total) => sum + total, 0) / totals.length;
}

function checkEnds<Task>(name: string, list: readonly RewardStage<Task>[]): void {
  let last = 0;
  for (const [i, { until }] of list.entries()) {
    const fault = endFault(until, i === list.length - 1, last);
    if (fault !== undefined) {
      throw new RewardDefinitionError({
        code: "E_REWARD_STAGES",
        message: `Stage ${i + 1} of reward "${name}" ${fault}.`,
        hint: "give `until: { step }` or `until: { patience }` to all stages but the last.",
      });
    }
    if (until !== undefined && "step" in until) last = until.step;
  }
}

function endFault(until: StageEnd | undefined, isLast: boolean, after: number): string | undefined {
  if (isLast) return until === undefined ? undefined : "is the last one and must not end";
  if (until === undefined) return "does not say when it ends";
  if ("step" in until)
    return Number.isInteger(until.step) && until.step > after
      ? undefined
      : `ends after step ${until.step}, which is not after the one before`;
  return Number.isInteger(until.patience) && until.patience >= 1
    ? undefined
    : `has a patience of ${until.patience}; it must be at least 1`;
}
