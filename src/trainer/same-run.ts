/** @file Whether a run folder holds the beginning of the very run that was asked for: same configuration, not finished. */

import { createHash } from "node:crypto";
import type { AnyWorkflow } from "../workflow/workflow.ts";
import { RunFolderError } from "./errors.ts";

/** Settings that change where, how fast and how patiently a run goes, and not what comes out of it. */
const neutral: ReadonlySet<string> = new Set([
  "run",
  "runsFolder",
  "checkpointEvery",
  "keepCheckpoints",
  "recordEpisodesEvery",
  "concurrency",
  "schedule",
  "deadlines",
  "watchdog",
  "maxFailureRate",
  // Where the weights came from; what was asked for is `from`.
  "lineage",
  // A run may go on with a fault in its code corrected.
  "code",
]);

/** A run's `config.json`. */
export type ConfigRecord = Readonly<Record<string, unknown>>;

const decisive = (config: ConfigRecord) =>
  Object.fromEntries(Object.entries(config).filter(([name]) => !neutral.has(name)));

/** sha256 of what decides the results. The order of names does not matter. */
export function configDigest(config: ConfigRecord): string {
  return createHash("sha256")
    .update(JSON.stringify(sorted(asJson(decisive(config)))))
    .digest("hex");
}

/** sha256 of tasks, so that a changed task file shows. */
export function tasksDigest(tasks: readonly unknown[]): string {
  const hash = createHash("sha256");
  for (const task of tasks) hash.update(JSON.stringify(task) ?? "undefined").update("\n");
  return hash.digest("hex");
}

/**
 * sha256 of the text of a workflow's functions: its own, its agents' prompts and parsers, its tools, its children. What
 * those call in turn is not seen.
 */
export function codeDigest(workflow: AnyWorkflow): string {
  const hash = createHash("sha256");
  const add = (part: object) => {
    for (const [name, value] of Object.entries(part))
      if (typeof value === "function") hash.update(`${name}: ${value}\n`);
  };
  const seen = new Set<AnyWorkflow>();
  const visit = (flow: AnyWorkflow) => {
    if (seen.has(flow)) return;
    seen.add(flow);
    add({ [flow.name]: flow.run });
    for (const part of Object.values({ ...flow.agents, ...flow.tools }))
      add(typeof part === "function" ? { part } : part);
    for (const child of flow.children) visit(child);
  };
  visit(workflow);
  return hash.digest("hex");
}

/** @throws RunFolderError listing what differs. */
export function refuseChanged(path: string, recorded: ConfigRecord, asked: ConfigRecord): void {
  const changes = [...differences(asJson(decisive(recorded)), asJson(decisive(asked)), "")];
  if (changes.length === 0) return;
  throw new RunFolderError({
    code: "E_RUN_CHANGED",
    message: `${path} holds an unfinished run of another configuration, so it cannot go on:\n${changes.map((change) => `  ${change}`).join("\n")}`,
    hint: "undo the change to go on with it, give --fresh to begin anew (the unfinished run is moved aside), or choose another name with --run. To train its weights further with other settings, give --from and another name.",
    facts: { path, changes },
  });
}

function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, item]) => [name, sorted(item)]),
  );
}

/** "learningRate: 0.1 is now 0.2", one for each leaf that differs. */
function* differences(was: unknown, now: unknown, place: string): Generator<string> {
  if (isRecord(was) && isRecord(now)) {
    for (const name of new Set([...Object.keys(was), ...Object.keys(now)]))
      yield* differences(was[name], now[name], place === "" ? name : `${place}.${name}`);
    return;
  }
  if (JSON.stringify(sorted(was)) === JSON.stringify(sorted(now))) return;
  yield `${place}: ${shown(was)} is now ${shown(now)}`;
}

function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value);
  return text.length <= 80 ? text : `${text.slice(0, 80)} …`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
