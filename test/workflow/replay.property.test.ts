/** Replay, fork and recovery over workflows of any shape. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/workflow/clock.ts";
import type { Effect } from "../../src/workflow/effect.ts";
import { runEpisode } from "../../src/workflow/episode.ts";
import { forkEpisode } from "../../src/workflow/fork.ts";
import { replayEpisode } from "../../src/workflow/replay.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { readTrajectory, trajectoryLine } from "../../src/workflow/trajectory-json.ts";
import { anyShape, keyedPolicy, type Shape, shaped, steadyShape } from "./shapes.ts";

const assignment = new Map([
  ["one", "keyed"],
  ["two", "keyed"],
]);
/** Time stands still: two forks of one branch see the same. */
const clock: Clock = {
  now: () => systemClock.now(),
  date: () => 1_763_700_000_003,
  after: (milliseconds, work) => systemClock.after(milliseconds, work),
};
const identity = { purpose: "train", step: 1, group: 0, task: 0, sample: 0 };

async function record(
  shape: Shape,
  {
    recorded,
    onEffect,
    onSample,
    pace,
  }: {
    readonly recorded?: readonly Effect[];
    readonly onEffect?: (effect: Effect) => void;
    readonly onSample?: () => void;
    readonly pace?: number;
  } = {},
): Promise<Trajectory> {
  return runEpisode({
    workflow: shaped,
    task: { shape, before: "s" },
    policies: new Map([["keyed", await keyedPolicy(onSample, pace)]]),
    assignment,
    stage: "train",
    identity,
    seed: 3,
    clock,
    ...(recorded === undefined ? {} : { recorded }),
    ...(onEffect === undefined ? {} : { onEffect }),
  });
}

/** All that a replay must repeat, less the clock. */
const content = ({ result, rewards, draws, calls, tools, memory, status }: Trajectory) => ({
  status,
  result,
  rewards,
  draws,
  calls: calls.map(({ startedAt: _, seconds: __, ...call }) => call),
  tools: tools.map(({ startedAt: _, seconds: __, ...tool }) => tool),
  memory: memory.map(({ startedAt: _, seconds: __, ...use }) => use),
});

test("a replay repeats every effect in its order, from memory and from a line of JSON", async () => {
  await fc.assert(
    fc.asyncProperty(anyShape, async (shape) => {
      const trajectory = await record(shape);
      expect(trajectory.failure).toBeUndefined();
      expect(content(await replayEpisode({ workflow: shaped, trajectory }))).toEqual(content(trajectory));
      const read = readTrajectory(trajectoryLine(trajectory));
      expect(content(await replayEpisode({ workflow: shaped, trajectory: read }))).toEqual(content(read));
    }),
    { numRuns: 150 },
  );
}, 60_000);

test("a fork at any call keeps what was issued before, and samples the rest under the keys of its branch", async () => {
  await fc.assert(
    fc.asyncProperty(anyShape, fc.nat(), async (shape, pick) => {
      const trajectory = await record(shape);
      if (trajectory.calls.length === 0) return;
      const at = pick % trajectory.calls.length;
      const call = trajectory.calls[at]!;
      const policies = new Map([["keyed", await keyedPolicy()]]);
      const fork = (branch: number, of = trajectory, place = at) =>
        forkEpisode({ workflow: shaped, trajectory: of, at: place, branch, policies, assignment, clock });
      const [first, again, other] = [await fork(1), await fork(1), await fork(2)];
      expect(first.failure).toBeUndefined();
      expect(content(again).calls.map(({ text }) => text)).toEqual(
        content(first).calls.map(({ text }) => text),
      );
      for (const forked of [first, other]) {
        for (const kept of trajectory.calls) {
          if (kept.issued >= call.issued || kept.settled < 0) continue;
          // The fork may come to its end before it, for example where another branch wins a race now.
          const found = forked.calls.find(({ id }) => id === kept.id)!;
          expect(found.input).toEqual(kept.input);
          if (found.status === "complete") expect(found.output).toEqual(kept.output);
        }
        expect(forked.draws.filter(({ issued }) => issued < call.issued)).toEqual(
          trajectory.draws.filter(({ issued }) => issued < call.issued),
        );
      }
      // Six letters of eight: two keys agree once in 262,144 times.
      const texts = [trajectory, first, other].map(({ calls }) => calls[at]!);
      if (texts.every(({ status }) => status === "complete"))
        expect(new Set(texts.map(({ text }) => text)).size).toBe(3);
      // A branch is an episode like any other: it replays, and it can be forked again.
      expect(content(await replayEpisode({ workflow: shaped, trajectory: first }))).toEqual(content(first));
      const place = (pick >> 8) % first.calls.length;
      const deeper = await fork(1, first, place);
      expect(deeper.forks).toEqual([
        { at, branch: 1 },
        { at: place, branch: 1 },
      ]);
      expect(deeper.failure).toBeUndefined();
      if (deeper.calls[place]!.status === "complete" && first.calls[place]!.status === "complete")
        expect(deeper.calls[place]!.text).not.toBe(first.calls[place]!.text);
    }),
    { numRuns: 80 },
  );
}, 60_000);

/** What a call was and said, whatever its number. */
const said = ({ calls }: Trajectory) =>
  calls
    .map(({ scope, agent, input, prompt, text, status, failure }) =>
      JSON.stringify([scope, agent, String(input).slice(0, 80), prompt.length, text, status, failure?.code]),
    )
    .sort();

const isSampled = ({ failure }: { readonly failure?: { readonly code: string } }) =>
  failure?.code !== "E_PROMPT_TOO_LONG";

test("an episode cut off anywhere goes on to the same end at any pace, and asks no model for what it knows", async () => {
  await fc.assert(
    fc.asyncProperty(steadyShape, fc.integer({ min: 10, max: 40 }), async (shape, pace) => {
      const effects: Effect[] = [];
      const whole = await record(shape, { onEffect: (effect) => effects.push(effect) });
      expect(whole.failure).toBeUndefined();
      const few = effects.length <= 8;
      const cuts = few
        ? [...effects.keys(), effects.length]
        : [0, 1, 2, effects.length >> 1, effects.length - 2, effects.length - 1, effects.length];
      for (const cut of cuts) {
        const recorded = effects.slice(0, cut);
        let sampled = 0;
        const later: Effect[] = [];
        const recovered = await record(shape, {
          recorded,
          pace,
          onSample: () => sampled++,
          onEffect: (effect) => later.push(effect),
        });
        const known = recorded.filter((effect) => effect.kind === "call" && isSampled(effect.record)).length;
        expect(sampled).toBe(whole.calls.filter(isSampled).length - known);
        expect(recovered.result).toEqual(whole.result);
        expect(recovered.rewards).toEqual(whole.rewards);
        expect(said(recovered)).toEqual(said(whole));
        expect(recovered.calls.map(({ id }) => id)).toEqual(whole.calls.map(({ id }) => id));
        // The journal of both attempts together is whole again, with nothing twice.
        expect(recorded.length + later.length).toBe(effects.length);
        expect(content(await replayEpisode({ workflow: shaped, trajectory: recovered }))).toEqual(
          content(recovered),
        );
      }
    }),
    { numRuns: 60 },
  );
}, 60_000);
