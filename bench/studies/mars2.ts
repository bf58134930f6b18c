/**
 * @file MARS² against GRPO and against a tree of one policy, on programming puzzles: one, two and three policies, the same
 * number of sampled tokens for all of them together. Held-out puzzles are of other kinds than those of training.
 */

import type { TrainOptions } from "troupe";
import { grpo, type Method, mars2 } from "troupe/methods";
import { evaluateSearch, marsSearch } from "troupe/search";
import { type Puzzle, puzzles } from "../../examples/puzzles/puzzles.ts";
import { starter } from "../../examples/puzzles/starters.ts";
import { metrics, more, passesHidden, publicScore, solve } from "../../examples/puzzles/team.ts";
import type { Arm, Measures, Outcome, Study } from "./study.ts";
import { type Checkpoint, type Trained, trained, withPolicies } from "./trained.ts";

type Name = Parameters<typeof starter>[0];

const budget = 60_000;
const nodes = 8;
const rate = 3e-4;
/** Puzzles of the search evaluation; pass@1 is of 200 puzzles, twice each. */
const searched = 150;

function optionsOf(
  names: readonly Name[],
  method: Method,
  tree: boolean,
  seed: number,
): TrainOptions<Puzzle> {
  const teams = Object.fromEntries(names.map((name) => [name, { coder: name }]));
  return {
    workflow: solve,
    tasks: puzzles("train", 4000),
    evaluate: puzzles("test", 200),
    metrics,
    evaluation: { decoding: "sampled", samples: 2 },
    gradingFields: ["hiddenTests"],
    policies: Object.fromEntries(names.map((name) => [name, starter(name)])),
    teams,
    ...(tree ? { search: marsSearch({ teams, more, nodes }), buffer: names.length > 1 ? 32 : 0 } : {}),
    method,
    steps: 400,
    tokenBudget: budget,
    tasksPerStep: 16,
    learningRate: rate,
    betas: [0.9, 0.95],
    evaluateEvery: 10,
    evaluateSample: 100,
    seed,
    run: "mars2",
  };
}

/** Scores of searches over held-out puzzles by the arm's own policies. */
async function searchScores(
  options: TrainOptions<Puzzle>,
  names: readonly Name[],
  checkpoint: Checkpoint,
): Promise<Measures> {
  return withPolicies(options, checkpoint, async (policies) => {
    const teams = Object.fromEntries(names.map((name) => [name, { coder: name }]));
    const {
      failed,
      failures,
      metrics: found,
    } = await evaluateSearch({
      workflow: solve,
      tasks: puzzles("test", searched, 10_000),
      policies,
      search: marsSearch({ teams, more, nodes }),
      value: publicScore,
      hidden: passesHidden,
      seed: 7,
    });
    if (failed > 0) throw new Error(`${failed} trees failed: ${JSON.stringify(failures)}`);
    return { "pass@1 (search)": found["pass@1 (search)"]!.mean, "pass@N": found["pass@N"]!.mean };
  });
}

function arm(name: string, line: string, names: readonly Name[], method: () => Method, tree: boolean): Arm {
  const settings = { names, method: method().settings, tree, budget, nodes, rate, searched };
  return {
    name,
    line,
    settings,
    run: async (seed, folder): Promise<Outcome> => {
      const options = optionsOf(names, method(), tree, seed);
      const before = await searchScores(options, names, undefined);
      const { checkpoint, ...outcome } = await trained(options, ["solved"], folder);
      const after = await searchScores(options, names, checkpoint);
      return {
        ...outcome,
        before: { ...outcome.before, "pass@1": outcome.before["solved.large"]!, ...before },
        after: { ...outcome.after, "pass@1": outcome.after["solved.large"]!, ...after },
      };
    },
  };
}

/** Each policy by GRPO in a run of its own, on half of the budget; they meet in the search afterwards. */
function apart(name: string, line: string, names: readonly Name[], method: () => Method): Arm {
  const settings = { names, method: method().settings, apart: true, budget, nodes, rate, searched };
  return {
    name,
    line,
    settings,
    run: async (seed, folder): Promise<Outcome> => {
      const runs: { readonly one: Name; readonly outcome: Trained }[] = [];
      for (const one of names) {
        const options = { ...optionsOf([one], method(), false, seed), tokenBudget: budget / names.length };
        runs.push({ one, outcome: await trained({ ...options, run: one }, ["solved"], folder) });
      }
      const measures = (of: (outcome: Outcome) => Measures): Measures => {
        const own = Object.fromEntries(
          runs.map(({ one, outcome }) => [`solved.${one}`, of(outcome)[`solved.${one}`]!]),
        );
        const solved = Object.values(own).reduce((sum, value) => sum + value, 0) / names.length;
        return { ...own, solved, "pass@1": own["solved.large"]! };
      };
      const whole = optionsOf(names, method(), false, seed);
      const checkpoints = Object.fromEntries(runs.map(({ one, outcome }) => [one, outcome.checkpoint]));
      return {
        before: { ...measures(({ before }) => before), ...(await searchScores(whole, names, undefined)) },
        after: { ...measures(({ after }) => after), ...(await searchScores(whole, names, checkpoints)) },
        curve: [],
        sampledTokens: runs.reduce((sum, { outcome }) => sum + outcome.sampledTokens, 0),
        steps: Math.max(...runs.map(({ outcome }) => outcome.steps)),
      };
    },
  };
}

export const study: Study = {
  name: "mars2",
  title: "MARS² on programming puzzles",
  measures: ["pass@1", "pass@1 (search)", "pass@N", "solved"],
  against: { arm: "grpo", measures: ["pass@1", "pass@1 (search)"] },
  about:
    "pass@1: one sample of the large policy alone. pass@1 (search), pass@N: trees of 8 nodes by the arm's own policies, public tests choose, hidden tests decide. solved: pass@1, mean over the arm's policies.",
  arms: [
    arm("grpo", "one policy, eight attempts a puzzle", ["large"], () => grpo({ groupSize: nodes }), false),
    arm("tree of one", "one policy, MARS² (RS²)", ["large"], () => mars2({ groupSize: nodes }), true),
    apart(
      "grpo, two apart",
      "two policies, GRPO each on half of the budget; they search together",
      ["large", "small"],
      () => grpo({ groupSize: nodes }),
    ),
    arm("tree of two", "two policies, MARS²", ["large", "small"], () => mars2({ groupSize: nodes }), true),
    arm(
      "tree of three",
      "three policies, MARS²",
      ["large", "small", "third"],
      () => mars2({ groupSize: nodes }),
      true,
    ),
    arm(
      "tree of two, unshaped",
      "two policies, MARS² without tree shaping (γ = 0)",
      ["large", "small"],
      () => mars2({ groupSize: nodes, gamma: 0 }),
      true,
    ),
  ],
};
