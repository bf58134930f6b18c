/** What holds for every named method of the catalogue, whatever it computes. */

import { describe, expect, test } from "vitest";
import { catalog, importOf } from "../../src/catalog/index.ts";
import * as methods from "../../src/methods/index.ts";
import type { Method } from "../../src/methods/method.ts";
import {
  checkGradients,
  checkMicrobatches,
  checkOrder,
  checkState,
  type GradientCheckOptions,
} from "../../src/testing/index.ts";
import { neededSettings } from "../catalog/needed-settings.ts";

const named = catalog.filter(({ stage }) => stage === "method");

const maker = (name: string): (() => Method) => {
  const card = named.find((one) => one.name === name)!;
  const made = (methods as Readonly<Record<string, unknown>>)[importOf(card)!.name];
  if (typeof made !== "function")
    throw new Error(`${name} is not exported from src/methods/index.ts as ${importOf(card)!.name}`);
  return () => made(neededSettings[name]) as Method;
};

/** CISPO's loss takes its clipped ratio for a constant. */
const gradientOptions = (method: Method): GradientCheckOptions =>
  Object.keys(method.settings).some((part) => part === "loss/clipped-importance")
    ? { ratio: "constant", batches: 3 }
    : { batches: 3 };

test("there are methods", () => {
  expect(named.length).toBeGreaterThan(0);
});

describe.each(named.map(({ name }) => name))("%s", (name) => {
  test("gradients equal finite differences", () => {
    const method = maker(name)();
    expect(checkGradients(method, gradientOptions(method)).moving).toBeGreaterThan(10);
  });

  test("microbatches change nothing", () => {
    checkMicrobatches(maker(name)(), { batches: 4 });
  });

  test("the order of episodes changes nothing", () => {
    checkOrder(maker(name)(), { batches: 4 });
  });

  test("what it has learned survives a checkpoint", () => {
    checkState(maker(name), { batches: 4 });
  });

  test("it is called as its card says", () => {
    const method = maker(name)();
    expect(method.name).toBe(name);
    expect(Object.isFrozen(method)).toBe(true);
  });
});
