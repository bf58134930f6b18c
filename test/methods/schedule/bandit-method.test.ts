/** @file The bandit around a method: what is left out, what is learned when, checkpoints, pairs, and a run that learns. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { grpo } from "../../../src/methods/grpo.ts";
import type { Method, RewardedEpisode, RewardedGroup, StepFacts } from "../../../src/methods/method.ts";
import { withRolloutBandits } from "../../../src/methods/schedule/bandit-method.ts";
import { stream } from "../../../src/random/stream.ts";
import { tabularPolicy } from "../../../src/testing/tabular-policy.ts";
import { silentReporter } from "../../../src/trainer/reporter.ts";
import { train } from "../../../src/trainer/train.ts";
import { toyTasks, toyTeam, words } from "../../trainer/toy-team.ts";

const episode = (reward: number, calls = 2, length = 5): RewardedEpisode => ({
  reward,
  calls: Array.from({ length: calls }, () => ({ agent: "a", reward, length })),
});

const groupsOf = (step: number): RewardedGroup[] =>
  Array.from({ length: 2 }, (_, k) => ({
    task: `task ${k}`,
    dataset: "",
    episodes: Array.from({ length: 4 }, (_, i) => {
      const random = stream("episode", step, k, i);
      return episode(random.uniform(), 1 + random.integer(3), 1 + random.integer(20));
    }),
  }));

const factsOf = (step: number, entropy = 1): StepFacts => ({
  step,
  steps: 10,
  groups: groupsOf(step),
  statistics: { one: { entropy }, two: { entropy: entropy + 1 }, three: { ratio: 1 } },
});

const keptOf = (method: Method, step: number) =>
  method.creditAll!(groupsOf(step)).map(({ trained }) =>
    trained!.map((row) => {
      expect(new Set(row).size).toBe(1);
      return row[0]!;
    }),
  );

const learnedOf = (method: Method) =>
  (method.state!() as { bandits: { round: number; learner: { played: { reward: number }[] } } }).bandits;

describe("withRolloutBandits", () => {
  it("trains on the share that is kept, with the advantages of the whole group", () => {
    const plain = grpo({ groupSize: 4 });
    const method = withRolloutBandits(plain, { keep: 0.5 });
    const credits = method.creditAll!(groupsOf(1));
    for (const [k, { episodes }] of groupsOf(1).entries())
      expect(credits[k]!.advantages).toEqual(plain.credit(episodes).advantages);
    for (const row of keptOf(method, 1)) expect(row.reduce((sum, one) => sum + one, 0)).toBe(2);
    expect(method.name).toBe("grpo+rollout-bandits");
    expect(method.groupSize).toBe(4);
    expect(method.settings).toMatchObject({ groupSize: 4, rolloutBandits: { keep: 0.5 } });
  });

  it("is the method itself where it keeps all", () => {
    const method = withRolloutBandits(grpo({ groupSize: 4 }), { keep: 1 });
    expect(keptOf(method, 1)).toEqual([
      [1, 1, 1, 1],
      [1, 1, 1, 1],
    ]);
  });

  it("credits without learning, and learns a round late from rewards and the policies' entropy", () => {
    const method = withRolloutBandits(grpo({ groupSize: 4 }), { entropyFloor: 0 });
    const before = JSON.stringify(method.state!());
    const first = keptOf(method, 1);
    expect(keptOf(method, 1)).toEqual(first);
    expect(JSON.stringify(method.state!())).toBe(before);
    method.observe!(factsOf(1, 1));
    expect(learnedOf(method).learner.played).toEqual([]);
    method.observe!(factsOf(2, 3));
    const meanOf = (step: number) => {
      const rewards = groupsOf(step).flatMap(({ episodes }) => episodes.map(({ reward }) => reward));
      return rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length;
    };
    const { played } = learnedOf(method).learner;
    expect(played).toHaveLength(1);
    // Entropy is the mean of the two policies that have one: 1.5, then 3.5.
    expect(played[0]!.reward).toBeCloseTo(meanOf(2) - meanOf(1) - 0.5 * 2, 12);
  });

  it("commits what it had chosen", () => {
    const method = withRolloutBandits(grpo({ groupSize: 4 }));
    for (let step = 1; step <= 3; step++) {
      const kept = keptOf(method, step).flat();
      method.observe!(factsOf(step));
      const { stored } = (method.state!() as { bandits: { stored: { uses: number }[] } }).bandits;
      expect(stored.map(({ uses }) => uses)).toEqual(kept);
    }
  });

  it("tells the bandit of rewards, advantages, lengths and truncation", () => {
    const method = withRolloutBandits(grpo({ groupSize: 2, epsilon: 0 }));
    const call = { agent: "a", reward: 1, length: 7 };
    const episodes = [
      { reward: 1, calls: [call, { ...call, truncated: true }, { agent: "a", reward: 1 }] },
      { reward: 0, calls: [{ ...call, reward: 0 }] },
    ];
    const groups = [{ task: "t", dataset: "", episodes }];
    method.observe!({ step: 1, steps: 1, groups, statistics: { one: { entropy: 2 } } });
    const { stored } = (method.state!() as { bandits: { stored: unknown[] } }).bandits;
    expect(stored).toMatchObject([
      {
        id: "0/0",
        group: "0",
        reward: 1,
        advantage: 1,
        lengthShare: 15,
        truncated: true,
        entropy: 2,
        age: 0,
      },
      {
        id: "0/1",
        group: "0",
        reward: 0,
        advantage: -1,
        lengthShare: 7,
        truncated: false,
        entropy: 2,
        age: 0,
      },
    ]);
  });

  it("goes on from a checkpoint, with what the method remembers", () => {
    let count = 0;
    const remembering: Method = {
      ...grpo({ groupSize: 4 }),
      observe: () => {
        count++;
      },
      state: () => count,
      restore: (state) => {
        count = state as number;
      },
    };
    const going = withRolloutBandits(remembering, { seed: 3 });
    for (let step = 1; step <= 3; step++) going.observe!(factsOf(step));
    const saved = JSON.parse(JSON.stringify(going.state!()));
    const expected = keptOf(going, 4);
    count = 0;
    const resumed = withRolloutBandits(remembering, { seed: 3 });
    resumed.restore!(saved);
    expect(count).toBe(3);
    expect(keptOf(resumed, 4)).toEqual(expected);
    expect(() => resumed.restore!(null)).toThrow(/a state that it did not write/);
  });

  it("has no signal where what is kept has none, and leaves episodes without calls alone", () => {
    const still: Method = {
      ...grpo({ groupSize: 2 }),
      credit: (group) => ({
        hasSignal: true,
        advantages: group.map(({ calls }, i) => new Float64Array(calls.length).fill(i === 0 ? 1 : 0)),
      }),
    };
    const group = [episode(1), episode(0), episode(5, 0)];
    const seeds = Array.from({ length: 20 }, (_, seed) => {
      const { trained, hasSignal } = withRolloutBandits(still, { seed }).credit(group);
      expect(trained![2]).toEqual(new Uint8Array(0));
      expect(hasSignal).toBe(trained![0]![0] === 1);
      return hasSignal;
    });
    expect(new Set(seeds).size).toBe(2);
    const method = withRolloutBandits(still);
    method.observe!({ step: 1, steps: 1, groups: [], statistics: {} });
    expect(learnedOf(method).round).toBe(0);
  });

  it("does not take pairs apart", () => {
    const pairs: Method = {
      ...grpo({ groupSize: 2 }),
      credit: (group) => ({
        hasSignal: true,
        advantages: group.map(({ calls }) => new Float64Array(calls.length)),
        links: group.map(({ calls }) => calls.map(() => "pair")),
      }),
    };
    expect(() => withRolloutBandits(pairs).credit([episode(1), episode(0)])).toThrow(
      /compares calls pairwise/,
    );
  });
});

describe("in a run", () => {
  let runsFolder: string;
  beforeAll(async () => {
    runsFolder = await mkdtemp(join(tmpdir(), "troupe-bandits-"));
  });
  afterAll(() => rm(runsFolder, { recursive: true, force: true }));

  it("a team learns on half of its episodes", async () => {
    const summary = await train(
      {
        workflow: toyTeam,
        tasks: toyTasks,
        evaluate: toyTasks,
        metrics: { correct: ({ result, task }) => (result === task.answer ? 1 : 0) },
        policies: { small: tabularPolicy({ words }) },
        method: withRolloutBandits(grpo({ groupSize: 16 }), { epochs: 1, replay: 10 }),
        steps: 40,
        tasksPerStep: 3,
        learningRate: 0.1,
        evaluateEvery: 0,
        run: "bandits",
        runsFolder,
      },
      { reporter: silentReporter },
    );
    expect(summary.before?.correct).toBeLessThan(0.5);
    expect(summary.after?.correct).toBeGreaterThan(0.6);
    const path = join(runsFolder, "bandits", "checkpoints", "step-000040", "state.json");
    expect(await readFile(path, "utf8")).toContain('"bandits"');
  });
});
