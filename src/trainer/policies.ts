/** @file Opens the policies of a run, checks what could not be known before, and closes them again. */

import type { AnyPolicy, TrainablePolicy } from "../engine/policy.ts";
import { isTrainable } from "../engine/policy-spec.ts";
import { agentsOf } from "../workflow/workflow.ts";
import type { TrainSettings } from "./config.ts";
import { TrainConfigError } from "./errors.ts";

export interface OpenPolicies {
  readonly all: ReadonlyMap<string, AnyPolicy>;
  /** Those that agents use and that can be trained, by name. */
  readonly trainable: ReadonlyMap<string, TrainablePolicy>;
  /** Copies as they were at the start, where the method compares with them. */
  readonly references: ReadonlyMap<string, TrainablePolicy>;
  close(): Promise<void>;
}

export async function openPolicies<Task>(settings: TrainSettings<Task>): Promise<OpenPolicies> {
  const opened: AnyPolicy[] = [];
  const close = async () => {
    await Promise.all(opened.map((policy) => policy.close()));
  };
  const open = async (name: string, as: string) => {
    const policy = await settings.policies[name]!.open({ name: as, seed: settings.seed });
    opened.push(policy);
    return policy;
  };
  try {
    const all = new Map<string, AnyPolicy>();
    const trainable = new Map<string, TrainablePolicy>();
    const references = new Map<string, TrainablePolicy>();
    const used = new Set(settings.assignment.values());
    for (const name of Object.keys(settings.policies)) {
      const policy = await open(name, name);
      all.set(name, policy);
      if (!used.has(name) || !isTrainable(policy)) continue;
      trainable.set(name, policy);
      if (!settings.method.needs.reference) continue;
      const reference = await open(name, `${name} (reference)`);
      if (isTrainable(reference)) references.set(name, reference);
    }
    checkTraining(settings, trainable);
    return { all, trainable, references, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function checkTraining<Task>(
  { workflow, assignment }: TrainSettings<Task>,
  trainable: ReadonlyMap<string, TrainablePolicy>,
): void {
  if (trainable.size === 0) {
    throw new TrainConfigError({
      code: "E_CONFIG",
      message: `None of the policies that the agents of workflow "${workflow.name}" are assigned to can be trained.`,
      hint: "assign at least one agent to a trainable policy, such as local(…).",
    });
  }
  for (const { name, sampling } of agentsOf(workflow).values()) {
    if (sampling.train.temperature !== 0 || !trainable.has(assignment.get(name)!)) continue;
    throw new TrainConfigError({
      code: "E_CONFIG",
      message: `Agent "${name}" samples greedily (temperature 0) in training, so all episodes of a group are the same and nothing can be learned.`,
      hint: `use sampling: { train: { temperature: 1 } } or leave it out.`,
    });
  }
}
