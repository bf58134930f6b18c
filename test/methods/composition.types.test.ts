/** What parts may be combined: the compiler refuses, in a sentence, what `compose` refuses when it runs. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, expectTypeOf, test } from "vitest";
import { emaAdvantage } from "../../src/methods/advantage/ema.ts";
import { groupAdvantage } from "../../src/methods/advantage/group.ts";
import { treeGrpoAdvantage } from "../../src/methods/advantage/tree-grpo.ts";
import { combinationFault, type Refused, type Sentence } from "../../src/methods/combination.ts";
import { compose } from "../../src/methods/compose.ts";
import { broadcast } from "../../src/methods/credit/broadcast.ts";
import { treeMean } from "../../src/methods/credit/tree-mean.ts";
import { MethodSettingsError } from "../../src/methods/errors.ts";
import { clipped } from "../../src/methods/loss/clipped.ts";
import { sequenceRatio } from "../../src/methods/loss/gspo.ts";
import { preference } from "../../src/methods/loss/preference.ts";
import type { Method } from "../../src/methods/method.ts";
import type { AdvantagePart } from "../../src/methods/parts.ts";
import { branching } from "../../src/methods/sampler/branching.ts";
import { fixedGroups } from "../../src/methods/sampler/fixed.ts";
import { focalWeight } from "../../src/methods/weight/focal.ts";
import { whitened } from "../../src/methods/weight/whitened.ts";
import { checkMethod } from "../../src/testing/index.ts";

/** Pairs, of nothing. */
const pairs = Object.freeze({
  stage: "advantage",
  name: "pairs",
  compares: "episodes",
  gives: "pairs",
  settings: {},
  advantages: () => [],
} satisfies AdvantagePart);
/** An advantage that compares with the steps before, and not with a group. */
const overSteps = Object.freeze({ ...groupAdvantage(), name: "over steps", compares: "steps" } as const);
const perToken = Object.freeze({
  ...groupAdvantage(),
  name: "per token",
  perToken: () => ({ advantages: [] }),
});

function refused(make: () => Method): { readonly message: string; readonly hint: string } {
  try {
    make();
  } catch (error) {
    expect(error).toBeInstanceOf(MethodSettingsError);
    const { code, message, hint } = error as MethodSettingsError;
    expect(code).toBe("E_METHOD_COMBINATION");
    return { message, hint: hint! };
  }
  throw new Error("It was composed.");
}

describe("what does not fit is refused by the compiler and when it runs", () => {
  test("a loss over pairs without pairs", () => {
    // @ts-expect-error This loss reads pairs; …
    const { message, hint } = refused(() => compose({ loss: preference() }));
    expect(message).toContain('loss "preference" reads pairs, and advantage "group" makes none');
    expect(hint).toContain("bestAgainstWorst()");
  });

  test("pairs without a loss over pairs", () => {
    // @ts-expect-error These are pairs of calls, not advantages; …
    const { message, hint } = refused(() => compose({ advantage: pairs, loss: clipped() }));
    expect(message).toContain('advantage "pairs" makes pairs, which loss "clipped" does not read');
    expect(hint).toContain("preference()");
  });

  test("one episode a task, and an advantage that compares episodes", () => {
    const { message, hint } = refused(() =>
      // @ts-expect-error This advantage compares the episodes of a task, and this sampler gives one; …
      compose({ sampler: fixedGroups(1), advantage: groupAdvantage(), loss: clipped() }),
    );
    expect(message).toContain('compares the episodes of a task, and sampler "fixed" gives one');
    expect(hint).toContain("fixedGroups(8)");
    // @ts-expect-error the default advantage compares episodes too
    refused(() => compose({ sampler: fixedGroups(1), loss: clipped() }));
  });

  test("credit over branches without branches", () => {
    // @ts-expect-error This credit is over branching episodes; …
    const { message, hint } = refused(() => compose({ credit: treeMean(), loss: clipped() }));
    expect(message).toContain('credit "tree-mean" is over branching episodes, and sampler "fixed" does not');
    expect(hint).toContain("branching()");
  });

  test("credit for single calls of branching episodes, and an advantage that judges whole episodes", () => {
    const { message, hint } = refused(() =>
      compose({
        sampler: branching(),
        credit: treeMean(),
        // @ts-expect-error This advantage judges whole episodes, …
        advantage: treeGrpoAdvantage(),
        loss: clipped(),
      }),
    );
    expect(message).toContain(
      'advantage "tree-grpo" judges whole episodes, and credit "tree-mean" single calls',
    );
    expect(hint).toContain("broadcast()");
    compose({ sampler: branching(), advantage: treeGrpoAdvantage(), loss: clipped() });
  });

  test("one ratio a sequence, and an advantage a token", () => {
    const { message, hint } = refused(() =>
      // @ts-expect-error A loss with one ratio a sequence needs one advantage a sequence; …
      compose({ tokenWeights: [whitened()], loss: sequenceRatio() }),
    );
    expect(message).toContain('loss "sequence-ratio" has one ratio a sequence');
    expect(hint).toContain("token-level loss");
    // Whether an advantage is per token is seen when it runs.
    expect(refused(() => compose({ advantage: perToken, loss: sequenceRatio() })).message).toContain(
      "advantages of their own",
    );
  });

  test("a part in a slot of another stage", () => {
    // @ts-expect-error a loss is no advantage
    const asAdvantage = () => compose({ advantage: clipped(), loss: clipped() });
    // @ts-expect-error a weight of tokens is none of sequences
    const asWeight = () => compose({ sequenceWeights: [whitened()], loss: clipped() });
    // @ts-expect-error there is no method without a loss
    const without = () => compose({ advantage: groupAdvantage() });
    expect([asAdvantage, asWeight, without]).toHaveLength(3);
  });
});

test("the compiler's message is a sentence", () => {
  type Parts<T> = { readonly loss: ReturnType<typeof clipped> } & T;
  expectTypeOf<Refused<Parts<{ readonly sampler: { readonly samples: "single" } }>>>().toEqualTypeOf<{
    readonly sampler: Sentence<"This advantage compares the episodes of a task, and this sampler gives one; take fixedGroups(8), or an advantage that compares with something else.">;
  }>();
  expectTypeOf<
    Refused<Parts<{ readonly advantage: ReturnType<typeof emaAdvantage> }>>
  >().toEqualTypeOf<unknown>();
});

describe("what fits composes", () => {
  test("focal weights, DAPO's clipping, remembered deviations: one expression", () => {
    const make = () =>
      compose({
        advantage: emaAdvantage(),
        sequenceWeights: [focalWeight({ gamma: 0.5 })],
        loss: clipped({ clipHigh: 0.28 }),
      });
    checkMethod(make, { batches: 3 });
    expect(Object.keys(make().settings)).toEqual([
      "epochs",
      "minibatches",
      "sampler/fixed",
      "credit/broadcast",
      "advantage/ema",
      "sequence weight/focal",
      "loss/clipped",
    ]);
  });

  test("one episode with an advantage that compares with something else", () => {
    expect(compose({ sampler: fixedGroups(1), advantage: overSteps, loss: clipped() }).groupSize).toBe(1);
  });

  test("branches with credit over them, and broadcast over branches", () => {
    for (const credit of [treeMean(), broadcast()])
      expect(compose({ sampler: branching(), credit, loss: clipped() }).sampler?.name).toBe("branching");
  });

  test("pairs with their loss; token weights with a ratio a token", () => {
    expect(compose({ advantage: pairs, loss: preference() }).needs.reference).toBe(true);
    compose({ tokenWeights: [whitened()], loss: clipped() });
    compose({ tokenWeights: [whitened()], loss: sequenceRatio({ form: "token" }) });
    compose({ tokenWeights: [], loss: sequenceRatio() });
  });
});

test("docs/methods/composition.md has every sentence", () => {
  const root = join(import.meta.dirname, "../..");
  const source = readFileSync(join(root, "src/methods/combination.ts"), "utf8");
  const page = readFileSync(join(root, "docs/methods/composition.md"), "utf8").replace(/\s+/g, " ");
  const sentences = [...source.matchAll(/Sentence<"([^"]+)">/g)].map(([, sentence]) => sentence!);
  expect(sentences).toHaveLength(6);
  expect(sentences.filter((sentence) => !page.includes(sentence))).toEqual([]);
  // As many rules when it runs.
  expect(source.match(/says: `/g)).toHaveLength(6);
  expect(combinationFault).toBeTypeOf("function");
});
