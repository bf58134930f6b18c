/** @file The shape of a run's options, checked before anything is opened; defaults are filled in here. */

import { z } from "zod";
import { evaluationSchema } from "./evaluation-options.ts";

const positive = z.int().min(1);
const count = z.int().min(0);
const seconds = z.number().positive().or(z.literal(Number.POSITIVE_INFINITY));
const rate = z.number().positive();
const tasks = z.union([z.array(z.unknown()), z.custom((value) => hasFunctions(value, "load"))], {
  error: "expected a list of tasks or a source such as jsonl(…)",
});

const learningRate = rate.or(
  z.strictObject({
    peak: rate,
    warmupSteps: count.optional(),
    decay: z.enum(["constant", "linear", "cosine"]).optional(),
    final: z.number().min(0).optional(),
  }),
);
const betas = z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]);

export const optionsSchema = z.strictObject({
  workflow: z.custom((value) => hasFunctions(value, "run"), { error: "expected what workflow(…) returns" }),
  tasks,
  evaluate: tasks.optional(),
  metrics: z
    .record(
      z.string().regex(/^[\w@.-]+$/),
      z.custom((value) => typeof value === "function", { error: "expected a function" }),
    )
    .optional(),
  evaluation: evaluationSchema,
  gradingFields: z.array(z.string().min(1)).default([]),
  policies: z.record(
    z.string().regex(/^[\w.-]+$/),
    z.custom((value) => hasFunctions(value, "open"), {
      error: 'expected what local("…") or another engine returns',
    }),
  ),
  assign: z.record(z.string(), z.string()).optional(),
  teams: z.record(z.string().regex(/^[\w-]+$/), z.record(z.string(), z.string())).optional(),
  search: z
    .custom((value) => hasFunctions(value, "plan"), { error: "expected a search such as marsSearch(…)" })
    .optional(),
  buffer: count.or(z.record(z.string(), count)).default(0),
  rewards: z
    .custom((value) => hasFunctions(value, "score"), {
      error: "expected a reward term such as reward(name, (episode) => …)",
    })
    .optional(),
  reflect: z.custom((value) => typeof value === "function", { error: "expected a function" }).optional(),
  method: z.custom((value) => hasFunctions(value, "credit", "loss"), {
    error: "expected a method such as grpo(…)",
  }),
  steps: count,
  tokenBudget: seconds.default(Number.POSITIVE_INFINITY),
  tasksPerStep: positive.default(8),
  seed: z.int().default(0),
  run: z
    .string()
    .regex(/^[\w.-]+$/, "use letters, digits, '-', '_' and '.' only")
    .regex(/^(?!\.+$)/, "give it a name")
    .optional(),
  runsFolder: z.string().min(1).default("runs"),
  learningRate: learningRate.default(1e-5),
  betas: betas.default([0.9, 0.999]),
  weightDecay: z.number().min(0).default(0),
  maxGradientNorm: seconds.default(1),
  optimizers: z
    .record(
      z.string(),
      z.strictObject({
        learningRate: learningRate.optional(),
        betas: betas.optional(),
        weightDecay: z.number().min(0).optional(),
        maxGradientNorm: seconds.optional(),
        epsilon: rate.optional(),
      }),
    )
    .default({}),
  staleness: count.default(0),
  tokensPerMicrobatch: positive.default(32_768),
  evaluateEvery: count.default(10),
  evaluateSample: positive.default(64),
  checkpointEvery: count.default(10),
  keepCheckpoints: z
    .strictObject({
      last: positive.default(2),
      best: z.strictObject({ metric: z.string(), count: positive }).optional(),
    })
    .default({ last: 2 }),
  from: z.string().min(1).optional(),
  recordEpisodesEvery: count.default(1),
  concurrency: z
    .union([
      positive.transform((episodes) => ({ episodes })),
      z.strictObject({
        episodes: positive.default(512),
        policies: z.record(z.string(), positive).optional(),
        tools: z.record(z.string(), positive).optional(),
      }),
    ])
    .default({ episodes: 512 }),
  limits: z
    .strictObject({
      calls: positive.optional(),
      tokens: positive.optional(),
      depth: count.optional(),
      seconds: seconds.optional(),
    })
    .default({}),
  schedule: z
    .custom((value) => hasFunctions(value, "schedule", "observe"), {
      error: "expected a schedule such as infiniteSampling(…)",
    })
    .optional(),
  watchdog: seconds.default(60),
  memory: z
    .custom((value) => hasFunctions(value, "get", "put", "keys"), { error: "expected a MemoryStore" })
    .optional(),
  deadlines: z
    .strictObject({ call: seconds.default(300), tool: seconds.default(60), episode: seconds.default(900) })
    .prefault({}),
  maxFailureRate: z.number().min(0).max(1).default(0.2),
});

function hasFunctions(value: unknown, ...names: readonly string[]): boolean {
  if (typeof value !== "object" || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === "function");
}
