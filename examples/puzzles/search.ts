/**
 * @file Search at inference with MARTI-MARS2-T+: policies that were trained, or not, look for programs together.
 *   npx jiti examples/puzzles/search.ts [--run runs/puzzles-mars2] [--nodes 60] [--puzzles 40] [--seed 0]
 *
 * Public tests choose; hidden tests are asked when a tree is finished. The shortest passing program is handed out: a stand-in
 * for a reward model.
 */

import { parseArgs } from "node:util";
import { openPoliciesOf, type Trajectory } from "troupe";
import { evaluateSearch, goOn, type ParticipantAction, tPlus } from "troupe/search";
import config from "./mars2.ts";
import { type Puzzle, puzzles } from "./puzzles.ts";
import { more, passesHidden, publicScore, type Solution, solve } from "./team.ts";

const { values: given } = parseArgs({
  options: {
    run: { type: "string" },
    nodes: { type: "string", default: "60" },
    puzzles: { type: "string", default: "40" },
    seed: { type: "string", default: "0" },
  },
});
const participants = Object.keys(config.teams ?? {});
const plan = tPlus<Trajectory>({
  nodes: Number(given.nodes),
  participants,
  rank: ({ result }) => -(result as Solution).code.length,
});
const opened = await openPoliciesOf(config, given.run === undefined ? {} : { checkpoint: given.run });
try {
  const { metrics, tokens, failures } = await evaluateSearch<Puzzle>({
    workflow: solve,
    tasks: puzzles("test", Number(given.puzzles), 20_000),
    policies: opened.policies,
    search: {
      plan: () => plan,
      assign: (action) => config.teams![(action as ParticipantAction).participant]!,
      branch: goOn(more),
      value: publicScore,
    },
    best: (tree) => plan.best(tree as Parameters<typeof plan.best>[0]),
    hidden: passesHidden,
    seed: Number(given.seed),
    onTree: ({ task, status }) => process.stderr.write(`puzzle ${task}: ${status}\n`),
  });
  console.log(
    `weights: ${opened.checkpoint?.path ?? "the starters"}; ${given.nodes} nodes a puzzle, ${tokens} tokens`,
  );
  for (const [name, { mean, passed, n, interval }] of Object.entries(metrics))
    console.log(
      `${name.padEnd(16)} ${mean.toFixed(3)} [${interval[0].toFixed(3)}, ${interval[1].toFixed(3)}]  ${passed} of ${n}`,
    );
  if (Object.keys(failures).length > 0) console.log("failed trees:", failures);
} finally {
  await opened.close();
}
// The sandbox's thread has nothing left to do.
process.exit(0);
