/**
 * @file The corridor: sparse reward, long horizon. A guide sees a door and says a word; a walker hears the word, and not
 * the door, and turns one of four ways. Eight doors have to be passed, and only whoever has turned rightly at all of them is
 * rewarded, once, at the end: 16 calls, one bit. The starter mostly knows the turn, but at 12 of 48 doors it is mostly
 * wrong: 1.5 % of its sampled episodes come through, and greedily one corridor in eight.
 */

import { agent, stream, taskOf, workflow } from "troupe";
import { leagueTask } from "./league-task.ts";
import { type Leanings, starterTable } from "./starter-table.ts";

export interface CorridorTask {
  /** The doors, in the order in which they are met. */
  readonly doors: readonly string[];
}

const doorCount = 48;
const misjudgedCount = 12;
const length = 8;
const turns = ["left", "right", "up", "down"];

const doors = Array.from({ length: doorCount }, (_, i) => `door-${i}`);
const world = stream("league", "corridor");
/** Which turn a door wants. Nobody is told. */
export const wanted: ReadonlyMap<string, string> = new Map(doors.map((door) => [door, world.pick(turns)]));
/** Where the starter is wrong. */
const misjudged: ReadonlySet<string> = new Set(world.shuffled(doors).slice(0, misjudgedCount));

/** Some turns with given shares, the rest evenly for the others. */
function mostly(shares: Leanings): Leanings {
  const rest = 1 - Object.values(shares).reduce((sum, share) => sum + share, 0);
  const others = turns.filter((turn) => shares[turn] === undefined);
  return { ...shares, ...Object.fromEntries(others.map((turn) => [turn, rest / others.length])) };
}

function leanings(before: string, last: string): Leanings | undefined {
  const turn = wanted.get(before);
  if (last === "guide" && turn !== undefined) {
    const wrong = turns[(turns.indexOf(turn) + 1) % turns.length]!;
    return mostly(misjudged.has(before) ? { [wrong]: 0.7, [turn]: 0.2 } : { [turn]: 0.8 });
  }
  // What is no turn says nothing: any turn.
  if (last === "walker") return mostly(turns.includes(before) ? { [before]: 0.9 } : {});
  return { "<end>": 1 };
}

const guide = agent("guide", { prompt: ({ door }: { door: string }) => `${door} guide`, maxTokens: 3 });
const walker = agent("walker", { prompt: ({ word }: { word: string }) => `${word} walker`, maxTokens: 3 });

const corridorTeam = workflow(
  "corridor",
  { agents: { guide, walker }, task: taskOf<CorridorTask>() },
  async ({ task, agents, reward }) => {
    let passed = 0;
    for (const door of task.doors) {
      const { text: word } = await agents.guide({ door });
      const { text: turn } = await agents.walker({ word });
      if (turn === wanted.get(door)) passed++;
    }
    reward(passed === task.doors.length ? 1 : 0, { name: "through" });
    return passed;
  },
);

const trainCount = 400;
const testCount = 64;

/** Corridors of eight different doors; those of the test are not among those of the training. */
export function corridors(split: "train" | "test"): readonly CorridorTask[] {
  const seen = new Set<string>();
  const random = stream("league", "corridors");
  const drawn: CorridorTask[] = [];
  while (drawn.length < trainCount + testCount) {
    const chosen = random.shuffled(doors).slice(0, length);
    if (seen.has(chosen.join(" "))) continue;
    seen.add(chosen.join(" "));
    drawn.push({ doors: chosen });
  }
  return split === "train" ? drawn.slice(0, trainCount) : drawn.slice(trainCount);
}

export const corridor = leagueTask<CorridorTask>(
  {
    name: "corridor",
    title: "Corridor: one reward after 16 calls",
    score: "through",
    budget: 28_000,
    episodesPerStep: 64,
    tokensPerEpisode: 32,
    minibatches: 4,
    rates: [0.05, 0.15, 0.45],
    evaluateEvery: 2,
  },
  (valueHeads) => ({
    workflow: corridorTeam,
    tasks: corridors("train"),
    evaluate: corridors("test"),
    evaluateSample: testCount,
    metrics: { through: ({ reward }) => reward },
    policies: {
      table: starterTable({
        words: [...doors, ...turns, "guide", "walker"],
        ...(valueHeads > 0 ? { valueHead: true } : {}),
        leanings,
      }),
    },
  }),
);
