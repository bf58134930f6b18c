/**
 * @file Every policy of a team by a method of its own:
 *
 *   credit:   c_p = credit of method p over the whole group, of which only the calls of policy p are trained
 *   estimate, prepare, loss, updates: those of the method of the policy whose batch it is
 *
 * Each method sees the whole group, as it does alone, so the same method for every policy is that method. What methods
 * remember is kept apart; a step is told to each of them, with the statistics of its own policy.
 *
 * Source: MMAPO of MixRAGRec trains its three agents by PPO, PPO over adapters, and a contrastive loss. CHOSEN: one group
 * size for all, since groups are sampled once; one sampler at most.
 */

import type { MethodCard } from "./card.ts";
import type {
  BatchCall,
  BatchEstimates,
  Method,
  MethodNeeds,
  RewardedGroup,
  StepFacts,
  UpdatePlan,
} from "./method.ts";
import { creditGroups } from "./per-policy-credit.ts";
import { metricsOf, noMethod, oneOf, stateOf, taskWeightsOf, unionOf } from "./per-policy-rules.ts";

/** By the policy's name in the run. */
export type PolicyMethods = Readonly<Record<string, Method>>;

export interface PerPolicyMethod extends Method {
  /** What the method of one policy asks for; `needs` is what any of them does. */
  needsOf(policy: string): MethodNeeds;
  updatesOf(policy: string): UpdatePlan;
}

const once: UpdatePlan = Object.freeze({ epochs: 1, minibatches: 1 });

/**
 * @param methods one for each policy that the run trains. Its `credit` throws MethodSettingsError E_METHOD_POLICY for a
 * call of a trainable policy that has none.
 * @throws MethodSettingsError E_METHOD_POLICY without methods; E_METHOD_COMBINATION for methods whose group sizes, samplers
 * or numbers of value heads differ.
 * @example
 * train({ …, assign: { lead: "large", writer: "small" }, method: perPolicy({ large: ppo({ groupSize: 4 }), small: grpo({ groupSize: 4 }) }) });
 */
export function perPolicy(
  methods: PolicyMethods,
  { name = "per-policy" }: { readonly name?: string } = {},
): PerPolicyMethod {
  const entries = Object.entries(methods);
  const all = entries.map(([, method]) => method);
  if (entries.length === 0) throw noMethod(name, undefined, []);
  const groupSize = oneOf(name, "group size", entries, (method) => method.groupSize)!;
  const sampler = oneOf(name, "sampler", entries, (method) => method.sampler);
  const heads = oneOf(
    name,
    "number of value heads",
    entries,
    ({ needs }) => Number(needs.values ?? 0) || undefined,
  );
  const methodOf = (policy: string | undefined): Method => {
    // Whoever does not say which policy it is has only one.
    if (policy === undefined && all.length === 1) return all[0]!;
    if (policy !== undefined && Object.hasOwn(methods, policy)) return methods[policy]!;
    throw noMethod(name, policy, Object.keys(methods));
  };
  const creditAll = (groups: readonly RewardedGroup[]) => creditGroups(name, entries, groups);
  const stateful = entries.filter(([, method]) => method.state !== undefined);
  const observing = entries.filter(([, method]) => method.observe !== undefined);
  const measured = entries.filter(([, method]) => method.metrics !== undefined);
  return Object.freeze({
    name,
    groupSize,
    settings: Object.freeze(
      Object.fromEntries(
        entries.map(([policy, method]) => [policy, { method: method.name, ...method.settings }]),
      ),
    ),
    needs: unionOf(
      all.map(({ needs }) => needs),
      heads,
    ),
    needsOf: (policy) => methodOf(policy).needs,
    // Where a trainer asks for no single policy, all that every method needs is done.
    updates: all.length === 1 ? (all[0]!.updates ?? once) : largest(all),
    updatesOf: (policy) => planOf(methodOf(policy), policy),
    ...(sampler === undefined ? {} : { sampler }),
    ...(stateful.length === 0
      ? {}
      : {
          state: () => Object.fromEntries(stateful.map(([policy, method]) => [policy, method.state!()])),
          restore: (state: unknown) => {
            for (const [policy, method] of stateful) method.restore?.(stateOf(name, policy, state));
          },
        }),
    credit: (group) => creditAll([{ task: "", dataset: "", episodes: group }])[0]!,
    ...(all.some((method) => method.creditAll !== undefined) ? { creditAll } : {}),
    ...(all.some((method) => method.estimate !== undefined)
      ? {
          estimate: (batch: readonly BatchCall[]) =>
            batch.length === 0 ? { advantages: [] } : estimated(methodOf(batch[0]!.policy), batch),
        }
      : {}),
    ...(all.some((method) => method.prepare !== undefined)
      ? {
          prepare: (batch: readonly BatchCall[]) =>
            batch.length === 0 ? undefined : methodOf(batch[0]!.policy).prepare?.(batch),
        }
      : {}),
    loss: (input) => methodOf(input.policy).loss(input),
    ...(observing.length === 0
      ? {}
      : {
          observe: (facts: StepFacts) => {
            for (const [policy, method] of observing) {
              const own = facts.statistics[policy];
              method.observe!({ ...facts, statistics: own === undefined ? {} : { [policy]: own } });
            }
          },
        }),
    ...taskWeightsOf(all),
    ...(measured.length === 0 ? {} : { metrics: () => metricsOf(measured) }),
  } satisfies PerPolicyMethod);
}

function estimated(method: Method, batch: readonly BatchCall[]): BatchEstimates {
  const { advantages, returns } = method.estimate?.(batch) ?? {
    advantages: batch.map(({ credit, length }) => new Float32Array(length).fill(credit)),
  };
  if (returns !== undefined) return { advantages, returns };
  // A value head that another policy's method asked for, and this one does not train.
  const unused = batch.every(({ values }) => values !== undefined) && batch.length > 0;
  return unused
    ? { advantages, returns: batch.map(({ values }) => new Float32Array(values!.length)) }
    : { advantages };
}

const planOf = (method: Method, policy: string) => method.updatesOf?.(policy) ?? method.updates ?? once;

const largest = (all: readonly Method[]): UpdatePlan => ({
  epochs: Math.max(...all.map(({ updates = once }) => updates.epochs)),
  minibatches: Math.max(...all.map(({ updates = once }) => updates.minibatches)),
});

export const perPolicyCard: MethodCard = {
  name: "per-policy",
  title: "A method per policy",
  stage: "method",
  line: "trains every policy of a team by a method of its own, for agents that learn in different ways",
  use: 'import { perPolicy } from "troupe/methods"',
  formula: [
    "A of a call of policy p = A of method p over the whole group; texts that method p gives are learned by p alone",
    "L_p = L of method p over the batch of policy p",
  ],
  defaults: {},
  source: "MixRAGRec's MMAPO trains each agent by an update of its own (official code)",
  notes: ["CHOSEN: one group size and at most one sampler for all methods; each sees the whole group."],
};
