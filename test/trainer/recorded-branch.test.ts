/** Branches in a run's journal: which one is taken from it, and when a branch is made anew. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EffectJournal } from "../../src/store/effect-journal.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import { forkRecorded, runRecorded } from "../../src/trainer/recorded-episode.ts";
import type { ForkOptions } from "../../src/workflow/fork.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { more, type RetryTask, retry, retryTasks, words } from "./retry-team.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-branches-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let named = 0;
async function beginning() {
  const policy = await tabularPolicy({ words }).open({ name: "a", seed: 0 });
  let samples = 0;
  const sample = policy.sample.bind(policy);
  policy.sample = (request) => {
    samples++;
    return sample(request);
  };
  const place = join(folder, String(named++));
  let journal = new EffectJournal(place);
  const common = {
    workflow: retry,
    policies: new Map([["a", policy]]),
    assignment: new Map([["guesser", "a"]]),
  };
  const episode = (sampleNumber = 0) =>
    runRecorded(journal, {
      ...common,
      task: retryTasks[0]!,
      stage: "train",
      seed: 0,
      identity: { purpose: "train", step: 1, group: 0, task: 0, sample: sampleNumber },
    });
  const branch = (trajectory: Trajectory, number: number, over: Partial<ForkOptions<RetryTask>> = {}) =>
    forkRecorded(journal, {
      ...common,
      ...more(trajectory),
      trajectory,
      branch: number,
      ...over,
    });
  /** As after a kill: what was written, and nothing else. */
  const again = async () => {
    await journal.flush();
    await journal.close();
    journal = new EffectJournal(place);
    samples = 0;
  };
  return { policy, common, episode, branch, again, samples: () => samples, close: () => journal.close() };
}
const tokens = ({ calls }: Trajectory) => calls.map(({ output }) => [...output]);

test("a branch that had ended is taken as it was, also one of a branch", async () => {
  const { episode, branch, again, samples, close } = await beginning();
  const root = await episode();
  const one = await branch(root, 1);
  const two = await branch(one, 2);
  // At the same place and of the same number, but of another branch.
  const other = await branch(root, 3);
  const third = await branch(other, 2);
  await again();
  const same = await episode();
  const restored = await branch(same, 1);
  expect(tokens(await branch(restored, 2))).toEqual(tokens(two));
  const restoredOther = await branch(same, 3);
  expect(tokens(restoredOther)).toEqual(tokens(other));
  expect(tokens(await branch(restoredOther, 2))).toEqual(tokens(third));
  expect(restored.forks).toEqual([{ at: 1, branch: 1 }]);
  expect(samples()).toBe(0);
  await close();
});

test("of other weights, of other policies or off other tokens, it is made anew", async () => {
  const { policy, common, episode, branch, again, samples, close } = await beginning();
  const root = await episode();
  await branch(root, 1);
  await again();
  const same = await episode();
  const changed = same.calls.map((call) => ({ ...call, output: Int32Array.of(3) }));
  const moved = await branch({ ...same, calls: changed }, 1);
  expect(samples()).toBe(1);
  expect(tokens(moved)[0]).toEqual([3]);
  await again();
  await branch({ ...same, calls: changed }, 1);
  expect(samples()).toBe(0);
  const policies = new Map([...common.policies, ["b", policy]]);
  const handed = await branch({ ...same, calls: changed }, 1, {
    policies,
    assignment: new Map([["guesser", "b"]]),
  });
  expect(samples()).toBe(1);
  expect(handed.calls.map((call) => call.policy)).toEqual(["a", "b"]);
  await again();
  await policy.step({ learningRate: 0, betas: [0.9, 0.999], weightDecay: 0 });
  const newer = await branch(same, 1);
  expect(samples()).toBe(1);
  expect(newer.calls.map(({ version }) => version)).toEqual([0, 1]);
  // What comes before the branch point is the parent's, whatever weights it is of.
  await again();
  await branch(same, 1);
  expect(samples()).toBe(0);
  await close();
});

test("with another text in place of its call, it is made anew", async () => {
  const { episode, branch, again, samples, close } = await beginning();
  const long = await branch(await episode(), 1);
  const put = (text: string | undefined) =>
    branch(long, 2, {
      at: 0,
      task: long.task as RetryTask,
      ...(text === undefined ? {} : { edit: { text } }),
    });
  const first = await put("blue");
  expect(first.calls.map(({ text }) => text)[0]).toBe("blue");
  await again();
  await put("blue");
  expect(samples()).toBe(0);
  await again();
  expect((await put("green")).calls[0]!.text).toBe("green");
  await again();
  expect((await put(undefined)).calls[0]!.origin).toBe("sampled");
  await again();
  expect((await put("sun")).calls[0]!.text).toBe("sun");
  await close();
});

test("one that was stopped has not ended, and is sampled again", async () => {
  const { episode, branch, again, samples, close } = await beginning();
  const root = await episode();
  const stop = new AbortController();
  stop.abort();
  const stopped = await branch(root, 1, { signal: stop.signal });
  expect(stopped.status).toBe("cancelled");
  await again();
  const whole = await branch(await episode(), 1);
  expect(whole.status).toBe("complete");
  expect(samples()).toBe(1);
  await close();
});
