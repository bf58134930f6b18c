import fc from "fast-check";
import { expect, test } from "vitest";
import { SamplingAhead } from "../../src/trainer/sampling-ahead.ts";

/** A run whose weights have version = steps trained; `durations` are the ticks that the episodes of a step take. */
async function simulate(staleness: number, durations: readonly number[]) {
  const steps = durations.length;
  let version = 0;
  const begun: number[] = [];
  const ahead = new SamplingAhead<{ step: number; from: number; until: number }>({
    staleness,
    steps,
    sample: async (step) => {
      begun.push(step);
      const from = version;
      for (let tick = 0; tick < durations[step - 1]!; tick++) await new Promise((go) => setImmediate(go));
      return { step, from, until: version };
    },
  });
  const taken: { step: number; from: number; until: number; trainedAt: number }[] = [];
  for (let step = 1; step <= steps; step++) {
    taken.push({ ...(await ahead.take(step)), trainedAt: version });
    await new Promise((go) => setImmediate(go));
    version++;
  }
  return { taken, begun };
}

test("every step is trained once, in order, on episodes no older than the bound, however long they take", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 4 }),
      fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 10 }),
      async (staleness, durations) => {
        const { taken, begun } = await simulate(staleness, durations);
        expect(taken.map(({ step }) => step)).toEqual(durations.map((_, i) => i + 1));
        expect(begun).toEqual(durations.map((_, i) => i + 1));
        for (const { trainedAt, from } of taken) expect(trainedAt - from).toBeLessThanOrEqual(staleness);
      },
    ),
    { numRuns: 50 },
  );
});

test("with staleness 0 the weights never change while a step's episodes are in flight", async () => {
  const { taken } = await simulate(0, [3, 0, 5, 1]);
  for (const { from, until, trainedAt } of taken) expect([until, trainedAt]).toEqual([from, from]);
});

test("with staleness 2 the episodes of three steps overlap", async () => {
  const { taken } = await simulate(2, [4, 4, 4, 4, 4, 4]);
  expect(taken.map(({ from }) => from)).toEqual([0, 0, 0, 1, 2, 3]);
});

test("a failure of a later step is heard when its turn comes, not before", async () => {
  const ahead = new SamplingAhead<number>({
    staleness: 1,
    steps: 2,
    sample: async (step) => {
      if (step === 2) throw new Error("step 2 failed");
      return step;
    },
  });
  expect(await ahead.take(1)).toBe(1);
  await expect(ahead.take(2)).rejects.toThrow("step 2 failed");
  expect(() => ahead.take(2)).toThrow(RangeError);
});

test("a continued run begins at its step", async () => {
  const begun: number[] = [];
  const ahead = new SamplingAhead<number>(
    { staleness: 1, steps: 9, sample: async (step) => begun.push(step) },
    7,
  );
  await ahead.take(7);
  expect(begun).toEqual([7, 8]);
});
