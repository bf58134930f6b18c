/** @file What the methods of `perPolicy` must agree in, what they ask for together, and the errors where they do not. */

import { MethodSettingsError } from "./errors.ts";
import type { Method, MethodNeeds } from "./method.ts";

/** Everything that any of them asks for. `heads`: value heads. */
export function unionOf(all: readonly MethodNeeds[], heads: number | undefined): MethodNeeds {
  if (all.length === 1) return all[0]!;
  const any = (wants: (needs: MethodNeeds) => unknown) => all.some((needs) => Boolean(wants(needs)));
  return {
    reference: any((needs) => needs.reference),
    entropy: any((needs) => needs.entropy),
    tokensWithoutAdvantage: any((needs) => needs.tokensWithoutAdvantage),
    ...(any((needs) => needs.referenceInEstimate) ? { referenceInEstimate: true } : {}),
    ...(any((needs) => needs.entropyInEstimate) ? { entropyInEstimate: true } : {}),
    ...(any((needs) => needs.trees) ? { trees: true } : {}),
    ...(heads === undefined ? {} : { values: heads === 1 ? true : heads }),
  };
}

/** What methods show of what they have learned, with the policy in front. */
export function metricsOf(entries: readonly (readonly [string, Method])[]): Readonly<Record<string, number>> {
  return Object.fromEntries(
    entries.flatMap(([policy, method]) =>
      Object.entries(method.metrics?.() ?? {}).map(([name, value]) => [`${policy}.${name}`, value]),
    ),
  );
}

/** What a task is worth to all methods that weigh tasks: the product. */
export function taskWeightsOf(all: readonly Method[]): Pick<Method, "taskWeights"> {
  const weighing = all.filter((method) => method.taskWeights !== undefined);
  if (weighing.length === 0) return {};
  return {
    taskWeights: (tasks) => {
      const weights = weighing.map((method) => method.taskWeights!(tasks));
      return tasks.map((_, i) => weights.reduce((product, own) => product * own[i]!, 1));
    },
  };
}

/** The one value that the methods have that have one. */
export function oneOf<Value>(
  name: string,
  what: string,
  entries: readonly (readonly [string, Method])[],
  read: (method: Method) => Value | undefined,
): Value | undefined {
  const known = entries.filter(([, method]) => read(method) !== undefined);
  const first = known[0];
  const other = known.find(([, method]) => read(method) !== read(first![1]));
  if (first === undefined || other === undefined) return first && read(first[1]);
  throw new MethodSettingsError({
    code: "E_METHOD_COMBINATION",
    message: `Method "${name}" cannot train policy "${first[0]}" by ${first[1].name} and policy "${other[0]}" by ${other[1].name}: they differ in their ${what}.`,
    hint: `groups are sampled once for all policies; give both methods the same ${what}.`,
    facts: { method: name },
  });
}

/** `known`: the policies that have one. */
export function noMethod(
  name: string,
  policy: string | undefined,
  known: readonly string[],
): MethodSettingsError {
  return new MethodSettingsError({
    code: "E_METHOD_POLICY",
    message:
      known.length === 0
        ? `Method "${name}" was given no method for any policy.`
        : `Method "${name}" has no method for ${policy === undefined ? "a call whose policy is not known" : `policy "${policy}"`}; it has some for ${known.join(", ")}.`,
    hint: "name every policy that the run trains, or freeze the others.",
    facts: { method: name, ...(policy === undefined ? {} : { policy }) },
  });
}

/** @throws MethodSettingsError E_METHOD_STATE */
export function stateOf(name: string, policy: string, state: unknown): unknown {
  if (typeof state === "object" && state !== null && Object.hasOwn(state, policy))
    return (state as Record<string, unknown>)[policy];
  throw new MethodSettingsError({
    code: "E_METHOD_STATE",
    message: `The checkpoint has nothing that the method of policy "${policy}" in "${name}" remembered.`,
    hint: "it is of a run with another method; begin anew with --fresh.",
    facts: { method: name, policy },
  });
}
