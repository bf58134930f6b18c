/** @file Policies for tests of workflows and training loops: no network, no weights on disk. */

export { type ScriptedPolicyOptions, scriptedPolicy } from "./scripted-policy.ts";
export { TabularPolicy, type TabularPolicyOptions, tabularPolicy } from "./tabular-policy.ts";
export { VirtualClock } from "./virtual-clock.ts";
