/** @file A run, a step or a group of it as text for people. */

import type { Spread } from "../methods/group-advantage.ts";
import { spreadOf } from "../methods/group-advantage.ts";
import { formatSeconds } from "../trainer/reporter.ts";
import type { EvaluationMetrics, RecordedEpisode, RunRecord } from "../trainer/run-record.ts";
import type { StepMetrics } from "../trainer/step-metrics.ts";
import { isOwnCall } from "../trainer/told-group.ts";
import { meanReward } from "../workflow/trajectory.ts";
import { sparkline, table } from "./table.ts";

const number = (value: number) =>
  Math.abs(value) >= 1e-3 || value === 0 ? value.toFixed(3) : value.toExponential(1);

/** What a setting of `config.json` says, in a few characters. */
const brief = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));

export function describeRun(run: RunRecord): string {
  const { config, steps, evaluations, summary, checkpoints, timings } = run;
  const last = steps.at(-1);
  const seconds = summary?.seconds ?? timings.reduce((sum, one) => sum + one.seconds, 0);
  const lines = [
    `${run.name}: ${run.state}, step ${last?.step ?? 0} of ${String(config.steps)}, seed ${String(config.seed)}, ${formatSeconds(seconds)}`,
    `  ${run.path}, began ${run.began.toISOString().slice(0, 16).replace("T", " ")} UTC`,
    ...configLines(config),
  ];
  if (last !== undefined) {
    const rewards = steps.map(({ reward }) => reward.mean);
    lines.push(
      "",
      `reward    ${sparkline(rewards)}  ${number(rewards[0]!)} → ${number(rewards.at(-1)!)}`,
      ...termLines(steps),
      ...curves(steps.map(({ method = {} }) => method)),
      `no signal ${steps.reduce((sum, one) => sum + one.groupsWithoutSignal, 0)} of ${steps.reduce((sum, one) => sum + one.groups, 0)} groups`,
    );
  }
  lines.push(...evaluationLines(evaluations, metricNames(config)), ...failureLines(steps, evaluations));
  for (const [name, policy] of Object.entries(last?.policies ?? {})) {
    const { version, truncated, meanLength, gradientNorm, largestSamplerGap } = policy;
    lines.push(
      `policy    ${name}: ${version} updates, outputs of ${meanLength.toFixed(1)} tokens, ${(100 * truncated).toFixed(0)} % cut off${gradientNorm === undefined ? "" : `, gradient norm ${number(gradientNorm)}`}${largestSamplerGap === undefined ? "" : `, log-prob gap at most ${number(largestSamplerGap)}`}`,
    );
  }
  if (checkpoints.length > 0)
    lines.push(`saved     steps ${[...checkpoints].reverse().join(", ")} in ${run.path}/checkpoints`);
  if (run.episodeFiles.length > 0) lines.push(`episodes  ${episodeRange(run.episodeFiles)}`);
  lines.push("", nextLine(run));
  return lines.join("\n");
}

function configLines(config: RunRecord["config"]): string[] {
  const { workflow, assign, teams, search, method, tasks, evaluate, learningRate, tasksPerStep } = config as {
    readonly workflow?: { readonly name?: string };
    readonly assign?: Readonly<Record<string, string>>;
    readonly teams?: Readonly<Record<string, Readonly<Record<string, string>>>>;
    readonly search?: { readonly nodes?: number } | null;
    readonly method?: { readonly name?: string; readonly groupSize?: number } & {
      readonly "sampler/fixed"?: { readonly groupSize?: number };
    };
    readonly [name: string]: unknown;
  };
  const agentsOf = (assigned: Readonly<Record<string, string>>) =>
    Object.entries(assigned)
      .map(([agent, policy]) => `${agent} → ${policy}`)
      .join(", ");
  const groupSize = method?.groupSize ?? method?.["sampler/fixed"]?.groupSize;
  const each =
    search !== undefined && search !== null
      ? ` a step, a tree${search.nodes === undefined ? "" : ` of ${search.nodes} episodes`} each`
      : `${groupSize === undefined ? "" : ` × ${groupSize} episodes`}${groupSize === undefined || teams === undefined ? "" : " of each team"} a step`;
  return [
    ...(teams === undefined
      ? [`  workflow ${workflow?.name ?? "?"}: ${agentsOf(assign ?? {})}`]
      : [
          `  workflow ${workflow?.name ?? "?"}`,
          ...Object.entries(teams).map(([team, assigned]) => `  team ${team}: ${agentsOf(assigned)}`),
        ]),
    `  ${method?.name ?? "?"}, ${String(tasksPerStep)} tasks${each}, learning rate ${brief(learningRate)}`,
    `  tasks ${brief(tasks)}${evaluate === null ? "" : `, held out ${brief(evaluate)}`}`,
  ];
}

const metricNames = (config: RunRecord["config"]) =>
  Array.isArray(config.metrics) ? (config.metrics as string[]) : [];

/** The reward's terms, if it is more than one. */
function termLines(steps: readonly StepMetrics[]): string[] {
  const names = new Set(steps.flatMap(({ terms }) => Object.keys(terms)));
  return names.size < 2 ? [] : curves(steps.map(({ terms }) => terms));
}

/** A line a name; steps without it are left out. */
function curves(of: readonly Readonly<Record<string, number>>[]): string[] {
  return [...new Set(of.flatMap(Object.keys))].map((name) => {
    const values = of.flatMap((one) => (one[name] === undefined ? [] : [one[name]]));
    return `  ${name}: ${sparkline(values)}  ${number(values[0]!)} → ${number(values.at(-1)!)}`;
  });
}

function evaluationLines(evaluations: readonly EvaluationMetrics[], metrics: readonly string[]): string[] {
  return evaluations
    .filter(({ when }) => when !== "during")
    .map((one) => {
      const bounds = (one.ci ?? {}) as Readonly<Record<string, readonly [number, number]>>;
      // With teams each of these is there for every team too: "solved.small".
      const own = metrics.flatMap((metric) => [
        metric,
        ...Object.keys(one).filter((name) => name.startsWith(`${metric}.`)),
      ]);
      const names = [...new Set([...own, ...Object.keys(one).filter((name) => name.startsWith("pass@"))])];
      const values = names.flatMap((name) => {
        const value = one[name];
        if (typeof value !== "number") return [];
        const ci = bounds[name];
        return [`${name} ${number(value)}${ci === undefined ? "" : ` [${number(ci[0])}, ${number(ci[1])}]`}`];
      });
      return `held out  ${one.when} training: ${values.join(", ")}, n = ${one.n}`;
    });
}

function failureLines(steps: readonly StepMetrics[], evaluations: readonly EvaluationMetrics[]): string[] {
  const counts: Record<string, number> = {};
  for (const { failures } of [...steps, ...evaluations] as readonly { readonly failures?: unknown }[]) {
    for (const [what, count] of Object.entries((failures ?? {}) as Readonly<Record<string, number>>))
      counts[what] = (counts[what] ?? 0) + count;
  }
  const found = Object.entries(counts).map(([what, count]) => `${what} ${count}×`);
  return found.length === 0 ? [] : [`failures  ${found.join(", ")}`];
}

/** "dry, evaluation-after, evaluation-before, steps 1 to 60 (6 recorded)" */
function episodeRange(files: readonly string[]): string {
  const steps = files.filter((name) => /^\d+$/.test(name)).map(Number);
  const others = files.filter((name) => !/^\d+$/.test(name));
  if (steps.length === 0) return others.join(", ");
  const range =
    steps.length === 1
      ? `step ${steps[0]}`
      : `steps ${steps[0]} to ${steps.at(-1)} (${steps.length} recorded)`;
  return [...others, range].join(", ");
}

function nextLine({ state, name }: RunRecord): string {
  if (state === "interrupted" || state === "crashed")
    return "The same `troupe train` command goes on from its newest checkpoint.";
  return `\`troupe show ${name} --step <n>\` lists the groups of a step, --episode <id> shows an episode.`;
}

export interface GroupView {
  readonly group: number;
  readonly task: unknown;
  readonly reward: Spread;
  readonly episodes: readonly {
    readonly id: string;
    readonly status: string;
    readonly reward: number | null;
    readonly result: unknown;
    readonly failure?: string;
    /** Of a branch: the episode that it branched off, by id, where that is in the group. */
    readonly parent?: string;
    /** Who answered the calls that were sampled for it. */
    readonly policies: readonly string[];
  }[];
}

/** Episodes of one step by group. */
export function groupViews(episodes: readonly RecordedEpisode[]): readonly GroupView[] {
  const byGroup = new Map<number, RecordedEpisode[]>();
  for (const episode of episodes) {
    const { group } = episode.identity;
    byGroup.set(group, [...(byGroup.get(group) ?? []), episode]);
  }
  return [...byGroup].map(([group, own]) => {
    const ids = new Set(own.map(({ id }) => id));
    const rewards = own.filter(({ status }) => status === "complete").map(meanReward);
    return {
      group,
      task: own[0]!.task,
      reward: rewards.length === 0 ? { mean: 0, deviation: 0 } : spreadOf(rewards, 0),
      episodes: own.map((episode) => ({
        id: episode.id,
        status: episode.status,
        reward: episode.status === "complete" ? meanReward(episode) : null,
        result: episode.result ?? null,
        ...(episode.failure === undefined ? {} : { failure: episode.failure.message }),
        ...parentIn(ids, episode.id),
        policies: [
          ...new Set(episode.calls.filter((call) => isOwnCall(episode, call)).map(({ policy }) => policy)),
        ].sort(),
      })),
    };
  });
}

/** A branch is named after the episode that it branched off, and the place: "train/…/00@4.1". */
function parentIn(ids: ReadonlySet<string>, id: string): { readonly parent?: string } {
  const parent = id.replace(/@[^@]*$/, "");
  return parent !== id && ids.has(parent) ? { parent } : {};
}

const excerpt = (value: unknown, limit: number) => {
  const text = (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).replace(/\s+/g, " ");
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
};

export function describeStepMetrics(metrics: StepMetrics): string {
  const { step, episodes, reward, groups, groupsWithoutSignal, terms, failures, policies, method } = metrics;
  const lines = [
    `step ${step}: ${episodes} complete episodes, reward ${number(reward.mean)} (deviation ${number(reward.deviation)}), ${groups - groupsWithoutSignal} of ${groups} groups with signal`,
  ];
  if (Object.keys(terms).length > 1)
    lines.push(
      `  terms: ${Object.entries(terms)
        .map(([name, value]) => `${name} ${number(value)}`)
        .join(", ")}`,
    );
  if (method !== undefined)
    lines.push(
      `  method: ${Object.entries(method)
        .map(([name, value]) => `${name} ${number(value)}`)
        .join(", ")}`,
    );
  for (const [what, count] of Object.entries(failures)) lines.push(`  failed: ${what} ${count}×`);
  for (const [name, policy] of Object.entries(policies)) {
    const { updated, version, sequences, tokens, truncated, loss, gradientNorm, learningRate } = policy;
    const update = updated
      ? `loss ${number(loss ?? Number.NaN)}, gradient norm ${number(gradientNorm ?? Number.NaN)}, learning rate ${learningRate}`
      : "not updated: no call had an advantage";
    lines.push(
      `  policy ${name} → version ${version}: ${sequences} outputs, ${tokens} tokens, ${(100 * truncated).toFixed(0)} % cut off, ${update}`,
    );
  }
  return lines.join("\n");
}

export function describeGroups(groups: readonly GroupView[]): string {
  return table(
    ["group", "reward", "deviation", "rewards", "task"],
    groups.map(({ group, task, reward, episodes }) => [
      String(group),
      reward.mean.toFixed(3),
      reward.deviation.toFixed(3),
      episodes.map((one) => (one.reward === null ? one.status : one.reward.toFixed(2))).join(" "),
      excerpt(task, 60),
    ]),
    ["group", "reward", "deviation"],
  );
}

const cells = (shown: boolean, ...all: readonly string[]) => (shown ? all : []);

export function describeGroup({ group, task, reward, episodes }: GroupView): string {
  const places = new Map(episodes.map(({ id }, place) => [id, String(place)]));
  const branches = episodes.some(({ parent }) => parent !== undefined);
  const several = new Set(episodes.flatMap(({ policies }) => policies)).size > 1;
  return [
    `group ${group}: reward ${reward.mean.toFixed(3)} (deviation ${reward.deviation.toFixed(3)})`,
    `task ${excerpt(task, 300)}`,
    "",
    table(
      [...cells(branches, "", "after"), "episode", ...cells(several, "policies"), "reward", "result"],
      episodes.map((one) => [
        ...cells(branches, places.get(one.id)!, places.get(one.parent ?? "") ?? "–"),
        one.id,
        ...cells(several, one.policies.join(", ")),
        one.reward === null ? one.status : one.reward.toFixed(3),
        excerpt(one.failure ?? one.result, 80),
      ]),
      ["", "after", "reward"],
    ),
  ].join("\n");
}
