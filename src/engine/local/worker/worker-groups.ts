/**
 * @file The worker groups of this process, by name: one thread each, started with its first policy and ended with its
 * last. A group that fails takes its own policies with it and no others.
 *
 * ONNX Runtime has one pool of kernel threads for a process, whichever thread asks first. So groups do not multiply
 * kernel threads: with g groups at work there are at most g + threads − 1 of them.
 */

import { availableParallelism } from "node:os";
import { EngineClient } from "./engine-client.ts";
import { EngineError } from "./errors.ts";
import type { EngineSettings } from "./protocol.ts";

interface Group {
  readonly client: EngineClient;
  readonly settings: EngineSettings;
  users: number;
}

/** A policy's place in a group. */
export interface GroupPlace {
  readonly client: EngineClient;
  /** To be called once. `last` is done before the policy is gone; the group's last one then ends the thread. */
  leave(last?: () => Promise<void>): Promise<void>;
}

const groups = new Map<string, Group>();

/** Threads that are about to end. Until then the runtime's pool is theirs, and so is their memory. */
const ending = new Set<Promise<void>>();

/** Names of the groups whose threads run. */
export function workerGroups(): readonly string[] {
  return [...groups.keys()];
}

/** @throws EngineError when the settings contradict those of the group, or the process's kernel threads. */
export async function joinGroup(name: string, settings: EngineSettings = {}): Promise<GroupPlace> {
  await Promise.all(ending);
  for (const [key, { client }] of groups) if (client.failed) groups.delete(key);
  let group = groups.get(name);
  if (group) {
    requireSame(name, group.settings, settings, ["threads", "backend", "spinning"]);
  } else {
    const [running] = groups;
    // What the first group of the process left open has a value by now, and the others have the same.
    const pool: EngineSettings = running
      ? { threads: running[1].settings.threads!, spinning: running[1].settings.spinning! }
      : {};
    if (running) requireSame(running[0], pool, settings, ["threads", "spinning"]);
    const complete = withDefaults({ ...pool, ...settings });
    group = { client: new EngineClient(name, complete), settings: complete, users: 0 };
    groups.set(name, group);
  }
  group.users += 1;
  return place(name, group);
}

function place(name: string, group: Group): GroupPlace {
  return {
    client: group.client,
    leave: async (last = async () => {}) => {
      group.users -= 1;
      if (group.users > 0) return last();
      if (groups.get(name) === group) groups.delete(name);
      const end = last().finally(() => group.client.shutDown());
      const settled = end.then(
        () => {},
        () => {},
      );
      ending.add(settled);
      try {
        await end;
      } finally {
        ending.delete(settled);
      }
    },
  };
}

function withDefaults({ threads, spinning, backend }: EngineSettings): EngineSettings {
  return {
    threads: threads ?? availableParallelism(),
    spinning: spinning ?? false,
    ...(backend === undefined ? {} : { backend }),
  };
}

function requireSame(
  name: string,
  running: EngineSettings,
  wanted: EngineSettings,
  fields: readonly (keyof EngineSettings)[],
): void {
  const different = fields.filter((field) => wanted[field] !== undefined && wanted[field] !== running[field]);
  if (different.length === 0) return;
  const list = (from: EngineSettings) =>
    different.map((field) => `${field} ${from[field] ?? "by default"}`).join(", ");
  throw new EngineError({
    code: "E_ENGINE_SETTINGS",
    message: `Worker group "${name}" runs with ${list(running)}; another policy asked for ${list(wanted)}.`,
    hint: "give these policies the same engine settings, or none; `backend` may differ between groups (option `worker`).",
    facts: { worker: name, running, wanted },
  });
}
