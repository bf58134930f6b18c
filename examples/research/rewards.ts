/**
 * @file The rewards of M-GRPO (arXiv 2511.13288), each 0 outright where its own format is invalid:
 *
 *   lead       R_M = 0.1 · format + 0.9 · correct
 *   sub-agent  R_S = 0.1 · format + 0.4 · correct of the lead + 0.5 · expert
 *
 * `correct` is word F1 here, and `expert` a check against the world (hops.ts): CHOSEN, the paper has a judging model.
 * The released code rewards sub-agents otherwise: 0 for a bad format, 0.1 if the lead's reward is 0 or 0.1, else 1.
 */

import { type Trajectory, tokenF1 } from "troupe";
import { callRewards, type FinishedEpisode, type RewardTerm, reward, sum } from "troupe/rewards";
import { expertScore } from "./hops.ts";
import type { ResearchTask } from "./tasks.ts";
import type { Errand } from "./team.ts";

type Call = Trajectory["calls"][number];

/** Of the lead. */
export const mainReward = (format: boolean, correct: number): number => (format ? 0.1 + 0.9 * correct : 0);

/** Of a sub-agent, as the paper has it. */
export const subReward = (format: boolean, correct: number, expert: number): number =>
  format ? 0.1 + 0.4 * correct + 0.5 * expert : 0;

/** Of a sub-agent, as the released code has it. */
export function releasedSubReward(format: boolean, main: number): number {
  if (!format) return 0;
  return main === 0 || main === 0.1 ? 0.1 : 1;
}

/** An output that ended by itself and says something, in one line. */
const wellFormed = ({ text, stopReason }: Call): boolean =>
  stopReason !== "length" && stopReason !== "context" && /^[^\n]+$/.test(text.trim());

const leadWellFormed = ({ calls, children }: Trajectory): boolean =>
  children.length > 0 && calls.every((call) => call.agent === "reader" || wellFormed(call));

const correctOf = ({ result, task }: FinishedEpisode<ResearchTask>): number =>
  tokenF1(String(result), task.answer);

const mainOf = (episode: FinishedEpisode<ResearchTask>): number =>
  mainReward(leadWellFormed(episode.trajectory), correctOf(episode));

/** R_M for all of an episode: the reward of runs in which one policy plays all roles. */
export const mainTerm = reward<ResearchTask>("main", mainOf);

export interface ResearchRewards {
  /** Of sub-agents. Default "paper". */
  readonly sub?: "paper" | "released";
}

/** R_M for the lead's calls and R_S for each sub-agent's. */
export function researchRewards({ sub = "paper" }: ResearchRewards = {}): RewardTerm<ResearchTask> {
  const subTerm = callRewards<ResearchTask>("sub", (call, episode) => {
    if (call.agent !== "reader") return undefined;
    const main = mainOf(episode);
    const format = wellFormed(call);
    const own =
      sub === "released"
        ? releasedSubReward(format, main)
        : subReward(format, correctOf(episode), expertOf(call, episode));
    // A call has its episode's reward, too: what is added makes R_S of it.
    return own - main;
  });
  return sum<ResearchTask>({ main: mainTerm, sub: subTerm });
}

/** Of the note that a sub-agent's call is. */
export function expertOf(call: Call, { task, trajectory }: FinishedEpisode<ResearchTask>): 0 | 1 {
  const child = trajectory.children.find(({ child: scope }) => scope === call.scope)!;
  return expertScore((child.task as Errand).query, call.text, task.hops);
}
