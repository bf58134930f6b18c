/** @file What each search of a question is really after, from the world: what a sub-agent's note can be checked against. */

import { normaliseAnswer, tokenF1 } from "troupe/rewards";
import { withResults } from "../atlas/prompts.ts";
import type { Goal, Question } from "../atlas/questions.ts";
import { queryFor } from "../atlas/traces.ts";
import type { World } from "../atlas/world.ts";

export interface Hop {
  /** Words of a search for it. */
  readonly query: string;
  /** What is to be found. */
  readonly result: string;
}

/** The hops of a question, with what they find put in for `#1`, `#2`. */
export function hopsOf({ plan }: Pick<Question, "plan">, world: World): readonly Hop[] {
  const results: string[] = [];
  return plan.map((goal) => {
    const actual: Goal =
      goal.find === "value" ? { ...goal, subject: withResults(goal.subject, results) } : goal;
    const result = resultOf(actual, world);
    results.push(result);
    return { query: queryFor(actual), result };
  });
}

function resultOf(goal: Goal, { countries, name }: World): string {
  const found =
    goal.find === "country"
      ? countries.find(({ values }) => values[goal.attribute] === goal.value)?.name
      : countries.find((country) => country.name === goal.subject)?.values[goal.attribute];
  if (found === undefined) throw new RangeError(`World "${name}" does not say ${JSON.stringify(goal)}.`);
  return found;
}

/**
 * CHOSEN, in the place of the paper's judging model: 1 if a note contains what the hop that its query is about finds. A
 * query is about the hop whose words it shares most of (word F1; the first of equals); one that shares none is about none.
 */
export function expertScore(query: string, note: string, hops: readonly Hop[]): 0 | 1 {
  let about: Hop | undefined;
  let most = 0;
  for (const hop of hops) {
    const shared = tokenF1(query, hop.query);
    if (shared <= most) continue;
    most = shared;
    about = hop;
  }
  if (about === undefined) return 0;
  return ` ${normaliseAnswer(note)} `.includes(` ${normaliseAnswer(about.result)} `) ? 1 : 0;
}
