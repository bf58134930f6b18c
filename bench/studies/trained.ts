/** @file One training run of an arm, and its policies afterwards, opened with the weights of its last checkpoint. */

import { join } from "node:path";
import { silentReporter, type TrainOptions, train } from "troupe";
import { type AnyPolicy, isTrainable } from "troupe/engine";
import type { Measures, Outcome } from "./study.ts";

export interface Trained extends Outcome {
  /** Folder of the last checkpoint. */
  readonly checkpoint: string;
}

/** Trains, and keeps what the evaluations said. */
export async function trained<Task>(
  options: TrainOptions<Task>,
  names: readonly string[],
  folder: string,
): Promise<Trained> {
  const curve: (readonly [number, Measures])[] = [];
  let sampledTokens = 0;
  let steps = 0;
  const notes: Record<string, number> = {};
  const measured = (facts: Readonly<Record<string, unknown>>): Measures =>
    Object.fromEntries(
      Object.entries(facts).flatMap(([name, value]) =>
        typeof value === "number" && names.some((one) => name === one || name.startsWith(`${one}.`))
          ? [[name, value]]
          : [],
      ),
    );
  const event = (facts: Readonly<Record<string, unknown>>) => {
    if (facts.kind === "evaluation") curve.push([sampledTokens, measured(facts)]);
    if (facts.kind !== "step") return;
    steps++;
    sampledTokens += facts.sampledTokens as number;
    for (const [name, update] of Object.entries(facts.policies as Readonly<Record<string, PolicyNotes>>)) {
      notes[`given.${name}`] = (notes[`given.${name}`] ?? 0) + (update.given ?? 0);
      const refused = Object.values(update.refused ?? {}).reduce((sum, count) => sum + count, 0);
      notes[`refused.${name}`] = (notes[`refused.${name}`] ?? 0) + refused;
      notes[`sequences.${name}`] = (notes[`sequences.${name}`] ?? 0) + update.sequences;
    }
  };
  const summary = await train(
    { recordEpisodesEvery: 0, checkpointEvery: 0, ...options, runsFolder: folder },
    { reporter: { ...silentReporter, event }, fresh: true },
  );
  return {
    before: curve[0]![1],
    after: curve.at(-1)![1],
    curve,
    sampledTokens,
    steps,
    notes: Object.fromEntries(Object.entries(notes).filter(([, value]) => value !== 0)),
    checkpoint: summary.checkpoint,
  };
}

interface PolicyNotes {
  readonly sequences: number;
  readonly given?: number;
  readonly refused?: Readonly<Record<string, number>>;
}

/** One for all policies, or one for each by name; undefined: as they began. */
export type Checkpoint = string | Readonly<Record<string, string>> | undefined;

/** Opens a run's policies as a checkpoint has them. */
export async function withPolicies<Task, Result>(
  { policies, seed = 0 }: TrainOptions<Task>,
  checkpoint: Checkpoint,
  work: (policies: ReadonlyMap<string, AnyPolicy>) => Promise<Result>,
): Promise<Result> {
  const opened = new Map<string, AnyPolicy>();
  try {
    for (const [name, spec] of Object.entries(policies)) {
      const policy = await spec.open({ name, seed });
      opened.set(name, policy);
      const from = typeof checkpoint === "object" ? checkpoint[name] : checkpoint;
      if (from !== undefined && isTrainable(policy)) await policy.restore(join(from, name));
    }
    return await work(opened);
  } finally {
    await Promise.all([...opened.values()].map((policy) => policy.close()));
  }
}
