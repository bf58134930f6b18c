/**
 * @file Rewards turn by turn, from a score after each turn: what a turn added, not what was there before it. Pure functions.
 * Source: the reward allocators of UnityMAS-O (arXiv 2605.26646, repository at 7f1616a) for M-ASK, reflective code, graph
 * question answering and mathematics; and MACRec (arXiv 2402.15235), whose reflector earns the gain of reflecting.
 *
 * Everywhere: total = task reward + format, format = 0 if legal, −1 × weight if not (weight 1 in the public configurations).
 */

/** What one agent earns for one of its turns. */
export interface TurnReward {
  readonly agent: string;
  readonly turn: number;
  readonly value: number;
}

/** An output that was legal or not. Default: legal. */
export interface FormatOutcome {
  readonly legal?: boolean;
}

/** r_t = v_t − v_{t−1}; the first is v_0 itself, or v_0 − `before`. Sums to the last value (less `before`). */
export function gains(values: readonly number[], before = 0): number[] {
  return values.map((value, t) => value - (t === 0 ? before : values[t - 1]!));
}

const withFormat = (task: number, { legal = true }: FormatOutcome, weight: number) =>
  legal ? task : task - weight;

export interface AskTurn {
  /** `end`: it chose to stop searching; it then earns 0, and the turn has nothing else. */
  readonly search: FormatOutcome & { readonly end?: boolean };
  readonly summary?: FormatOutcome;
  readonly update?: FormatOutcome;
  /** F1 of the answer after this turn's update. */
  readonly answer?: FormatOutcome & { readonly f1: number };
}

/**
 * M-ASK: the plan earns the F1 of its own answer, each answer its absolute F1, and search, summary and update of turn t
 * share what they made better, F1(a_t) − F1(a_{t−1}).
 * @param turns turn 1 and later
 */
export function askRewards(
  {
    plan,
    answer,
    turns,
  }: {
    readonly plan: FormatOutcome & { readonly f1: number };
    readonly answer: FormatOutcome & { readonly f1: number };
    readonly turns: readonly AskTurn[];
  },
  formatWeight = 1,
): TurnReward[] {
  const rewards: TurnReward[] = [];
  const give = (agent: string, turn: number, task: number, format: FormatOutcome) => {
    rewards.push({ agent, turn, value: withFormat(task, format, formatWeight) });
  };
  give("plan", 0, plan.f1, plan);
  give("answer", 0, answer.f1, answer);
  let before = answer.f1;
  for (const [i, { search, summary, update, answer: next }] of turns.entries()) {
    const turn = i + 1;
    if (search.end === true) {
      give("search", turn, 0, search);
      continue;
    }
    // A turn that led to no answer made nothing better or worse.
    const gain = next === undefined ? 0 : next.f1 - before;
    give("search", turn, gain, search);
    if (summary !== undefined) give("summary", turn, gain, summary);
    if (update !== undefined) give("update", turn, gain, update);
    if (next === undefined) continue;
    give("answer", turn, next.f1, next);
    before = next.f1;
  }
  return rewards;
}

export interface CodeTurn {
  /** Share of tests passed after this turn; clamped to [0, 1]. */
  readonly passRate: number;
  readonly planner?: FormatOutcome;
  readonly coder?: FormatOutcome;
  /** Absent where the episode stopped without reflecting. */
  readonly reflection?: FormatOutcome;
}

/**
 * Reflective code: planner and coder of turn t share p_t − p_{t−1}, and p_0 at first; the reflection of turn t earns what
 * the next turn made of it, p_{t+1} − p_t, and 0 if there was none.
 */
export function codeRewards(turns: readonly CodeTurn[], formatWeight = 1): TurnReward[] {
  const rates = turns.map(({ passRate }) => Math.min(1, Math.max(0, passRate)));
  const gain = gains(rates);
  return turns.flatMap(({ planner = {}, coder = {}, reflection }, turn) => [
    { agent: "planner", turn, value: withFormat(gain[turn]!, planner, formatWeight) },
    { agent: "coder", turn, value: withFormat(gain[turn]!, coder, formatWeight) },
    ...(reflection === undefined
      ? []
      : [{ agent: "reflection", turn, value: withFormat(gain[turn + 1] ?? 0, reflection, formatWeight) }]),
  ]);
}

/**
 * One outcome for all nodes that were executed: each gets all of it ("full"), or an equal part ("split"); format on top.
 * Mathematics is "full" with the final accuracy.
 * @returns [nodes]
 */
export function sharedOutcome(
  outcome: number,
  nodes: readonly FormatOutcome[],
  {
    mode = "full",
    formatWeight = 1,
  }: { readonly mode?: "full" | "split"; readonly formatWeight?: number } = {},
): number[] {
  const share = mode === "full" ? outcome : outcome / nodes.length;
  return nodes.map((node) => withFormat(share, node, formatWeight));
}
