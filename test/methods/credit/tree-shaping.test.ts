import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { treeNodesAdvantage } from "../../../src/methods/advantage/tree-nodes.ts";
import { broadcast } from "../../../src/methods/credit/broadcast.ts";
import { type TreeShapingSettings, treeShaping } from "../../../src/methods/credit/tree-shaping.ts";
import type { RewardedCall, RewardedEpisode, RewardedGroup } from "../../../src/methods/method.ts";
import type { JudgedGroup } from "../../../src/methods/parts.ts";
import type { JudgedNodes } from "../../../src/methods/tree/judged-nodes.ts";

const close = (values: Iterable<number>) => [...values].map((value) => expect.closeTo(value, 5));
const groupOf = (episodes: readonly RewardedEpisode[]): RewardedGroup => ({
  task: "t",
  dataset: "",
  episodes,
});

/** Whole attempts: a node has the calls of its parent and one of its own, by the policy of its place. */
function attempts(
  parents: readonly number[],
  rewards: readonly number[],
  policies = ["A", "B"],
): RewardedGroup {
  const episodes: RewardedEpisode[] = [];
  parents.forEach((parent, i) => {
    const reward = rewards[i]!;
    const above = episodes[parent]?.calls ?? [];
    const own: RewardedCall = {
      agent: "coder",
      policy: policies[i % policies.length]!,
      reward,
      length: 1,
      node: `n${i}`,
    };
    episodes.push({
      id: `e${i}`,
      reward,
      parent,
      calls: [...above.map((call) => ({ ...call, reward })), own],
    });
  });
  return groupOf(episodes);
}

const assign = (group: RewardedGroup, settings: TreeShapingSettings = {}): JudgedNodes => ({
  group,
  ...treeShaping(settings).assign(group),
});
const advantagesOf = (judged: JudgedGroup) => treeNodesAdvantage({ epsilon: 0 }).advantages([judged])[0]!;
/** [n] of each node, from where its call is trained. */
const trainedValues = ({ trained }: JudgedGroup, rows: readonly Float64Array[]) =>
  rows.flatMap((row, i) => [...row].filter((_, j) => trained?.[i]?.[j] !== 0));

const parents = [-1, -1, 0, 0, 2, 1];
const rewards = [0, 1, 1, 0, 1, 0];
const spec = attempts(parents, rewards);

describe("the tree of the specification", () => {
  test.each<[TreeShapingSettings, number[]]>([
    [{}, [-0.5, 1.5, 1.5, -0.25, 1.0, -0.5]],
    [{ gamma: 0.3 }, [-0.3, 1.3, 1.3, -0.15, 1.0, -0.3]],
    [{ form: "inPlace" }, [-0.5, 1.5, 1.625, -0.125, 0.6875, -0.75]],
    [{ form: "inPlace", gamma: 0.3 }, [-0.3, 1.3, 1.345, -0.105, 0.8965, -0.39]],
    [{ gamma: 0 }, rewards],
  ])("shaping %j", (settings, expected) => {
    const judged = assign(spec, settings);
    expect([...judged.nodes!]).toEqual(close(expected));
    expect(trainedValues(judged, judged.values)).toEqual(close(expected));
  });

  test("each call is trained once, where it was made", () => {
    const { trained } = assign(spec);
    expect(trained!.map((row) => [...row])).toEqual([[1], [1], [0, 1], [0, 1], [0, 0, 1], [0, 1]]);
  });

  test("advantages over all nodes, shaped and raw", () => {
    const judged = assign(spec);
    expect(trainedValues(judged, advantagesOf(judged).advantages)).toEqual(
      close([-0.977883, 1.062916, 1.062916, -0.722783, 0.552716, -0.977883]),
    );
    const raw = assign(spec, { gamma: 0 });
    expect(trainedValues(raw, advantagesOf(raw).advantages)).toEqual(
      close(rewards.map((reward) => (reward === 1 ? 0.912871 : -0.912871))),
    );
  });

  test("the published code, in which nobody writes the parents: children of the root, and raw with γ = 0", () => {
    const flat = groupOf(
      spec.episodes.map(({ parent: _, ...episode }, i) => ({
        ...episode,
        calls: [episode.calls.at(-1)!],
        id: `e${i}`,
      })),
    );
    expect([...assign(flat, { gamma: 0 }).nodes!]).toEqual(rewards);
    // Siblings' mean alone: .5 above the mean of the other five.
    expect(assign(flat).nodes![0]).toBeCloseTo(0 + 0.5 * (0 - 3 / 5), 9);
  });

  test("overlong penalties come after shaping, and reach no other node", () => {
    const overlong = { maxTokens: 32768, buffer: 2048 };
    const lengths = [30720, 31000, 31744, 32768, 40000, 1];
    const long = groupOf(
      spec.episodes.map((episode, i) => ({
        ...episode,
        calls: episode.calls.map((call, j) =>
          j === episode.calls.length - 1 ? { ...call, length: lengths[i]! } : { ...call, length: 1 },
        ),
      })),
    );
    const shaped = [-0.5, 1.5, 1.5, -0.25, 1.0, -0.5];
    const penalties = [0, -0.136719, -0.5, -1, -1, 0];
    expect([...assign(long, { overlong }).nodes!]).toEqual(
      close(shaped.map((value, i) => value + penalties[i]!)),
    );
    expect(assign(long, { overlong: { ...overlong, factor: 0.5 } }).nodes![3]).toBeCloseTo(-0.75, 6);
  });
});

describe("what a node is", () => {
  test("calls with rewards of their own keep them, and the node is worth their mean", () => {
    const [first, second] = spec.episodes as [RewardedEpisode, RewardedEpisode];
    const own = [1.4, 0.8].map((reward, j) => ({ agent: "coder", reward, node: `own ${j}` }));
    const judged = assign(groupOf([first, { ...second, calls: own }]));
    expect([...judged.values[1]!]).toEqual(close([1.9, 1.3]));
    expect(judged.nodes![1]).toBeCloseTo(1.6, 9);
    const { advantages } = advantagesOf(judged);
    // Nodes are −.5 and 1.6: mean .55, deviation 1.484924.
    expect([...advantages[1]!]).toEqual(close([(1.9 - 0.55) / 1.484924, (1.3 - 0.55) / 1.484924]));
  });

  test("frozen nodes, and nodes without a call, are compared with and not trained", () => {
    const frozen = groupOf(
      spec.episodes.map((episode, i) => ({
        ...episode,
        calls:
          i === 3
            ? []
            : episode.calls.map((call) => (call.policy === "B" ? { ...call, frozen: true } : call)),
      })),
    );
    const judged = assign(frozen);
    expect([...judged.nodes!]).toEqual([...assign(spec).nodes!]);
    const all = trainedValues(assign(spec), advantagesOf(assign(spec)).advantages);
    expect(trainedValues(judged, advantagesOf(judged).advantages)).toEqual(
      close([all[0]!, all[2]!, all[4]!]),
    );
  });

  test("a missing node: its call is worth the mean of the topmost that have it, and is trained once", () => {
    // Node 0 has left the group; its children 2 and 3 stand under the root.
    const rest = [1, 2, 3, 4, 5].map((i) => spec.episodes[i]!);
    const places = [-1, -1, -1, 1, 0];
    const judged = assign(groupOf(rest.map((episode, i) => ({ ...episode, parent: places[i]! }))));
    const [, two, three] = judged.nodes!;
    expect([judged.values[1]![0], judged.values[2]![0]]).toEqual(
      close([(two! + three!) / 2, (two! + three!) / 2]),
    );
    expect(judged.trained!.map((row) => [...row])).toEqual([[1], [1, 1], [0, 1], [0, 0, 1], [0, 1]]);
  });

  test("a group that is no tree: all under the root, and what episodes share is trained in each", () => {
    const shared = { agent: "coder", reward: 0, node: "shared" };
    const judged = assign(
      groupOf(
        [0, 1].map((reward) => ({
          reward,
          calls: [
            { ...shared, reward },
            { agent: "coder", reward },
          ],
        })),
      ),
    );
    expect(judged.values.map((row) => [...row])).toEqual([
      [-0.5, -0.5],
      [1.5, 1.5],
    ]);
    expect(judged.trained!.map((row) => [...row])).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });

  test("a tree of one node teaches nothing; nor does one of equal nodes, or none", () => {
    for (const group of [attempts([-1], [1]), attempts([-1, 0, 0], [1, 1, 1]), groupOf([])]) {
      const { advantages, hasSignal } = advantagesOf(assign(group));
      expect(hasSignal).toBe(false);
      expect(advantages.flatMap((row) => [...row]).every((value) => value === 0)).toBe(true);
    }
  });

  test("only nodes that nobody trains differ: no signal", () => {
    const group = attempts([-1, -1], [0, 1], ["A"]);
    const calls = group.episodes.map((episode) => ({
      ...episode,
      calls: episode.calls.map((call) => ({ ...call, frozen: true })),
    }));
    expect(advantagesOf(assign(groupOf(calls))).hasSignal).toBe(false);
  });

  test("a parent that does not stand before its child is refused", () => {
    for (const parent of [0, 1, 0.5, -2, Number.NaN]) {
      const [first] = spec.episodes as [RewardedEpisode];
      expect(() => assign(groupOf([{ ...first, parent }]))).toThrowError(
        expect.objectContaining({ code: "E_TREE_PARENT", facts: { place: 0, parent } }),
      );
    }
  });
});

describe("invariants of random trees", () => {
  const trees = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 4 })), { minLength: 2, maxLength: 20 });
  const treeOf = (nodes: readonly (readonly [number, number])[], plus = 0) =>
    attempts(
      nodes.map(([pick], i) => (pick % (i + 1)) - 1),
      nodes.map(([, reward]) => reward / 4 + plus),
    );

  test("ΣÂ = 0; a constant on all rewards changes nothing; each node is trained once, by its own policy", () => {
    fc.assert(
      fc.property(trees, fc.integer({ min: -3, max: 3 }), (nodes, plus) => {
        const judged = assign(treeOf(nodes));
        const values = trainedValues(judged, advantagesOf(judged).advantages);
        expect(values).toHaveLength(nodes.length);
        expect(values.reduce((sum, value) => sum + value, 0)).toBeCloseTo(0, 6);
        const moved = assign(treeOf(nodes, plus));
        expect(trainedValues(moved, advantagesOf(moved).advantages)).toEqual(close(values));
        const names = judged.group.episodes.flatMap(({ calls }, i) =>
          calls.flatMap(({ node, policy }, j) => (judged.trained![i]![j] === 1 ? [`${node} ${policy}`] : [])),
        );
        expect(names).toEqual(nodes.map((_, i) => `n${i} ${i % 2 === 0 ? "A" : "B"}`));
      }),
    );
  });

  test("λ = 0 looks at the parent alone, except under the root", () => {
    const other = attempts(parents, [0, 1, 1, 7, 1, 0]);
    expect(assign(other, { lambda: 0 }).nodes![2]).toBe(assign(spec, { lambda: 0 }).nodes![2]);
    const under = attempts(parents, [0, 7, 1, 0, 1, 0]);
    expect(assign(under, { lambda: 0 }).nodes![0]).not.toBe(assign(spec, { lambda: 0 }).nodes![0]);
  });
});

describe("the advantage alone", () => {
  test("under another credit a node is worth the mean of its calls, or its reward without any", () => {
    const group = groupOf([
      {
        reward: 9,
        calls: [
          { agent: "a", reward: 0 },
          { agent: "a", reward: 2 },
        ],
      },
      { reward: 3, calls: [] },
    ]);
    const { advantages } = advantagesOf({ group, ...broadcast().assign(group) });
    // Nodes 1 and 3: mean 2, deviation √2.
    expect([...advantages[0]!]).toEqual(close([-Math.SQRT2, 0]));
  });

  test("clip and ddof", () => {
    const many = attempts(new Array(200).fill(-1), [1, ...new Array(199).fill(0)]);
    const judged = assign(many, { gamma: 0 });
    const most = (settings: object) =>
      treeNodesAdvantage(settings).advantages([judged])[0]!.advantages[0]![0]!;
    expect(most({})).toBe(10);
    expect(most({ clip: 3 })).toBe(3);
    expect(most({ clip: 100, epsilon: 0 })).toBeCloseTo(199 / 200 / Math.sqrt(1 / 200), 6);
    expect(most({ clip: 100, epsilon: 1 })).toBeCloseTo(199 / 200 / (Math.sqrt(1 / 200) + 1), 6);
    expect(most({ clip: 100, ddof: 0, epsilon: 0 })).toBeCloseTo(Math.sqrt(199), 6);
  });
});

test("settings are checked", () => {
  const code = expect.objectContaining({ code: "E_METHOD_SETTING" });
  for (const wrong of [
    { gamma: -1 },
    { lambda: 1.5 },
    { form: "code" as "raw" },
    { overlong: { maxTokens: 10, buffer: 11 } },
    { overlong: { maxTokens: 10, buffer: 0 } },
    { overlong: { maxTokens: 10, buffer: 5, factor: -1 } },
  ])
    expect(() => treeShaping(wrong)).toThrowError(code);
  for (const wrong of [{ ddof: 2 as 1 }, { epsilon: -1 }, { clip: 0 }])
    expect(() => treeNodesAdvantage(wrong)).toThrowError(code);
});
