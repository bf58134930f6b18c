/** The coder's workflow: rewards, feedback, what is hidden, and going on from an episode's end. */

import { describe, expect, test } from "vitest";
import { coderPrompt } from "../../../examples/puzzles/prompts.ts";
import { type Puzzle, puzzleAt, puzzles, solutionOf } from "../../../examples/puzzles/puzzles.ts";
import { judge, metrics, more, passesHidden, publicScore, solve } from "../../../examples/puzzles/team.ts";
import {
  forkEpisode,
  type Policy,
  runEpisode,
  scriptedPolicy,
  trajectoryReward,
} from "../../../src/index.ts";
import { evaluateSearch, marsSearch } from "../../../src/search/index.ts";

const puzzle: Puzzle = {
  text: "each times 2, keep those above ?",
  publicTests: [
    { input: [3, 1], output: [6] },
    { input: [2, 2, 5], output: [10] },
    { input: [0, 4], output: [8] },
  ],
  hiddenTests: [
    { input: [9, 9, 9, 9], output: [18, 18, 18, 18] },
    { input: [3], output: [6] },
  ],
  attempts: 1,
};
const right = "x.map(a=>a*2).filter(a=>a>4)";
/** Right about the public tests alone. */
const narrow = "x.length>3||x[1]==null?0:[Math.max(...x)*2]";

/** Says these programs one after the other; by prompt where a function is given. */
async function coderOf(codes: readonly string[] | ((prompt: string) => string)): Promise<Policy> {
  let next = 0;
  const answer = typeof codes === "function" ? codes : () => codes[next++]!;
  const policy = await scriptedPolicy({ answer }).open({ name: "scripted", seed: 0 });
  // Its tokens are characters, of which an output has more.
  return { ...policy, sample: (request) => policy.sample({ ...request, maxTokens: 2000 }) };
}

const settingsOf = (policy: Policy) => ({
  workflow: solve,
  policies: new Map([["scripted", policy]]),
  assignment: new Map([["coder", "scripted"]]),
  stage: "train" as const,
});

const play = async (codes: Parameters<typeof coderOf>[0], task: Puzzle) =>
  runEpisode({
    ...settingsOf(await coderOf(codes)),
    task,
    identity: { purpose: "test", step: 0, group: 0, task: 0, sample: 0 },
    seed: 1,
  });

const promptsOf = ({ calls }: Awaited<ReturnType<typeof play>>) => calls.map(({ input }) => input);

describe("rewards", () => {
  test.each([
    [right, 1, 1],
    [narrow, 0, 1],
    ["x.map(a=>a*2)", 0, 0],
    ["[Math.max(...x)*2]", 0, 1],
    ["x.slice(1).map(a=>a*2)", 0, 1 / 3],
    ["x.nothing.at", 0, 0],
    ["x.map(", 0, 0],
    ["", 0, 0],
    ["1)+(1", 0, 0],
    [`${right} // and more`, 1, 1],
  ])("%s", async (code, reward, publicRate) => {
    const trajectory = await play([code], puzzle);
    expect(trajectory.status).toBe("complete");
    expect(trajectoryReward(trajectory)).toBe(reward);
    expect(publicScore(trajectory)).toBe(publicRate);
    expect(passesHidden(trajectory)).toBe(reward === 1);
    expect(trajectory.result).toEqual({ code, publicRate, solved: reward === 1 });
    const episode = { task: puzzle, result: trajectory.result, reward, trajectory };
    expect(metrics.solved(episode)).toBe(reward);
    expect(metrics.public(episode)).toBe(publicRate);
  });

  test("the last attempt is the one that counts", async () => {
    const two = { ...puzzle, attempts: 2 };
    expect(trajectoryReward(await play(["x", right], two))).toBe(1);
    expect(trajectoryReward(await play([right, "x"], two))).toBe(0);
  });

  test("every puzzle's own program is right, and one that loops is wrong", async () => {
    for (let place = 0; place < 40; place++) {
      const { publicTests, hiddenTests, ...solved } = puzzleAt(place % 2 === 0 ? "train" : "test", place);
      const code = solutionOf({ ...solved, publicTests, hiddenTests });
      expect(await judge({ code, publicTests, hiddenTests })).toEqual({ publicRate: 1, solved: true });
    }
    const { publicTests } = puzzle;
    expect(
      await judge({ code: "(()=>{for(;;);})()", publicTests: publicTests.slice(0, 1), hiddenTests: [] }),
    ).toEqual({ publicRate: 0, solved: false, fault: "timeout" });
  });
});

describe("a second attempt is told of the first", () => {
  test.each([
    ["x.map(a=>a*2)", "[3,1] gave [6,2], not [6]"],
    ["x.slice(1).map(a=>a*2)", "[3,1] gave [2], not [6]"],
    ["x.nothing.at", "TypeError"],
    ["x.map(", "SyntaxError"],
    ["undefined", "[3,1] gave nothing, not [6]"],
    [right, "all right"],
    [narrow, "all right"],
  ])("%s: %s", async (code, told) => {
    const prompts = promptsOf(await play([code, right], { ...puzzle, attempts: 2 }));
    const problem = "each times 2, keep those above ?\n[3,1] -> [6]\n[2,2,5] -> [10]\n[0,4] -> [8]\n";
    expect(prompts).toEqual([`${problem}:`, `${problem}tried ${code}\n${told}\n:`]);
    expect(prompts[0]).toBe(coderPrompt({ puzzle, before: undefined }));
  });

  test("a long result is cut", async () => {
    const [, prompt] = promptsOf(await play(["'x'.repeat(5000)", right], { ...puzzle, attempts: 2 }));
    expect(String(prompt).length).toBeLessThan(250);
  });
});

test("hidden tests are in no prompt: with others, each prompt is the same to the letter", async () => {
  const codes = ["x", narrow, "x.map(a=>a*2)", "x.nothing.at"];
  for (const task of [puzzle, ...puzzles("train", 10), ...puzzles("test", 10)]) {
    const shown = promptsOf(await play(codes, { ...task, attempts: 4 }));
    const others = [{ input: [41, 42, 43], output: 44 }];
    expect(promptsOf(await play(codes, { ...task, attempts: 4, hiddenTests: others }))).toEqual(shown);
  }
});

test("an episode goes on from its end as if it had been allowed more from the beginning", async () => {
  const codes = ["x", "x.map(a=>a*2)", right];
  const policy = await coderOf(codes);
  const identity = { purpose: "test", step: 0, group: 0, task: 0, sample: 0 };
  let trajectory = await runEpisode({ ...settingsOf(policy), task: puzzle, identity, seed: 1 });
  for (const branch of [1, 2]) {
    trajectory = await forkEpisode({
      ...settingsOf(policy),
      trajectory,
      at: trajectory.calls.length,
      task: more(trajectory.task as Puzzle),
      branch,
    });
    expect(trajectory.status).toBe("complete");
  }
  const straight = await play(codes, { ...puzzle, attempts: 3 });
  expect(promptsOf(trajectory)).toEqual(promptsOf(straight));
  expect(trajectory.result).toEqual(straight.result);
  expect(trajectoryReward(trajectory)).toBe(1);
});

test("a search over attempts looks at public tests and is judged by the hidden ones", async () => {
  // Right about the public tests at first, right about all once it was told of a fault.
  const policy = await coderOf((prompt) => (prompt.includes("\ntried ") ? right : narrow));
  const { metrics: scores, failed } = await evaluateSearch({
    workflow: solve,
    tasks: [puzzle],
    policies: new Map([["scripted", policy]]),
    search: marsSearch<Puzzle>({ policies: ["scripted"], agents: ["coder"], more, nodes: 6 }),
    value: publicScore,
    hidden: passesHidden,
    seed: 3,
  });
  expect(failed).toBe(0);
  expect(scores["pass@1"]!.mean).toBe(0);
  expect(scores["pass@N"]!.mean).toBe(1);
});

test.each([0, -1, Number.NaN, undefined])(
  "a puzzle that allows %s attempts fails its episode, and is no zero",
  async (attempts) => {
    const { status, failure, rewards } = await play([right], { ...puzzle, attempts: attempts as number });
    expect(status).toBe("failed");
    expect(failure?.message).toContain("give 1 or more");
    expect(rewards).toEqual([]);
  },
);
