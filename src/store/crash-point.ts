/**
 * @file Named places at which a test kills this process, as a loss of power would: `TROUPE_CRASH_AT="name:count"` ends it
 * the `count`-th time the place is passed (default: the first). Without the variable a place costs one comparison.
 */

const [, wanted, count = "1"] = /^(.*?)(?::(\d+))?$/.exec(process.env.TROUPE_CRASH_AT ?? "") ?? [];
let left = wanted === undefined || wanted === "" ? 0 : Number(count);

/** Does not return where the test wants the process to end. */
export function crashPoint(name: CrashPoint): void {
  if (left === 0 || name !== wanted) return;
  left--;
  if (left === 0) process.kill(process.pid, "SIGKILL");
}

/** Every place, in the order in which a run passes it. */
export const crashPoints = [
  "run folder before config",
  "run folder ready",
  "episode ended",
  "tree node ended",
  "journal before write",
  "journal after write",
  "after dry group",
  "after first evaluation",
  "after sampling",
  "after rewards",
  "between policies",
  "after update",
  "between metrics and timings",
  "after step",
  "checkpoint after one policy",
  "checkpoint after weights",
  "checkpoint before manifest",
  "checkpoint before rename",
  "checkpoint before prune",
  "checkpoint during prune",
  "before last evaluation",
  "summary before rename",
  "after summary",
] as const;

export type CrashPoint = (typeof crashPoints)[number];
