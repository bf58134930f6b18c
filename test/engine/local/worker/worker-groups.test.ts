/** @file Worker groups: a thread a base, threads that do not disturb each other, settings of one group and of all. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type LocalPolicy, openLocalPolicy } from "../../../../src/engine/local/index.ts";
import { joinGroup, workerGroups } from "../../../../src/engine/local/worker/worker-groups.ts";
import { key } from "../../../../src/random/stream.ts";
import { batch, type ModelFixture, modelFixture } from "./model-fixture.ts";

let fixture: ModelFixture;
const opened: LocalPolicy[] = [];
beforeAll(async () => {
  fixture = await modelFixture();
});
afterAll(() => fixture.remove());
afterEach(async () => {
  await Promise.all(opened.splice(0).map((policy) => policy.close()));
  expect(workerGroups()).toEqual([]);
});

async function open(worker?: string, settings = {}): Promise<LocalPolicy> {
  const policy = await openLocalPolicy(
    `in ${worker}`,
    fixture.folder,
    {},
    {
      ...settings,
      ...(worker === undefined ? {} : { worker }),
    },
  );
  opened.push(policy);
  return policy;
}

async function work(policy: LocalPolicy): Promise<readonly number[]> {
  const { tokens } = await policy.sample({ prompt: Int32Array.of(5, 17), maxTokens: 16, key: key(2) });
  const { length } = (await policy.forward(batch)).logprobs;
  await policy.backward(batch, { logprobs: new Float32Array(length).fill(-1) });
  const { gradientNorm } = await policy.step({ learningRate: 0.01 });
  return [...tokens, gradientNorm, ...(await policy.forward(batch)).logprobs];
}

test("policies over one folder are together; a group's thread ends with its last policy", async () => {
  const [first, second] = [await open(), await open()];
  expect(workerGroups()).toEqual([fixture.folder]);
  await open("apart");
  expect(workerGroups()).toEqual([fixture.folder, "apart"]);
  opened.splice(0, 1);
  await first.close();
  expect(workerGroups()).toContain(fixture.folder);
  await expect(second.forward(batch)).resolves.toBeDefined();
});

test("three threads of one process compute at once what one computes alone, bit by bit", async () => {
  const alone = await work(await open("alone"));
  const policies = await Promise.all(["a", "b", "c"].map((worker) => open(worker)));
  for (const result of await Promise.all(policies.map(work))) expect(result).toEqual(alone);
});

test("a group that fails takes its own policies with it and no others", async () => {
  const healthy = await open("healthy");
  const dead = await openLocalPolicy("dead", fixture.folder, {}, { worker: "dead" });
  const inFlight = dead.sample({ prompt: Int32Array.of(5), maxTokens: 200, key: key(1) });
  const place = await joinGroup("dead");
  await place.client.terminate();
  await expect(inFlight).rejects.toMatchObject({
    code: "E_ENGINE_STOPPED",
    message: expect.stringMatching(/"dead".*while sample/),
  });
  await expect(dead.forward(batch)).rejects.toMatchObject({ code: "E_ENGINE_STOPPED" });
  await expect(healthy.forward(batch)).resolves.toBeDefined();
  // The name is free again: a new policy gets a new thread.
  await expect((await open("dead")).forward(batch)).resolves.toBeDefined();
  await dead.close();
  await place.leave();
  expect(workerGroups()).toEqual(["healthy", "dead"]);
});

test("kernel threads are one choice for a process, the binding one for a group", async () => {
  const first = await open("a", { threads: 1 });
  expect(first.backend).toMatch(/^ffi/);
  await expect(open("b", { threads: 3 })).rejects.toMatchObject({
    code: "E_ENGINE_SETTINGS",
    message: expect.stringMatching(/"a" runs with threads 1; another policy asked for threads 3/),
  });
  await expect(open("a", { backend: "stock" })).rejects.toMatchObject({ code: "E_ENGINE_SETTINGS" });
  await open("a", { threads: 1 });
  await open("b");
  expect((await open("c", { backend: "stock" })).backend).toMatch(/^stock/);
});

test("a group that starts while the last one ends may have other kernel threads", async () => {
  const policies = await Promise.all([1, 2, 3].map((n) => open(`before ${n}`, { threads: 2 })));
  opened.length = 0;
  const closing = Promise.all(policies.map((policy) => policy.close()));
  const next = await open("after", { threads: 1 });
  await expect(next.forward(batch)).resolves.toBeDefined();
  await closing;
});

test("a process that waits for nothing but a close waits for its end, with samples in flight or not", async () => {
  const script = `
    import { openLocalPolicy } from ${JSON.stringify(new URL("../../../../dist/engine/local/index.js", import.meta.url))};
    const policy = await openLocalPolicy("p", ${JSON.stringify(fixture.folder)});
    const ends = [1, 2, 3].map((n) =>
      policy.sample({ prompt: Int32Array.of(5), maxTokens: 250, key: [n, n] }).catch(({ code }) => code));
    await policy.close();
    console.log("closed", (await Promise.all(ends)).length);`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  expect(stdout).toBe("closed 3\n");
});

test("a folder that cannot be opened leaves no thread behind", async () => {
  await expect(
    openLocalPolicy("x", fixture.folder, { adapter: fixture.scratch }, { worker: "none" }),
  ).rejects.toThrow(fixture.scratch);
  expect(workerGroups()).toEqual([]);
});
