/**
 * @file What each retrieval expert is worth alone: the team with one expert for all tasks, against the team whose selector
 * chooses, on the same held-out tasks and with the same other weights.
 *   npm run build && npx jiti examples/recommend/experts.ts [--checkpoint runs/recommend] [--tasks 400]
 */

import { parseArgs } from "node:util";
import { type CheckpointEvaluation, evaluatePolicies, scriptedPolicy, silentReporter } from "troupe";
import { experts, recommendTasks } from "./tasks.ts";
import type { Recommendation } from "./team.ts";
import config from "./train.ts";

const { values: given } = parseArgs({
  options: {
    /** A run or a checkpoint. Default: the starter, before any training. */
    checkpoint: { type: "string" },
    tasks: { type: "string", default: "400" },
  },
});
const tasks = recommendTasks("test", Number(given.tasks), 1);
const control = {
  reporter: silentReporter,
  ...(given.checkpoint === undefined ? {} : { checkpoint: given.checkpoint }),
};

const show = (value: number | undefined) => (value === undefined ? "   –  " : value.toFixed(3).padStart(6));

/** Accuracy over all tasks with its interval, by need, and how often each expert was chosen. */
function row(name: string, { means, intervals, values, trajectories }: CheckpointEvaluation): string {
  const byNeed = experts.map((need) => {
    const scores = values.flatMap((value, i) => (tasks[i]!.need === need && value ? [value.accuracy!] : []));
    return show(scores.reduce((sum, score) => sum + score, 0) / scores.length);
  });
  const chosen = experts.map(
    (expert) => trajectories.filter(({ result }) => (result as Recommendation).expert === expert).length,
  );
  const [low, high] = intervals.accuracy!;
  return (
    `${name.padEnd(10)} ${show(means.accuracy)} [${low.toFixed(3)}, ${high.toFixed(3)}]  ` +
    `${byNeed.join(" ")}   ${chosen.map((count) => (count / tasks.length).toFixed(2)).join(" ")}`
  );
}

console.log(
  `${"expert".padEnd(10)} accuracy [95 %]        by need: ${experts.join(" ")}   chosen: ${experts.join(" ")}`,
);
for (const expert of experts) {
  const fixed = scriptedPolicy({ answer: () => expert });
  const policies = { ...config.policies, selector: fixed };
  console.log(row(expert, await evaluatePolicies({ ...config, policies, evaluate: tasks }, control)));
}
console.log(row("selector", await evaluatePolicies({ ...config, evaluate: tasks }, control)));
process.exit(0);
