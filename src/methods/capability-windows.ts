/**
 * @file How good policies have been of late: P̂ = mean of the last K steps' mean rewards, the current one included, by
 * baseline and policy; steps in which a policy did nothing are none of its own.
 */

import { MethodSettingsError } from "./errors.ts";

/** [baseline][policy] mean reward of each of the last steps, oldest first. */
export type CapabilityWindows = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>;

/** [baseline][policy] rewards of one step, one a response. */
export type StepRewards = ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>;

/** @param size K: older steps are forgotten. */
export function movedWindows(
  known: CapabilityWindows,
  rewards: StepRewards,
  size: number,
): CapabilityWindows {
  const next = new Map(known);
  for (const [baseline, policies] of rewards) {
    const windows = new Map(known.get(baseline) ?? []);
    for (const [policy, values] of policies) {
      if (values.length > 0)
        windows.set(policy, [...(windows.get(policy) ?? []), meanOf(values)].slice(-size));
    }
    next.set(baseline, windows);
  }
  return next;
}

/** P̂; undefined: nothing is known of it. */
export function capabilityOf(
  windows: CapabilityWindows,
  baseline: string,
  policy: string,
): number | undefined {
  const window = windows.get(baseline)?.get(policy);
  return window === undefined || window.length === 0 ? undefined : meanOf(window);
}

/** P̂ by "capability.<policy>"; with several baselines "capability.<baseline>.<policy>". */
export function capabilityMetrics(windows: CapabilityWindows): Readonly<Record<string, number>> {
  const several = windows.size > 1;
  return Object.fromEntries(
    [...windows].flatMap(([baseline, policies]) =>
      [...policies].map(([policy, window]) => [
        several ? `capability.${baseline}.${policy}` : `capability.${policy}`,
        meanOf(window),
      ]),
    ),
  );
}

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** As JSON. */
export function windowsState(windows: CapabilityWindows): Readonly<Record<string, unknown>> {
  return Object.fromEntries([...windows].map(([key, policies]) => [key, Object.fromEntries(policies)]));
}

/** From a checkpoint. @throws MethodSettingsError E_METHOD_STATE */
export function readWindows(part: string, state: unknown): CapabilityWindows {
  const refuse = (): never => {
    throw new MethodSettingsError({
      code: "E_METHOD_STATE",
      message: `The checkpoint's capability windows of ${part} are not lists of numbers by agent and policy.`,
      hint: "it is of a run with another method, or damaged; begin anew with --fresh.",
    });
  };
  const entriesOf = (value: unknown): readonly (readonly [string, unknown])[] =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : refuse();
  const numbersOf = (value: unknown): readonly number[] =>
    Array.isArray(value) && value.every((one): one is number => Number.isFinite(one)) ? value : refuse();
  return new Map(
    entriesOf(state).map(([key, policies]) => [
      key,
      new Map(entriesOf(policies).map(([policy, window]) => [policy, numbersOf(window)])),
    ]),
  );
}
