/**
 * @file A baseline that is remembered task by task, for one episode a task:
 *
 *   A = whitened over the step of (r − v̂),   v̂ as it was before the step      (`beta-tracker.ts`)
 *
 * Source: MSSR (arXiv 2512.18215) and the configuration of its code: η in [0.875, 0.96], KL_target 0.06, v̂ = ½ at first.
 * CHOSEN: a + b = 1 / (1 − η_min) = 8 at first; mean and deviation over one value an episode; rewards beyond right and
 * wrong are remembered as those. Changed: v̂ begins at ½, where the paper begins with one sample a task.
 */

import {
  type Beta,
  betaAfter,
  betaMean,
  keptShare,
  readTracker,
  type TrackerState,
  taskWeight,
  trackerMetrics,
} from "../beta-tracker.ts";
import type { MethodCard } from "../card.ts";
import { episodeValue } from "../episode-value.ts";
import { leastDeviation, spreadOf } from "../group-advantage.ts";
import type { StepFacts } from "../method.ts";
import type { AdvantagePart, GroupAdvantages, JudgedGroup } from "../parts.ts";
import { checkedTracking, type TrackedBaselineSettings } from "../tracked-settings.ts";

export type { TrackedBaselineSettings } from "../tracked-settings.ts";

/** Steps whose KL counts. */
const recentSteps = 20;

/** @throws MethodSettingsError E_METHOD_SETTING */
export function trackedBaseline(given: TrackedBaselineSettings = {}): AdvantagePart & {
  readonly compares: "steps";
  readonly gives: "advantages";
} {
  const settings = checkedTracking({
    leastKept: 0.875,
    mostKept: 0.96,
    klTarget: 0.06,
    first: 0.5,
    right: 1,
    wrong: 0,
    whiten: true,
    chooseTasks: false,
    ddof: 0,
    epsilon: 1e-6,
    ...given,
  });
  const { leastKept, mostKept, klTarget, first, right, wrong, ddof } = settings;
  const mass = 1 / (1 - leastKept);
  const unknown: Beta = { a: first * mass, b: (1 - first) * mass };
  let known: TrackerState = { tasks: {}, kls: [] };
  const betaOf = (task: string): Beta => (Object.hasOwn(known.tasks, task) ? known.tasks[task]! : unknown);

  const observe = ({ groups, statistics }: StepFacts) => {
    const kl = Object.values(statistics).flatMap((means) => (means.kl === undefined ? [] : [means.kl]));
    const kls = kl.length === 0 ? known.kls : [...known.kls, meanOf(kl)].slice(-recentSteps);
    const keep = keptShare(kls, { least: leastKept, most: mostKept, klTarget });
    const tasks = new Map(Object.entries(known.tasks));
    for (const { task, episodes } of groups) {
      const now = episodes.filter(({ recalled }) => recalled !== true);
      if (now.length === 0) continue;
      const share = (meanOf(now.map(episodeValue)) - wrong) / (right - wrong);
      tasks.set(task, betaAfter(tasks.get(task) ?? unknown, Math.min(Math.max(share, 0), 1), keep));
    }
    known = { kls, tasks: Object.fromEntries(tasks) };
  };

  const advantages = (groups: readonly JudgedGroup[]): readonly GroupAdvantages[] => {
    const raw = groups.map(({ group, values }) => {
      const baseline = wrong + (right - wrong) * betaMean(betaOf(group.task));
      return values.map((row) => row.map((value) => value - baseline));
    });
    const episodes = raw.flatMap((rows) =>
      rows.filter(({ length }) => length > 0).map((row) => meanOf([...row])),
    );
    const { mean, deviation } = settings.whiten ? spreadOf(episodes, ddof) : { mean: 0, deviation: 1 };
    const scale = settings.whiten ? (deviation < leastDeviation ? 0 : 1 / (deviation + settings.epsilon)) : 1;
    return raw.map((rows) => {
      const found = rows.map((row) => row.map((value) => (value - mean) * scale));
      return { advantages: found, hasSignal: found.some((row) => row.some((value) => value !== 0)) };
    });
  };
  return Object.freeze({
    stage: "advantage",
    name: "tracked-baseline",
    compares: "steps",
    gives: "advantages",
    settings,
    advantages,
    observe,
    ...(settings.chooseTasks
      ? { taskWeights: (tasks: readonly string[]) => tasks.map((task) => taskWeight(betaMean(betaOf(task)))) }
      : {}),
    metrics: () => trackerMetrics(known),
    state: () => known,
    restore: (state) => {
      known = readTracker(state);
    },
  } satisfies AdvantagePart);
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

export const trackedBaselineCard: MethodCard = {
  name: "tracked-baseline",
  title: "Tracked baseline",
  stage: "advantage",
  line: "one episode a task, compared with how often the task was solved before: no groups to pay for",
  use: 'import { trackedBaseline } from "troupe/methods"',
  formula: [
    "A = whitened over the step of (r − v̂), v̂ = a / (a + b) of the task",
    "a ← η a + r, b ← η b + 1 − r; η = η_max − min(KL̄ / KL_target, 1) (η_max − η_min)",
  ],
  defaults: {
    leastKept: { value: 0.875, source: "official configuration" },
    mostKept: { value: 0.96, source: "official configuration" },
    klTarget: { value: 0.06, source: "official configuration; the paper's sweep favours 0.01" },
    first: { value: 0.5, source: "official configuration" },
    right: { value: 1, source: "CHOSEN: rewards of 0 and 1" },
    wrong: { value: 0, source: "CHOSEN: rewards of 0 and 1" },
    whiten: { value: true, source: "paper" },
    chooseTasks: { value: false, source: "optional in the paper: √(v̂ (1 − v̂))" },
    ddof: { value: 0, source: "CHOSEN: as printed; verl computes 1" },
    epsilon: { value: 1e-6, source: "verl" },
  },
  source: "MSSR (arXiv 2512.18215)",
  notes: ["CHOSEN: the rule for η, and a + b = 8 at first", "Begins at ½ instead of with one sample a task"],
};
