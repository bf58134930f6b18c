/** Parts drawn at random from the catalogue: a combination is refused in words, or it is a sound method. */

import { expect, test } from "vitest";
import { catalog, importOf } from "../../src/catalog/index.ts";
import { compose, type MethodParts } from "../../src/methods/compose.ts";
import { LossError, MethodSettingsError } from "../../src/methods/errors.ts";
import * as methods from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import { type Stream, stream } from "../../src/random/stream.ts";
import {
  checkGradients,
  checkMicrobatches,
  checkOrder,
  checkState,
  MethodCheckError,
} from "../../src/testing/index.ts";
import { functions, neededSettings } from "../catalog/needed-settings.ts";

const combinations = 100;

const namesOf = (stage: string) =>
  catalog.filter((card) => card.stage === stage && !functions.includes(card.name)).map(({ name }) => name);

/** Sometimes none. */
const maybe = (random: Stream, stage: string) =>
  random.integer(2) === 0 ? [random.pick(namesOf(stage))] : [];

interface Drawn {
  readonly label: string;
  make(): Method;
}

function drawn(seed: number): Drawn {
  const random = stream("any combination", seed);
  const one = {
    sampler: random.pick(namesOf("sampler")),
    credit: random.pick(namesOf("credit")),
    advantage: random.pick(namesOf("advantage")),
    loss: random.pick(namesOf("loss")),
  };
  const several = {
    sequenceWeights: maybe(random, "sequence weight"),
    tokenWeights: maybe(random, "token weight"),
    regularisers: maybe(random, "regulariser"),
  };
  const partOf = (name: string): unknown => {
    const { name: exported } = importOf(catalog.find((card) => card.name === name)!)!;
    const factory = (methods as Readonly<Record<string, unknown>>)[exported];
    return (factory as (given?: unknown) => unknown)(neededSettings[name]);
  };
  return {
    label: [...Object.values(one), ...Object.values(several).flat()].join(" + "),
    make: () =>
      (compose as (parts: MethodParts) => Method)({
        ...Object.fromEntries(Object.entries(one).map(([slot, name]) => [slot, partOf(name)])),
        ...Object.fromEntries(Object.entries(several).map(([slot, names]) => [slot, names.map(partOf)])),
      } as unknown as MethodParts),
  };
}

test("a random combination is refused in words, or sound", () => {
  const found: string[] = [];
  const count = { refused: 0, sound: 0, still: 0, imitation: 0 };
  for (let seed = 0; seed < combinations; seed++) {
    const { label, make } = drawn(seed);
    try {
      const method = make();
      const constant = Object.hasOwn(method.settings, "loss/clipped-importance");
      checkMicrobatches(method, { batches: 2, groups: 2 });
      checkOrder(make(), { batches: 2, groups: 2 });
      checkState(make, { batches: 2, groups: 2 });
      checkGradients(method, {
        batches: 2,
        groups: 2,
        tokens: 12,
        ratio: constant ? "constant" : "differentiated",
      });
      count.sound++;
    } catch (error) {
      const { code, message } = error as { readonly code?: string; readonly message: string };
      if (error instanceof MethodSettingsError && code === "E_METHOD_COMBINATION") count.refused++;
      // Imitation takes no advantages below 0, whoever makes them.
      else if (error instanceof LossError && code === "E_LIKELIHOOD_WEIGHT") count.imitation++;
      else if (error instanceof MethodCheckError && message.includes("all gradients of")) count.still++;
      else found.push(`${label} (seed ${seed}): ${message.split("\n")[0]}`);
    }
  }
  expect(found).toEqual([]);
  expect(count.sound).toBeGreaterThan(combinations / 5);
  expect(count.refused).toBeGreaterThan(combinations / 10);
  expect(count.still).toBeLessThan(combinations / 10);
});
