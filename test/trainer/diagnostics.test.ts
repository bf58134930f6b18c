import { describe, expect, test } from "vitest";
import { grpo } from "../../src/methods/grpo.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";
import {
  describeReport,
  explainNoSignal,
  type FindingCode,
  findingsOf,
  reportEpisodes,
} from "../../src/trainer/diagnostics.ts";
import { dryRun } from "../../src/trainer/dry-run.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { agent } from "../../src/workflow/agent.ts";
import { runEpisode } from "../../src/workflow/episode.ts";
import type { Trajectory } from "../../src/workflow/trajectory.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { toyTasks, toyTeam, words } from "./toy-team.ts";

interface Said {
  readonly text: string;
  readonly reward: number;
}

const writer = agent("writer", {
  prompt: () => "Write:",
  maxTokens: 8,
  parse: (text) => {
    if (text.startsWith("?")) throw new Error("no question marks");
    return text;
  },
});

/** Episodes in groups, each with the text and the reward that is given for it. */
async function episodes(
  groups: readonly (readonly Said[])[],
  rewarded: { readonly agent?: string } = {},
): Promise<Trajectory[]> {
  const team = workflow("writers", { agents: { writer } }, async ({ task, agents, reward }) => {
    const { text } = await agents.writer();
    if (text === "throw") throw new Error("cannot go on");
    reward((task as Said).reward, rewarded);
    return text;
  });
  const all: Trajectory[] = [];
  for (const [group, own] of groups.entries()) {
    for (const [sample, said] of own.entries()) {
      const policy = await scriptedPolicy({ answer: () => said.text }).open({ name: "p", seed: 0 });
      all.push(
        await runEpisode({
          workflow: team,
          task: said,
          policies: new Map([["p", policy]]),
          assignment: new Map([["writer", "p"]]),
          stage: "train",
          identity: { purpose: "dry", step: 0, group, task: group, sample },
          seed: 0,
        }),
      );
    }
  }
  return all;
}

/** A group of four with these rewards; the texts differ. */
const group = (...rewards: number[]): readonly Said[] =>
  rewards.map((reward, i) => ({ text: `text ${i}`, reward }));

const codes = (all: readonly Trajectory[]): FindingCode[] =>
  findingsOf(reportEpisodes(all)).map(({ code }) => code);

describe("groups without signal", () => {
  test("nothing is said while most groups differ", async () => {
    expect(codes(await episodes([group(0, 1), group(0, 1), group(0, 0)]))).toEqual([]);
  });

  test("rewards of agents alone are rewards, too", async () => {
    const all = await episodes([group(0, 1), group(0.5, 1)], { agent: "writer" });
    expect(codes(all)).toEqual([]);
    expect(reportEpisodes(all).reward).toMatchObject({ mean: 0.625, least: 0, most: 1 });
  });

  test("all at the top, all at the bottom, and all at some other value are three things", async () => {
    expect(codes(await episodes([group(1, 1), group(1, 1)]))).toEqual(["too easy"]);
    expect(codes(await episodes([group(0, 0), group(0, 0)]))).toEqual(["too hard"]);
    expect(codes(await episodes([group(0.5, 0.5), group(0.5, 0.5)]))).toEqual(["equal rewards"]);
  });

  test("equal within each group, and different between them: what the most of them are", async () => {
    const easy = await episodes([group(1, 1), group(1, 1), group(0, 0), group(0, 1)]);
    expect(reportEpisodes(easy).groups).toMatchObject({ count: 4, withoutSpread: 3, atMost: 2, atLeast: 1 });
    expect(findingsOf(reportEpisodes(easy))[0]).toMatchObject({
      code: "too easy",
      text: expect.stringContaining(
        "3 of 4 groups have rewards that are all equal; 2 of them are at the top",
      ),
    });
    expect(codes(await episodes([group(0.2, 0.2), group(0.2, 0.2), group(0.7, 0.7)]))).toEqual(["too hard"]);
    // Neither top nor bottom.
    const between = [group(0.2, 0.2), group(0.5, 0.5), group(0.6, 0.6), group(0.4, 0.4), group(0.7, 0.7)];
    expect(codes(await episodes(between))).toEqual(["no signal"]);
  });

  test("of one group nothing is concluded for all tasks", async () => {
    const one = findingsOf(reportEpisodes(await episodes([group(0, 0)])))[0]!.text;
    const two = findingsOf(reportEpisodes(await episodes([group(0, 0), group(0, 0)])))[0]!.text;
    expect(one).toContain("so this task, and perhaps the others (--dry runs more groups), is too hard");
    expect(two).toContain("so the tasks are too hard");
  });

  test("a group with one complete episode is not judged", async () => {
    const all = await episodes([[{ text: "a", reward: 0 }]]);
    expect(reportEpisodes(all).groups).toMatchObject({ run: 1, count: 0 });
    expect(codes(all)).toEqual([]);
  });
});

describe("outputs that cannot succeed are named first, and the tasks are not blamed", () => {
  const cut = { text: "much too long for it", reward: 0 };

  test("episodes that ask nobody", async () => {
    const all = await episodes([group(0, 0)]);
    const silent = all.map((one) => ({ ...one, calls: [] }));
    expect(codes(silent)).toEqual(["no calls", "no signal"]);
    expect(codes(silent.map((one) => ({ ...one, status: "failed" as const })))).not.toContain("no calls");
  });

  test("truncation", async () => {
    const all = await episodes([[cut, { ...cut, text: "another one, too long" }, group(0)[0]!]]);
    const [first, second] = findingsOf(reportEpisodes(all));
    expect(first).toMatchObject({
      code: "truncation",
      text: expect.stringContaining('67 % of agent "writer"\'s outputs are cut off'),
      hint: expect.stringContaining('raise maxTokens of "writer"'),
    });
    expect(second).toMatchObject({ code: "no signal", text: expect.not.stringContaining("too hard") });
  });

  test("an agent that may write one token is not cut off by that, but by its context it is", async () => {
    const judge = agent("judge", { prompt: () => "A or B:", maxTokens: 1 });
    const team = workflow("judges", { agents: { judge } }, async ({ agents, reward }) => {
      const { text } = await agents.judge();
      reward(text === "A" ? 1 : 0);
    });
    const all: Trajectory[] = [];
    for (const [sample, text] of ["A", "B"].entries()) {
      // A scripted policy's tokens are letters: the second one does not fit.
      const policy = await scriptedPolicy({ answer: () => `${text} or so` }).open({ name: "p", seed: 0 });
      all.push(
        await runEpisode({
          workflow: team,
          task: {},
          policies: new Map([["p", policy]]),
          assignment: new Map([["judge", "p"]]),
          stage: "train",
          identity: { purpose: "dry", step: 0, group: 0, task: 0, sample },
          seed: 0,
        }),
      );
    }
    expect(all.map(({ calls }) => [calls[0]!.text, calls[0]!.stopReason])).toEqual([
      ["A", "length"],
      ["B", "length"],
    ]);
    expect(codes(all)).toEqual([]);
    const full = all.map((one) => ({
      ...one,
      calls: one.calls.map((call) => ({ ...call, stopReason: "context" as const })),
    }));
    expect(codes(full)).toEqual(["truncation"]);
  });

  test("the parser, with its commonest reason and an example", async () => {
    const all = await episodes([["?a", "?b", "c"].map((text) => ({ text, reward: 0 }))]);
    expect(findingsOf(reportEpisodes(all))[0]).toMatchObject({
      code: "parser",
      text: expect.stringMatching(/refuses 67 %.*no question marks \(for example "\?a"\)/),
    });
  });

  test("empty outputs, and the same output in all calls", async () => {
    const same = (text: string) => [0, 0, 0, 0].map((reward) => ({ text, reward }));
    expect(codes(await episodes([same("")]))).toEqual(["empty outputs", "no signal"]);
    expect(codes(await episodes([same("hello")]))).toEqual(["same outputs", "no signal"]);
  });

  test("failures, by boundary, with an example; their calls still count in parse rates", async () => {
    const all = await episodes([["throw", "throw", "fine", "good"].map((text, i) => ({ text, reward: i }))]);
    const report = reportEpisodes(all);
    expect(report).toMatchObject({ episodes: 4, failed: 2, failures: { "workflow/E_WORKFLOW_THREW": 2 } });
    expect(report.agents[0]).toMatchObject({ calls: 4 });
    expect(findingsOf(report)[0]).toMatchObject({
      code: "failures",
      text: expect.stringMatching(/2 of 4 episodes failed.*workflow\/E_WORKFLOW_THREW 2×.*cannot go on/),
    });
  });
});

test("the report in words", async () => {
  const text = describeReport(reportEpisodes(await episodes([group(0, 1), group(1, 1)])));
  expect(text).toContain("first 2 groups: 4 of 4 episodes complete, reward 0.750 (from 0.000 to 1.000");
  expect(text).toContain("deviation within groups 0.250");
  expect(text).toContain("1 of 2 have rewards that differ (equal: 1 at the top, 0 at the bottom)");
  expect(text).toContain("writer: 4 calls");
  expect(text).toContain("parsed 100 %, cut off 0 %");
});

test("no complete episode makes no NaN", async () => {
  const report = reportEpisodes(await episodes([[{ text: "throw", reward: 0 }]]));
  expect(JSON.stringify(report)).not.toContain("null");
  expect(describeReport(report)).toContain("0 of 1 episodes complete");
});

test("a streak without signal says what the method needs, and the likely reason", async () => {
  const text = explainNoSignal(await episodes([group(0, 0), group(0, 0)]), 3, "grpo");
  expect(text).toContain("for 3 steps; grpo learns from differences inside a group");
  expect(text).toContain(
    "Most likely: none of the 2 groups has rewards that differ: all 4 rewards are 0.000",
  );
});

test("a dry run reports the first groups and trains nothing", async () => {
  const events: Readonly<Record<string, unknown>>[] = [];
  const said: string[] = [];
  let steps = 0;
  const spec = tabularPolicy({ words });
  const { report, findings } = await dryRun(
    {
      workflow: toyTeam,
      tasks: toyTasks,
      policies: {
        small: {
          ...spec,
          open: async (context) => {
            const policy = await spec.open(context);
            const step = policy.step.bind(policy);
            policy.step = (options) => {
              steps++;
              return step(options);
            };
            return policy;
          },
        },
      },
      method: grpo({ groupSize: 4 }),
      steps: 9,
      tasksPerStep: 3,
    },
    {
      reporter: {
        ...silentReporter,
        info: (text) => said.push(text),
        event: (facts) => events.push(facts),
      },
    },
  );
  expect(steps).toBe(0);
  expect(report).toMatchObject({ episodes: 12, groups: { run: 3 } });
  expect(events).toMatchObject([{ kind: "dry run", episodes: 12, findings }]);
  expect(said.join("\n")).toContain("a step samples 3 × 4 episodes");
});
