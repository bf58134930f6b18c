/** Named methods of the group family: their parts, what they ask of a run, and their cards. */

import { describe, expect, test } from "vitest";
import type { MethodCard } from "../../src/methods/card.ts";
import { g2rpo, g2rpoCard } from "../../src/methods/g2rpo.ts";
import { gigpo, gigpoCard } from "../../src/methods/gigpo.ts";
import type { Method } from "../../src/methods/method.ts";
import { entropyHinge } from "../../src/methods/regulariser/entropy-hinge.ts";

/** All settings of its parts in one object, and its group size. */
const settingsOf = ({ settings, groupSize }: Method): Record<string, unknown> => ({
  groupSize,
  ...Object.assign({}, ...Object.values(settings).filter((value) => typeof value === "object")),
});
const holds = (card: MethodCard, settings: Record<string, unknown>) => {
  for (const [name, { value }] of Object.entries(card.defaults))
    expect(settings[name], `${card.name} ${name}`).toEqual(value);
};

describe("GiGPO", () => {
  test("a penalty on the distance to the reference, unless it is 0", () => {
    expect(gigpo()).toMatchObject({
      name: "gigpo",
      needs: { reference: true, tokensWithoutAdvantage: true },
    });
    expect(gigpo({ klCoefficient: 0 }).needs).toMatchObject({ reference: false });
    expect(() => gigpo({ klCoefficient: -1 })).toThrow(/klCoefficient -1/);
    expect(() => gigpo({ groupSize: 1 })).toThrow(/compares the episodes of a task/);
  });

  test("the card says the defaults", () => {
    const { settings } = gigpo();
    holds(gigpoCard, {
      ...settingsOf(gigpo()),
      klCoefficient: (settings["regulariser/kl"] as { readonly coefficient: number }).coefficient,
    });
    expect(settings["regulariser/kl"]).toMatchObject({ estimator: "k3" });
  });
});

describe("G²RPO", () => {
  test("no regulariser unless it is asked for", () => {
    expect(g2rpo().needs).toMatchObject({ entropy: false, reference: false });
    expect(g2rpo({ regularisers: [entropyHinge()] }).prepare).toBeDefined();
    expect(g2rpo().prepare).toBeUndefined();
  });

  test("the card says the defaults", () => holds(g2rpoCard, settingsOf(g2rpo())));
});
