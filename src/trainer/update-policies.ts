/** @file The updates of a step: all trainable policies at once, each on its own calls, and none of the frozen ones. */

import { crashPoint } from "../store/crash-point.ts";
import type { CallBuffer } from "./call-buffer.ts";
import type { CreditedGroup } from "./credit-groups.ts";
import type { EpisodeRunner } from "./groups.ts";
import type { OpenPolicies } from "./policies.ts";
import { type PolicyUpdate, updatePolicy } from "./update.ts";

/**
 * Updates every trainable policy. One that fails is an error of the run, once the others have come to an end: nothing is
 * left running, and no policy misses a step in silence.
 */
export async function updatePolicies<Task>(
  credited: readonly CreditedGroup<Task>[],
  policies: Pick<OpenPolicies, "trainable" | "references">,
  { settings, shared, buffer }: Pick<EpisodeRunner<Task>, "settings" | "shared" | "buffer">,
  step: number,
): Promise<ReadonlyMap<string, PolicyUpdate>> {
  const calls = credited.flatMap((group) => group.calls);
  const settled = await Promise.allSettled(
    [...policies.trainable].map(async ([name, policy]) => {
      const own = calls.filter(({ call }) => call.policy === name);
      const update = await updatePolicy({
        name,
        policy,
        reference: policies.references.get(name),
        calls: buffer?.take(name, own) ?? own,
        step,
        settings,
        quietly: async (work) => {
          const gate = shared.gates?.policy(name);
          // Weights change only while no call of theirs is being sampled: each output is of one version.
          await gate?.close();
          try {
            return await work();
          } finally {
            gate?.open();
          }
        },
      });
      crashPoint("between policies");
      return [name, { ...update, ...leftOut(name, credited, buffer) }] as const;
    }),
  );
  for (const result of settled) if (result.status === "rejected") throw result.reason;
  return new Map(settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : [])));
}

/** What a policy's update went without: texts that it was given and could not use, by reason, and calls that wait. */
export function leftOut(
  policy: string,
  credited: readonly CreditedGroup<unknown>[],
  buffer: CallBuffer | undefined,
): Pick<PolicyUpdate, "refused" | "waiting"> {
  const refused: Record<string, number> = {};
  for (const group of credited)
    for (const [reason, count] of Object.entries(group.refused?.[policy] ?? {}))
      refused[reason] = (refused[reason] ?? 0) + count;
  const waiting = buffer?.waiting(policy) ?? 0;
  return {
    ...(Object.keys(refused).length === 0 ? {} : { refused }),
    ...(waiting === 0 ? {} : { waiting }),
  };
}
