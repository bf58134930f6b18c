/** @file Frozen policies and references: they sample and score, and have nothing that could be trained. */

import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { local, openLocalPolicy } from "../../../../src/engine/local/index.ts";
import type { ScoringPolicy, TrainablePolicy } from "../../../../src/engine/policy.ts";
import { canScore, isTrainable } from "../../../../src/engine/policy-spec.ts";
import { key } from "../../../../src/random/stream.ts";
import { batch, type ModelFixture, modelFixture } from "./model-fixture.ts";

let fixture: ModelFixture;
let policy: TrainablePolicy;
beforeAll(async () => {
  fixture = await modelFixture();
  policy = await openLocalPolicy("trained", fixture.folder);
});
afterAll(async () => {
  await policy.close();
  fixture.remove();
});

const logprobs = async (from: ScoringPolicy) => Array.from((await from.forward(batch)).logprobs);
async function learn(from: TrainablePolicy): Promise<void> {
  const { length } = (await from.forward(batch)).logprobs;
  await from.backward(batch, { logprobs: new Float32Array(length).fill(-1) });
  await from.step({ learningRate: 0.01 });
}

test("a frozen policy is not trainable, and scores bit by bit as the trainable one", async () => {
  const frozen = await openLocalPolicy("frozen", fixture.folder, { trainable: false });
  expect(isTrainable(policy)).toBe(true);
  expect(isTrainable(frozen)).toBe(false);
  expect(canScore(frozen)).toBe(true);
  expect(frozen.parameterCount).toBe(policy.parameterCount);
  const [mine, theirs] = await Promise.all([
    frozen.forward(batch, { entropy: true }),
    policy.forward(batch, { entropy: true }),
  ]);
  expect(mine).toEqual(theirs);
  const request = { prompt: Int32Array.of(5, 17), maxTokens: 8, key: key(1) };
  const before = await frozen.sample(request);
  await learn(policy);
  expect(await logprobs(policy)).not.toEqual(Array.from(theirs.logprobs));
  expect(await logprobs(frozen)).toEqual(Array.from(theirs.logprobs));
  expect(await frozen.sample(request)).toEqual(before);
  await frozen.close();
});

test("a frozen policy with a saved adapter scores as the adapter did", async () => {
  const adapter = join(fixture.scratch, "adapter");
  const trained = await openLocalPolicy("a", fixture.folder, {
    lora: { rank: 2, alpha: 4, targets: ["q_proj", "down_proj"] },
  });
  await learn(trained);
  await trained.save(adapter);
  const frozen = await openLocalPolicy("b", fixture.folder, { adapter, trainable: false });
  expect(isTrainable(frozen)).toBe(false);
  expect(await logprobs(frozen)).toEqual(await logprobs(trained));
  await Promise.all([trained.close(), frozen.close()]);
});

test.each([
  ["all weights", {}],
  ["an adapter", { lora: { rank: 2, alpha: 4, targets: ["v_proj"] as const } }],
])("the reference of a policy that trains %s is the policy at its start", async (_, options) => {
  const spec = local(fixture.folder, options);
  const trained = await spec.open({ name: "p", seed: 3 });
  const reference = await spec.openReference!({ name: "p (reference)", seed: 3 });
  expect(isTrainable(reference)).toBe(false);
  const start = await logprobs(trained);
  expect(await logprobs(reference)).toEqual(start);
  await learn(trained);
  expect(await logprobs(trained)).not.toEqual(start);
  expect(await logprobs(reference)).toEqual(start);
  await Promise.all([trained.close(), reference.close()]);
});

test("values are refused where there is no value head, and the next call works", async () => {
  const frozen = await openLocalPolicy("frozen", fixture.folder, { trainable: false });
  await expect(frozen.forward(batch, { values: true })).rejects.toMatchObject({ code: "E_NO_VALUE_HEAD" });
  expect(await logprobs(frozen)).toHaveLength(7);
  await frozen.close();
});

test("all weights, an adapter and a frozen policy over one folder train and stay apart", async () => {
  const lora = { rank: 2, alpha: 4, targets: ["v_proj"] } as const;
  const [whole, adapter, frozen] = await Promise.all([
    openLocalPolicy("whole", fixture.folder),
    openLocalPolicy("adapter", fixture.folder, { lora }),
    openLocalPolicy("frozen", fixture.folder, { trainable: false }),
  ]);
  const start = await logprobs(frozen);
  await learn(whole);
  const learnt = await logprobs(whole);
  expect(learnt).not.toEqual(start);
  expect(await logprobs(adapter)).toEqual(start);
  await learn(adapter);
  expect(await logprobs(adapter)).not.toEqual(start);
  expect(await logprobs(whole)).toEqual(learnt);
  expect(await logprobs(frozen)).toEqual(start);
  // The base stays while any of its users is open.
  await frozen.close();
  await expect(logprobs(adapter)).resolves.toHaveLength(7);
  await Promise.all([whole.close(), adapter.close()]);
});
