/**
 * @file The workflow: one agent writes a program, the sandbox runs it on the tests, and from the second attempt on the agent
 * is shown its last program with the first public test that it failed. What happens up to an attempt does not depend on
 * how many are allowed, so a search can go on from an episode's end (`goOn`).
 */

import { agent, type EvaluatedEpisode, type Trajectory, taskOf, workflow } from "troupe";
import {
  JavaScriptSandbox,
  type ProgramTest,
  runTests,
  type TestReport,
  type TestResult,
} from "troupe/tools";
import { coderPrompt, type Feedback } from "./prompts.ts";
import type { Puzzle, Test } from "./puzzles.ts";

/** What an episode returns: its last program. Plain data. */
export interface Solution {
  readonly code: string;
  /** Share of the public tests that it passes: what a search may look at. */
  readonly publicRate: number;
  /** It passes all public and all hidden tests: for rewards and scores alone. */
  readonly solved: boolean;
}

export const coder = agent("coder", { prompt: coderPrompt, maxTokens: 48, stop: ["\n"] });

/** Loaded by the first program; one for all episodes of the process. */
let sandbox: Promise<JavaScriptSandbox> | undefined;

interface Submission {
  readonly code: string;
  readonly publicTests: readonly Test[];
  readonly hiddenTests: readonly Test[];
}

export interface Verdict {
  readonly publicRate: number;
  readonly solved: boolean;
  /** About public tests alone. */
  readonly fault?: string;
}

/** Runs an expression of `x` on all tests. */
export async function judge({ code, publicTests, hiddenTests }: Submission): Promise<Verdict> {
  sandbox ??= JavaScriptSandbox.load();
  const tests = [...publicTests, ...hiddenTests].map(({ input, output }): ProgramTest => {
    return { input: [input], output };
  });
  const { results, passRate }: TestReport = await runTests(await sandbox, `x => (${code}\n)`, tests);
  const shown = results.slice(0, publicTests.length);
  const passed = shown.filter(({ status }) => status === "passed").length;
  const failed = shown.findIndex(({ status }) => status !== "passed");
  return {
    publicRate: passed / publicTests.length,
    solved: passRate === 1,
    ...(failed < 0 ? {} : { fault: faultOf(shown[failed]!, publicTests[failed]!) }),
  };
}

/** "[3,1] gave 5, not 4" where it ran; else what kind of fault it is. */
function faultOf(result: TestResult, { input, output }: Test): string {
  if (result.status === "error") return result.type.slice(0, 20);
  if (result.status !== "wrong") return result.status;
  const actual = result.actual === undefined ? "nothing" : JSON.stringify(result.actual).slice(0, 40);
  return `${JSON.stringify(input)} gave ${actual}, not ${JSON.stringify(output)}`;
}

/**
 * Reward 1 if the last attempt passes all public and hidden tests, else 0. A program that does not run is a wrong answer of
 * the coder's, as data; a sandbox that does not run fails the episode.
 */
export const solve = workflow(
  "solve",
  { agents: { coder }, tools: { judge }, task: taskOf<Puzzle>() },
  async ({ task, agents, tools, reward }): Promise<Solution> => {
    const { publicTests, hiddenTests } = task;
    // Without an attempt there would be nothing to judge, and the reward would be 0 for no fault of the coder's.
    if (!(task.attempts >= 1))
      throw new RangeError(`A puzzle allows ${task.attempts} attempts; give 1 or more.`);
    const puzzle = { text: task.text, publicTests };
    let before: Feedback | undefined;
    let solution: Solution = { code: "", publicRate: 0, solved: false };
    for (let attempt = 0; attempt < task.attempts; attempt++) {
      const reply = await agents.coder({ puzzle, before });
      const code = reply.text.trim();
      const { publicRate, solved, fault } = await tools.judge({ code, publicTests, hiddenTests });
      before = { code, fault };
      solution = { code, publicRate, solved };
    }
    reward(solution.solved ? 1 : 0);
    return solution;
  },
);

/** The task of a node that goes on from this one's end: one more attempt. */
export const more = (task: Puzzle): Puzzle => ({ ...task, attempts: task.attempts + 1 });

/** What a search may know of a finished episode: the share of public tests that its program passes, 0 to 1. */
export const publicScore = ({ result }: Pick<Trajectory, "result">): number =>
  (result as Solution).publicRate;

/** What a search must not know: whether the program passes the hidden tests as well. */
export const passesHidden = ({ result }: Pick<Trajectory, "result">): boolean => (result as Solution).solved;

/** How a finished episode is scored in evaluation. */
export const metrics = {
  solved: ({ trajectory }: EvaluatedEpisode<Puzzle>) => Number(passesHidden(trajectory)),
  public: ({ trajectory }: EvaluatedEpisode<Puzzle>) => publicScore(trajectory),
};
