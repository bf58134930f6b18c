import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyRewards } from "../../src/rewards/apply.ts";
import { dynamicWeights } from "../../src/rewards/dynamic-weights.ts";
import { effectiveActions } from "../../src/rewards/effective-actions.ts";
import { infeasible } from "../../src/rewards/feasibility.ts";
import { gatedAccumulation } from "../../src/rewards/gated-accumulation.ts";
import { informationConsistent } from "../../src/rewards/information-consistency.ts";
import { percentileReward } from "../../src/rewards/percentile-reward.ts";
import type { Json } from "../../src/rewards/reward.ts";
import { sideBySide } from "../../src/rewards/side-by-side.ts";
import { reward } from "../../src/rewards/terms.ts";
import { turnCap } from "../../src/rewards/turn-cap.ts";
import { between } from "../methods/numbers.ts";
import { context, episode, totals, trajectory } from "./episodes.ts";

interface Facts {
  readonly score: number;
  readonly moved: number;
  readonly tried: number;
}
const factsOf = ({ result }: { readonly result: unknown }) => result as Facts;

/** Shapers within shapers, as a user might stack them: gate, scale, weights, marks. */
function stacked() {
  const score = reward("score", (one) => factsOf(one).score);
  const scaled = percentileReward(score, {
    percentiles: { toy: { p25: 0.2, p50: 0.4, p75: 0.8 } },
    name: "scaled",
  });
  const useful = effectiveActions(scaled, {
    effective: (one) => factsOf(one).moved,
    issued: (one) => factsOf(one).tried,
    name: "useful",
  });
  const varied = informationConsistent("varied", { lowest: 0, highest: 4 });
  const weighted = dynamicWeights({ useful, varied }, { window: 2 });
  const cap = turnCap("cap", { turns: (one) => factsOf(one).tried, initial: 9, every: 1 });
  const format = reward("format", () => 0.5);
  return sideBySide({
    quality: gatedAccumulation([{ term: weighted, above: 0.3 }, { term: format }], { name: "levels" }),
    infeasible: infeasible({ brief: (one) => factsOf(one).tried < 8 }),
    cap: cap.term,
  });
}

const facts = fc
  .tuple(between(0, 1), fc.nat(5), fc.nat(5))
  .map(([score, moved, more]): Facts => ({ score, moved, tried: moved + more }));
const episodesOf = (list: readonly Facts[]) =>
  list.map((result, sample) => episode({ result, sample, task: { dataset: "toy" } }));

describe("shapers within shapers", () => {
  it("permuting a group permutes its rewards, each of them finite", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(facts, { minLength: 1, maxLength: 6 }), async (list) => {
        const values = await totals(stacked(), episodesOf(list));
        const turned = await totals(stacked(), episodesOf([...list].reverse()));
        for (const [i, value] of [...turned].reverse().entries()) {
          expect(Number.isFinite(value)).toBe(true);
          expect(value).toBeCloseTo(values[i] as number, 9);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("learn once a step, and go on from a checkpoint as if nothing had happened", async () => {
    const steps = [0.1, 0.5, 0.9, 0.4].map((score) => [
      { score, moved: 2, tried: 4 },
      { score: 0.6, moved: 3, tried: 3 },
    ]);
    const run = async (restart: boolean) => {
      let term = stacked();
      const seen: (number | string)[][] = [];
      for (const [i, list] of steps.entries()) {
        const now = { ...context, step: i + 1 };
        const trajectories = list.map((result, sample) => trajectory({ result, sample }));
        const [group] = await applyRewards(term, [{ task: { dataset: "toy" }, trajectories }], now);
        seen.push(group!.trajectories.map(({ rewards }) => JSON.stringify(rewards)));
        if (!restart) continue;
        const saved: Json = JSON.parse(JSON.stringify(term.state!()));
        term = stacked();
        term.restore!(saved);
      }
      return seen;
    };
    const whole = await run(false);
    expect(await run(true)).toEqual(whole);
    // The cap came down after the first step, and the log says so.
    expect(whole[0]![0]).toContain('"name":"cap.cap","value":9');
    expect(whole[1]![0]).toContain('"name":"cap.cap","value":3');
  });
});
