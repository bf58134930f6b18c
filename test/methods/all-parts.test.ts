/** What holds for every part of the catalogue, in a method with nothing else special. */

import { describe, expect, test } from "vitest";
import { catalog, importOf } from "../../src/catalog/index.ts";
import type { MethodParts } from "../../src/methods/compose.ts";
import * as methods from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import type {
  AdvantagePart,
  CreditAssigner,
  LossKernel,
  Regulariser,
  SamplerPart,
  SequenceWeight,
  TokenWeight,
} from "../../src/methods/parts.ts";
import {
  checkGradients,
  checkMicrobatches,
  checkOrder,
  checkSampler,
  checkState,
  randomBatch,
} from "../../src/testing/index.ts";
import { functions, neededSettings } from "../catalog/needed-settings.ts";

type AnyPart =
  | AdvantagePart
  | CreditAssigner
  | LossKernel
  | Regulariser
  | SamplerPart
  | SequenceWeight
  | TokenWeight;

const cards = catalog.filter(
  ({ stage, name }) => !["method", "reward", "schedule"].includes(stage) && !functions.includes(name),
);

function partOf(name: string): AnyPart {
  const card = cards.find((one) => one.name === name)!;
  const { name: exported } = importOf(card)!;
  const make = (methods as Readonly<Record<string, unknown>>)[exported];
  if (typeof make !== "function") throw new Error(`src/methods/index.ts does not export ${exported}`);
  return make(neededSettings[name]) as AnyPart;
}

const { bestAgainstWorst, bestOnly, branching, clipped, compose, groupAdvantage, preference } = methods;

/** The part in its slot, with what it cannot be without. */
function around(part: AnyPart): Method {
  const composed = compose as (parts: MethodParts) => Method;
  const loss = clipped();
  switch (part.stage) {
    case "loss": {
      const advantage =
        part.reads === "pairs"
          ? bestAgainstWorst()
          : part.name === "likelihood"
            ? bestOnly()
            : groupAdvantage();
      return composed({ advantage, loss: part });
    }
    case "regulariser":
      return composed({ loss, regularisers: [part] });
    case "sampler": {
      const others = { ...groupAdvantage(), compares: "steps" as const };
      return composed({
        sampler: part,
        advantage: part.samples === "single" ? others : groupAdvantage(),
        loss,
      });
    }
    case "credit":
      return composed({
        credit: part,
        loss,
        ...(part.wants === "tree" ? { sampler: branching({ groupSize: 4 }) } : {}),
      });
    case "advantage":
      return composed({ advantage: part, loss: part.gives === "pairs" ? preference() : loss });
    case "sequence weight":
      return composed({ sequenceWeights: [part], loss });
    case "token weight":
      return composed({ tokenWeights: [part], loss });
  }
}

describe.each(cards.map(({ name, stage }) => [name, stage] as const))("%s, %s", (name, stage) => {
  const make = () => around(partOf(name));

  test("stands in the stage of its card, frozen", () => {
    const part = partOf(name);
    expect(part.stage).toBe(stage);
    expect(Object.isFrozen(part)).toBe(true);
    expect(JSON.parse(JSON.stringify(part.settings))).toBeDefined();
  });

  test("gradients equal finite differences", () => {
    checkGradients(make(), {
      batches: 3,
      ratio: partOf(name).name === "clipped-importance" ? "constant" : "differentiated",
    });
  });

  test("microbatches change nothing", () => checkMicrobatches(make(), { batches: 3 }));

  test("the order of episodes changes nothing", () => checkOrder(make(), { batches: 3 }));

  test("what it has learned survives a checkpoint", () => checkState(make, { batches: 3 }));

  test.runIf(stage === "sampler")(
    "a sampler ends, asks for what is there, and is a function of its view",
    () => {
      const steps = checkSampler(partOf(name) as SamplerPart);
      expect(steps).toHaveLength(8);
      for (const groups of steps)
        for (const { episodes } of groups) expect(episodes.length).toBeGreaterThan(0);
    },
  );

  test("a step without anything to learn from is no error", () => {
    const episode = ({ sample }: { sample: number }) => ({
      id: `e${sample}`,
      reward: 0,
      terms: {},
      calls: [
        {
          agent: "a",
          policy: "policy",
          occurrence: 0,
          scope: "",
          id: 0,
          reward: 0,
          terms: { contribution: 0 },
          length: 2,
          node: `n${sample}`,
        },
      ],
    });
    const { credits } = randomBatch(make(), { episode });
    for (const { advantages } of credits)
      for (const row of advantages) for (const value of row) expect(Number.isFinite(value)).toBe(true);
    const { credits: empty } = randomBatch(make(), {
      episode: () => ({ reward: 0, calls: [] }),
    });
    expect(empty.flatMap(({ advantages }) => advantages.flatMap((row) => [...row]))).toEqual([]);
  });
});
