/**
 * @file The team: a selector chooses a retrieval expert, an aligner puts what it found into one line, a recommender answers
 * with a letter. Without evidence there is nothing to align, and the aligner is not asked.
 */

import { agent, type EvaluatedEpisode, taskOf, workflow } from "troupe";
import { type Land, landsFor, type Split } from "./lands.ts";
import { alignerPrompt, recommenderPrompt, selectorPrompt } from "./prompts.ts";
import { type EvidenceRequest, retrieveFrom } from "./retrieve.ts";
import { type Expert, experts, letters, type RecommendTask } from "./tasks.ts";

function parseExpert(text: string): Expert {
  const expert = experts.find((name) => name === text.trim());
  if (expert === undefined) throw new Error(`${JSON.stringify(text)} is none of ${experts.join(", ")}`);
  return expert;
}

export const selector = agent("selector", { prompt: selectorPrompt, maxTokens: 16, parse: parseExpert });
export const aligner = agent("aligner", { prompt: alignerPrompt, maxTokens: 48 });
export const recommender = agent("recommender", { prompt: recommenderPrompt, maxTokens: 1 });

/** What an episode returns: the recommendation, and what rewards and the recommender's own lesson need. */
export interface Recommendation {
  readonly expert: Expert;
  /** Triples retrieved. */
  readonly triples: number;
  /** What the aligner wrote; null where it was not asked. */
  readonly hint: string | null;
  /** "A" to "T", or whatever the recommender said. */
  readonly said: string;
  readonly answer: string;
}

const byName = (lands: readonly Land[]) => new Map(lands.map((land) => [land.name, land]));
let lands: Readonly<Record<Split, ReadonlyMap<string, Land>>> | undefined;

/** Retrieval by one expert among what is known of the task's lands. */
const retrieve = ({ split, ...request }: EvidenceRequest & { readonly split: Split }) => {
  lands ??= { train: byName(landsFor("train")), test: byName(landsFor("test")) };
  return retrieveFrom(lands[split], request);
};

export const recommend = workflow(
  "recommend",
  { agents: { selector, aligner, recommender }, tools: { retrieve }, task: taskOf<RecommendTask>() },
  async ({ task, agents, tools }): Promise<Recommendation> => {
    const { visited, wish, candidates, answer, split } = task;
    const expert = (await agents.selector({ visited, wish })).parsed;
    const triples = await tools.retrieve({ expert, visited, wish, candidates, split });
    const hint =
      triples.length === 0 ? undefined : (await agents.aligner({ visited, wish, triples })).text.trim();
    const { text } = await agents.recommender({ visited, wish, candidates, hint });
    return { expert, triples: triples.length, hint: hint ?? null, said: text.trim(), answer };
  },
);

/** The question as the reward and the recommender's method see it. @param result what the workflow returned. */
export function questionOf(result: unknown): {
  readonly options: readonly string[];
  readonly answer: string;
  /** From 1, which is no retrieval. */
  readonly expert: number;
} {
  const { answer, expert } = result as Recommendation;
  return { options: letters, answer, expert: experts.indexOf(expert) + 1 };
}

/** What the recommender would have read without evidence. */
export const promptWithout = ({ visited, wish, candidates }: RecommendTask): string =>
  recommenderPrompt({ visited, wish, candidates, hint: undefined });

type Finished = EvaluatedEpisode<RecommendTask>;

/** How a finished episode is scored in evaluation. */
export const metrics = {
  accuracy: ({ result, task }: Finished) => Number((result as Recommendation).said === task.answer),
  /** Whether the hint ends with the candidate that fits: the aligner's and the selector's part of it. */
  named: ({ result, task }: Finished) =>
    Number(
      (result as Recommendation).hint?.endsWith(` ${task.candidates[letters.indexOf(task.answer)]}`) ?? false,
    ),
  /** Whether the selector chose the expert that the task was made for. */
  needed: ({ result, task }: Finished) => Number((result as Recommendation).expert === task.need),
};
