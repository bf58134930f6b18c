/** @file Opens the policies of a run, checks what could not be known before, and closes them again. */

import type { AnyPolicy, ScoringPolicy, TrainablePolicy } from "../engine/policy.ts";
import { canScore, isTrainable } from "../engine/policy-spec.ts";
import { checkScorers } from "../rewards/option-scores.ts";
import { agentsOf } from "../workflow/workflow.ts";
import type { TrainSettings } from "./config.ts";
import { TrainConfigError } from "./errors.ts";
import { assignmentsOf, usedPolicies } from "./teams.ts";
import { needsOfPolicy } from "./update-plan.ts";
import { checkValueHead } from "./value-head.ts";

export interface OpenPolicies {
  readonly all: ReadonlyMap<string, AnyPolicy>;
  /** Those that agents use and that can be trained, by name. */
  readonly trainable: ReadonlyMap<string, TrainablePolicy>;
  /** Frozen, as they were at the start, where the method compares with them. One for each of `trainable`. */
  readonly references: ReadonlyMap<string, ScoringPolicy>;
  close(): Promise<void>;
}

/** @param options.references false: leaves them out, where the updates happen elsewhere. Default true. */
export async function openPolicies<Task>(
  settings: TrainSettings<Task>,
  { references: comparing = true }: { readonly references?: boolean } = {},
): Promise<OpenPolicies> {
  const opened: AnyPolicy[] = [];
  const close = async () => {
    await Promise.all(opened.map((policy) => policy.close()));
  };
  try {
    const all = new Map<string, AnyPolicy>();
    const trainable = new Map<string, TrainablePolicy>();
    const references = new Map<string, ScoringPolicy>();
    const used = usedPolicies(settings);
    for (const name of Object.keys(settings.policies)) {
      const spec = settings.policies[name]!;
      const policy = await spec.open({ name, seed: settings.seed });
      opened.push(policy);
      all.set(name, policy);
      if (!used.has(name) || !isTrainable(policy)) continue;
      trainable.set(name, policy);
      await checkValueHead(name, policy, settings.method);
      const reference = comparing ? await openReference(name, settings) : undefined;
      if (reference === undefined) continue;
      opened.push(reference);
      references.set(name, reference);
    }
    checkTraining(settings, trainable);
    if (settings.rewards !== undefined) checkScorers(settings.rewards, all);
    return { all, trainable, references, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * The policy as it was at the start, frozen; undefined where the method does not compare this one with it.
 * @throws TrainConfigError E_CONFIG: its engine's reference cannot score tokens.
 */
export async function openReference<Task>(
  name: string,
  { method, policies, seed }: Pick<TrainSettings<Task>, "method" | "policies" | "seed">,
): Promise<ScoringPolicy | undefined> {
  if (!needsOfPolicy(method, name).reference) return undefined;
  const spec = policies[name]!;
  const context = { name: `${name} (reference)`, seed };
  const reference: AnyPolicy = await (spec.openReference?.(context) ?? spec.open(context));
  if (canScore(reference)) return reference;
  await reference.close();
  throw cannotScore(name, spec.kind);
}

function checkTraining<Task>(
  settings: TrainSettings<Task>,
  trainable: ReadonlyMap<string, TrainablePolicy>,
): void {
  const { workflow } = settings;
  const assignments = assignmentsOf(settings);
  if (trainable.size === 0) {
    throw new TrainConfigError({
      code: "E_CONFIG",
      message: `None of the policies that the agents of workflow "${workflow.name}" are assigned to can be trained.`,
      hint: "assign at least one agent to a trainable policy, such as local(…).",
    });
  }
  for (const { name, sampling } of agentsOf(workflow).values()) {
    const trained = assignments.some((assignment) => trainable.has(assignment.get(name)!));
    if (sampling.train.temperature !== 0 || !trained) continue;
    throw new TrainConfigError({
      code: "E_CONFIG",
      message: `Agent "${name}" samples greedily (temperature 0) in training, so all episodes of a group are the same and nothing can be learned.`,
      hint: `use sampling: { train: { temperature: 1 } } or leave it out.`,
    });
  }
}

function cannotScore(name: string, kind: string): TrainConfigError {
  return new TrainConfigError({
    code: "E_CONFIG",
    message: `The method compares policy "${name}" with a reference, but what engine "${kind}" opens as its reference cannot score tokens.`,
    hint: "leave the KL term out, or use an engine whose policies have `forward`, such as local(…).",
    facts: { policy: name, kind },
  });
}
