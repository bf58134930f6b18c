import { describe, expect, it } from "vitest";
import { needsOf, RewardDefinitionError } from "../../src/rewards/reward.ts";
import {
  type ActionMatch,
  actionMatch,
  stepReward,
  stepRewardCard,
  stepRewards,
} from "../../src/rewards/step-reward.ts";
import { context, episode, totals } from "./episodes.ts";

const click = (x: number) => ({ name: "click", arguments: { x } });

describe("stepReward", () => {
  it("has the golden value of UI-S1: format and type right, not exact, is 0.55", () => {
    expect(stepReward({ format: true, action: "same type" })).toBeCloseTo(0.55, 12);
  });

  it("is 0.1 for the format and 0.9 for the action, over all outcomes", () => {
    const values: readonly (readonly [ActionMatch, number])[] = [
      ["unreadable", 0],
      ["other type", 0.09],
      ["same type", 0.45],
      ["exact", 0.9],
    ];
    for (const [action, value] of values) {
      expect(stepReward({ format: false, action })).toBeCloseTo(value, 12);
      expect(stepReward({ format: true, action })).toBeCloseTo(value + 0.1, 12);
    }
    expect(stepReward({ format: true, action: "same type" }, { format: 1, action: 2 })).toBe(2);
    const { format, action } = stepRewardCard.defaults;
    expect(stepReward({ format: true, action: "unreadable" })).toBe(format!.value);
    expect(stepReward({ format: false, action: "exact" })).toBe(action!.value);
  });

  it("tells actions apart by name and by everything", () => {
    expect(actionMatch(undefined, click(1))).toBe("unreadable");
    expect(actionMatch({ name: "type", arguments: { x: 1 } }, click(1))).toBe("other type");
    expect(actionMatch(click(2), click(1))).toBe("same type");
    expect(actionMatch(click(1), click(1))).toBe("exact");
  });
});

describe("stepRewards", () => {
  it("rewards each call of the agent against its recorded step", async () => {
    const recorded = [click(1), click(2), click(3)];
    const acted = [click(1), click(9), undefined].map((made, occurrence) => ({
      agent: "actor",
      occurrence,
      parse:
        made === undefined ? ({ ok: false, reason: "no" } as const) : ({ ok: true, value: made } as const),
      ...(made === undefined ? {} : { toolCalls: [made] }),
    }));
    const term = stepRewards("steps", {
      agent: "actor",
      outcome: ({ parse, toolCalls, occurrence }) => ({
        format: parse?.ok === true,
        action: actionMatch(toolCalls?.[0], recorded[occurrence]!),
      }),
    });
    const [scored] = await term.score([episode({ calls: [{ agent: "planner" }, ...acted] })], context);
    expect(scored).toEqual({
      rewards: [
        { name: "steps", value: 1, call: 1 },
        { name: "steps", value: expect.closeTo(0.55, 12), call: 2 },
        { name: "steps", value: 0, call: 3 },
      ],
    });
    expect(needsOf(term).agents).toEqual(["actor"]);
  });

  it("says nothing of calls without an outcome, and fails on one that is none", async () => {
    const group = [episode({ calls: [{ agent: "a" }] })];
    const silent = stepRewards("steps", { outcome: () => undefined });
    expect(await silent.score(group, context)).toEqual([{ rewards: [] }]);
    const odd = stepRewards("steps", { outcome: () => ({ format: true, action: "perfect" as ActionMatch }) });
    expect(await totals(odd, group)).toEqual(["E_REWARD_NOT_FINITE"]);
    expect(() => stepRewards("steps", { outcome: () => undefined, action: Number.NaN })).toThrow(
      RewardDefinitionError,
    );
  });
});
