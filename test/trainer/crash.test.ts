/**
 * @file `kill -9` at every named place and at random moments: the same command goes on, and what comes out is equal to
 * the bit. `npm run test:crash` is the long form.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { stream } from "../../src/random/stream.ts";
import { crashPoints } from "../../src/store/crash-point.ts";
import { modelFixture } from "../engine/local/worker/model-fixture.ts";
import { CrashRun } from "./crash/harness.ts";

/** Kills at random moments, in chains of six over one run. */
const kills = Number(process.env.TROUPE_CRASH_KILLS ?? 6);
const long = kills > 6;
/** Trees have runs of their own, below. */
const placesWithoutTrees = crashPoints.filter((name) => name !== "tree node ended");

vi.setConfig({ testTimeout: long ? 1_800_000 : 120_000, hookTimeout: 60_000 });

const runs: CrashRun[] = [];
const newRun = (model?: string, script?: string) => {
  const run = new CrashRun(model, script);
  runs.push(run);
  return run;
};
afterAll(() => {
  for (const run of runs) run.remove();
});

describe("two tabular policies", () => {
  let expected: unknown;
  beforeAll(async () => {
    const run = newRun();
    await run.finish();
    expected = run.outcome();
    expect(JSON.stringify(expected)).toContain(String.raw`\"updated\":true`);
  });

  test("one run, killed at one named place after the other", async () => {
    const run = newRun();
    const survived: string[] = [];
    for (const place of placesWithoutTrees) {
      const { killed, output, code } = await run.attempt({ crashAt: place });
      if (!killed) survived.push(`${place}: ended with ${code}\n${output}`);
      if (place !== "after summary") expect(run.finished, place).toBe(false);
    }
    expect(survived).toEqual([]);
    await run.finish();
    expect(run.outcome()).toEqual(expected);
  });

  test(`killed ${kills} times at random moments`, async () => {
    for (let chain = 0; chain * 6 < kills; chain++) {
      const run = newRun();
      let killed = 0;
      for (let i = 0; i < 6 && !run.finished; i++) {
        // A process needs about 0.3 s to begin, and the run another half.
        const killAfter = 250 + 500 * stream(chain, "kill after", i).uniform();
        if ((await run.attempt({ killAfter })).killed) killed++;
      }
      expect(killed).toBeGreaterThan(0);
      await run.finish();
      expect(run.outcome(), `chain ${chain}`).toEqual(expected);
    }
  });

  test.runIf(long)(
    "killed at each named place, at its first, second, fifth and twentieth passing",
    async () => {
      for (const place of placesWithoutTrees) {
        for (const count of [1, 2, 5, 20]) {
          const run = newRun();
          await run.attempt({ crashAt: `${place}:${count}` });
          await run.finish();
          expect(run.outcome(), `${place}:${count}`).toEqual(expected);
          run.remove();
        }
      }
    },
  );
});

describe("two policies of the local engine", () => {
  const places = [
    "after sampling:2",
    "between policies:3",
    "checkpoint after one policy:2",
    "checkpoint before prune:2",
  ];

  test("killed at some places, continued to equal weights", async () => {
    const model = await modelFixture();
    try {
      const whole = newRun(model.folder);
      await whole.finish();
      const run = newRun(model.folder);
      for (const crashAt of long ? placesWithoutTrees : places) {
        const { killed, output } = await run.attempt({ crashAt });
        expect(killed, `${crashAt}\n${output}`).toBe(true);
      }
      await run.finish();
      expect(run.outcome()).toEqual(whole.outcome());
    } finally {
      model.remove();
    }
  });
});

describe("search trees", () => {
  const samples = (run: CrashRun) =>
    readFileSync(join(run.folder, "samples.log"), "utf8").trim().split("\n").length;
  let expected: unknown;
  let sampled = 0;
  beforeAll(async () => {
    const run = newRun(undefined, "trees");
    await run.finish();
    expected = run.outcome();
    sampled = samples(run);
    expect(JSON.stringify(expected)).toContain(String.raw`\"waiting\":`);
  });

  test("a run that is killed in the middle of a tree goes on in the middle of it", async () => {
    const run = newRun(undefined, "trees");
    let deaths = 0;
    for (const count of [3, 11, 20, 26, 33]) {
      const { killed } = await run.attempt({ crashAt: `tree node ended:${count}` });
      if (killed) deaths++;
    }
    expect(deaths).toBeGreaterThan(3);
    await run.finish();
    expect(run.outcome()).toEqual(expected);
    // One node a tree was in flight at each death. Without a journal of branches some thirty more are sampled.
    expect(samples(run) - sampled).toBeLessThan(deaths * 3);
  });

  test.runIf(long)(
    "a run of trees that is killed at every named place goes on to equal weights",
    async () => {
      const run = newRun(undefined, "trees");
      let deaths = 0;
      for (const crashAt of crashPoints) if ((await run.attempt({ crashAt })).killed) deaths++;
      expect(deaths).toBe(crashPoints.length);
      await run.finish();
      expect(run.outcome()).toEqual(expected);
    },
  );
});
