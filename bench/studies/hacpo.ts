/**
 * @file HACPO against GSPO, GSPO with double rollouts and naive sharing, for two policies of different size and tokenizer on
 * programming puzzles. Each policy samples eight answers a puzzle (sixteen with double rollouts); what differs is who learns
 * from what.
 */

import type { TrainOptions } from "troupe";
import { gspo, hacpo, type Method, sharedRollouts } from "troupe/methods";
import { type Puzzle, puzzles } from "../../examples/puzzles/puzzles.ts";
import { starter } from "../../examples/puzzles/starters.ts";
import { metrics, solve } from "../../examples/puzzles/team.ts";
import type { Arm, Measures, Outcome, Study } from "./study.ts";
import { trained } from "./trained.ts";

type Name = "small" | "large";

const steps = 24;
const tasksPerStep = 8;
const rate = 3e-4;
const minibatches = 4;
/** The printed 3e-4 and 4e-4 are for answers of hundreds of tokens; these have about ten. The same for all arms. */
const clip = { clipLow: 0.2, clipHigh: 0.28 };

function optionsOf(names: readonly Name[], method: Method, seed: number): TrainOptions<Puzzle> {
  return {
    workflow: solve,
    tasks: puzzles("train", 4000),
    evaluate: puzzles("test", 200),
    metrics,
    evaluation: { decoding: "sampled", samples: 2 },
    gradingFields: ["hiddenTests"],
    policies: Object.fromEntries(names.map((name) => [name, starter(name)])),
    teams: Object.fromEntries(names.map((name) => [name, { coder: name }])),
    method,
    steps,
    tasksPerStep,
    learningRate: rate,
    betas: [0.9, 0.95],
    evaluateEvery: 6,
    evaluateSample: 100,
    seed,
    run: names.join("-"),
  };
}

const shared = (name: string, line: string, method: () => Method): Arm => ({
  name,
  line,
  settings: { method: method().settings, name: method().name, steps, tasksPerStep, rate },
  run: async (seed, folder) =>
    withMean(await trained(optionsOf(["small", "large"], method(), seed), ["solved"], folder)),
});

/** Each policy in a run of its own: nothing is shared, not even the baseline. */
const apart = (name: string, line: string, method: () => Method): Arm => ({
  name,
  line,
  settings: {
    method: method().settings,
    groupSize: method().groupSize,
    steps,
    tasksPerStep,
    rate,
    apart: true,
  },
  run: async (seed, folder) => {
    const small = await trained(optionsOf(["small"], method(), seed), ["solved"], folder);
    const large = await trained(optionsOf(["large"], method(), seed), ["solved"], folder);
    const both = (left: Measures, right: Measures): Measures => ({
      "solved.small": left["solved.small"]!,
      "solved.large": right["solved.large"]!,
    });
    return withMean({
      before: both(small.before, large.before),
      after: both(small.after, large.after),
      curve: small.curve.map(([tokens, measures], i) => [
        tokens + large.curve[i]![0],
        both(measures, large.curve[i]![1]),
      ]),
      sampledTokens: small.sampledTokens + large.sampledTokens,
      steps: small.steps,
      notes: { ...small.notes, ...large.notes },
    });
  },
});

function withMean({ before, after, curve, sampledTokens, steps: taken, notes = {} }: Outcome): Outcome {
  const mean = (measures: Measures): Measures => ({
    ...measures,
    solved: (measures["solved.small"]! + measures["solved.large"]!) / 2,
  });
  return {
    before: mean(before),
    after: mean(after),
    curve: curve.map(([tokens, measures]) => [tokens, mean(measures)] as const),
    sampledTokens,
    steps: taken,
    notes,
  };
}

export const study: Study = {
  name: "hacpo",
  title: "HACPO on programming puzzles",
  along: "solved",
  against: { arm: "gspo", measures: ["solved"] },
  measures: ["solved.small", "solved.large", "solved"],
  about:
    "Share of held-out puzzles solved by one sample of each policy alone. GSPO ×2 samples and trains on twice as many answers; the others sample the same number.",
  arms: [
    apart("gspo", "each policy learns from its own answers", () =>
      gspo({ groupSize: 8, minibatches, ...clip }),
    ),
    apart("gspo ×2", "the same with double rollouts", () => gspo({ groupSize: 16, minibatches, ...clip })),
    shared("naive sharing", "all answers pooled, as if they were own", () =>
      sharedRollouts({ groupSize: 8, minibatches, ...clip }),
    ),
    shared("hacpo", "HACPO (α 1, δ .2, δ_step .025)", () => hacpo({ groupSize: 8, minibatches, ...clip })),
    shared("hacpo, source's baseline", "the other reading of Eq. 10", () =>
      hacpo({ groupSize: 8, minibatches, crossAdvantageBaseline: "source", ...clip }),
    ),
  ],
};
