import { describe, expect, test } from "vitest";
import type { Question } from "../../../examples/atlas/questions.ts";
import { atlasQuestions } from "../../../examples/atlas/tasks.ts";
import { queryFor } from "../../../examples/atlas/traces.ts";
import { trainingWorld, trueWorld } from "../../../examples/atlas/world.ts";
import { expertScore, hopsOf } from "../../../examples/research/hops.ts";
import {
  expertOf,
  mainReward,
  mainTerm,
  releasedSubReward,
  researchRewards,
  subReward,
} from "../../../examples/research/rewards.ts";
import { type ResearchTask, researchTasks } from "../../../examples/research/tasks.ts";
import { lead } from "../../../examples/research/team.ts";
import { type Policy, runEpisode, scriptedPolicy, type Trajectory } from "../../../src/index.ts";
import { applyRewards } from "../../../src/rewards/index.ts";
import { callReward, trajectoryReward } from "../../../src/workflow/trajectory.ts";

const tasks = researchTasks("train", 400, 1);

/** Plans the hops as the question has them, reads what is true, and answers right. */
function ideal({ plan, answer }: Question, task: ResearchTask) {
  return (prompt: string): string => {
    if (prompt.endsWith("Search:")) return ` ${plan.map(queryFor).join("; ")}`;
    if (prompt.endsWith("Answer:")) return ` ${answer}`;
    const query = /^Query: (.*)$/m.exec(prompt)![1]!;
    return ` ${task.hops.find((hop) => hop.query === query)!.result}`;
  };
}

async function play(
  task: ResearchTask,
  answer: (prompt: string) => string,
  maxTokens = 2000,
): Promise<Trajectory> {
  const policy = await scriptedPolicy({ answer }).open({ name: "all", seed: 0 });
  // Its tokens are characters, of which an output has more.
  const patient: Policy = { ...policy, sample: (request) => policy.sample({ ...request, maxTokens }) };
  return runEpisode({
    workflow: lead,
    task,
    policies: new Map([["all", patient]]),
    assignment: new Map(["planner", "reader", "answerer"].map((name) => [name, "all"])),
    stage: "train",
    identity: { purpose: "test", step: 0, group: 0, task: 0, sample: 0 },
    seed: 1,
    needsReward: false,
  });
}

const rewarded = async (task: ResearchTask, trajectory: Trajectory, sub: "paper" | "released" = "paper") =>
  (
    await applyRewards(researchRewards({ sub }), [{ task, trajectories: [trajectory] }], {
      step: 1,
      stage: "train",
      seed: 0,
    })
  )[0]!.trajectories[0]!;

const questions = atlasQuestions("train", 400, 1).filter(({ plan }) => plan.length <= 3);
const of = (kind: string) => {
  const place = tasks.findIndex((task) => task.kind === kind);
  return { task: tasks[place]!, question: questions[place]! };
};

describe("tasks", () => {
  test("have one to three hops, the last of which is the answer where nothing is compared", () => {
    expect(new Set(tasks.map(({ hops }) => hops.length))).toEqual(new Set([1, 2, 3]));
    for (const { kind, hops, answer } of tasks)
      if (/attribute|inverse|chain|longChain/.test(kind)) expect(hops.at(-1)!.result).toBe(answer);
  });

  test("have hops in the test's world, too", () => {
    const asked = atlasQuestions("test", 200, 1);
    for (const question of asked) expect(hopsOf(question, trueWorld())).toHaveLength(question.plan.length);
    expect(() => hopsOf(asked[0]!, trainingWorld())).toThrow(/does not say/);
  });
});

describe("a lead", () => {
  test.each(["attribute", "chain", "longChain", "comparison"])(
    "spawns a sub-agent for each line of its plan (%s)",
    async (kind) => {
      const { task, question } = of(kind);
      const trajectory = await play(task, ideal(question, task));
      expect(trajectory).toMatchObject({ status: "complete", result: task.answer });
      expect(trajectory.children.map(({ task: errand }) => (errand as { query: string }).query)).toEqual(
        task.hops.map(({ query }) => query),
      );
      for (const call of trajectory.calls)
        if (call.agent === "reader")
          expect(expertOf(call, { task, result: task.answer, trajectory })).toBe(1);
    },
  );

  test("spawns three at most, and none if it plans nothing", async () => {
    const { task } = of("attribute");
    const script = (plan: string) => (prompt: string) => (prompt.endsWith("Search:") ? plan : " x");
    expect((await play(task, script(" a; b; c; d"))).children).toHaveLength(3);
    const none = await play(task, script(" "));
    expect(none).toMatchObject({ status: "complete" });
    expect(none.children).toHaveLength(0);
  });

  test("that refers to what is found later leaves it as it is", async () => {
    const { task } = of("attribute");
    const played = await play(task, (prompt) => (prompt.endsWith("Search:") ? " capital of #2; area" : " x"));
    expect(played.children.map(({ task: errand }) => (errand as { query: string }).query)).toEqual([
      "capital of #2",
      "area",
    ]);
  });
});

describe("rewards", () => {
  test("are the paper's and the released code's", () => {
    expect([mainReward(true, 1), mainReward(true, 0), mainReward(false, 1)]).toEqual([1, 0.1, 0]);
    expect(subReward(true, 1, 1)).toBeCloseTo(1, 12);
    expect(subReward(true, 0, 1)).toBeCloseTo(0.6, 12);
    expect(subReward(true, 0.5, 0)).toBeCloseTo(0.3, 12);
    expect(subReward(false, 1, 1)).toBe(0);
    expect(releasedSubReward(true, 0.1)).toBe(0.1);
    expect(releasedSubReward(true, 0)).toBe(0.1);
    expect(releasedSubReward(true, 0.4)).toBe(1);
    expect(releasedSubReward(false, 1)).toBe(0);
  });

  test("give R_M to the lead's calls and R_S to each sub-agent's", async () => {
    const { task, question } = of("chain");
    const right = ideal(question, task);
    // The first note says nothing of the hop; the second does.
    const played = await play(task, (prompt) => {
      if (prompt.includes(`Query: ${task.hops[0]!.query}\n`)) return " no idea";
      if (prompt.endsWith("Found:")) return ` ${task.hops[1]!.result}`;
      return right(prompt);
    });
    const paper = await rewarded(task, played);
    expect(trajectoryReward(paper)).toBeCloseTo(1, 12);
    const byAgent = (trajectory: Trajectory) =>
      trajectory.calls.map((call) => [call.agent, Number(callReward(trajectory, call).toFixed(6))]);
    const second = Number(
      subReward(
        true,
        1,
        expertScore(
          `${question.plan.map(queryFor)[1]!.replace("#1", "no idea")}`,
          task.hops[1]!.result,
          task.hops,
        ),
      ).toFixed(6),
    );
    expect(byAgent(paper)).toEqual([
      ["planner", 1],
      ["reader", 0.5],
      ["reader", second],
      ["answerer", 1],
    ]);
    expect(byAgent(await rewarded(task, played, "released")).map(([, value]) => value)).toEqual([1, 1, 1, 1]);
  });

  test("are 0 outright for a bad format, each for its own", async () => {
    const { task, question } = of("attribute");
    const right = ideal(question, task);
    const emptyNote = await rewarded(
      task,
      await play(task, (prompt) => (prompt.endsWith("Found:") ? " " : right(prompt))),
    );
    expect(emptyNote.calls.map((call) => callReward(emptyNote, call))).toEqual([1, 0, 1]);
    const twoLines = await rewarded(
      task,
      await play(task, (prompt) => (prompt.endsWith("Answer:") ? " a\nb" : right(prompt))),
    );
    expect(trajectoryReward(twoLines)).toBe(0);
    // The sub-agent did its part: 0.1 + 0.5.
    expect(callReward(twoLines, twoLines.calls[1]!)).toBeCloseTo(0.6, 12);
    // A plan without a line.
    const planless = await rewarded(
      task,
      await play(task, (prompt) => (prompt.endsWith("Search:") ? " ;" : right(prompt))),
    );
    expect(planless.calls.map((call) => callReward(planless, call))).toEqual([0, 0]);
    const cut = await rewarded(task, await play(task, () => " somewhat long", 3));
    expect(cut.calls.map((call) => callReward(cut, call))).toEqual([0, 0, 0]);
  });
});

test("a query is about the hop whose words it shares most of", () => {
  const hops = [
    { query: "capital Oslo", result: "Norway" },
    { query: "currency of Norway", result: "Norwegian kroner" },
  ];
  expect(expertScore("capital Oslo", "It is Norway.", hops)).toBe(1);
  expect(expertScore("currency of Norway", "It is Norway.", hops)).toBe(0);
  expect(expertScore("currency of Norway", "The currency is the Norwegian kroner.", hops)).toBe(1);
  expect(expertScore("currency capital Oslo", "Norway", hops)).toBe(1);
  // Not a part of a word, and nothing for a query about nothing.
  expect(expertScore("capital Oslo", "Norwayland", hops)).toBe(0);
  expect(expertScore("area", "Norway", hops)).toBe(0);
  expect(expertScore("area", "Norwegian kroner", hops)).toBe(0);
  // The first of equals.
  const alike = [
    { query: "area of Peru", result: "large" },
    { query: "area of Mali", result: "dry" },
  ];
  expect(expertScore("area", "large", alike)).toBe(1);
  expect(expertScore("area", "dry", alike)).toBe(0);
});

test("the term of one policy's run is R_M alone", () => {
  expect(mainTerm.name).toBe("main");
});
