/**
 * @file The corridor: sparse reward, long horizon. A guide sees a door and says a word; a walker hears the word, and not
 * the door, and turns. Eight doors have to be passed, and only whoever has turned rightly at all of them is rewarded, once,
 * at the end: 16 calls, one bit. Of twelve doors the starter leans to the wrong turn at three, so that its greedy choices
 * fail nearly everywhere, while its samples come through 1 to 3 times in 100.
 */

import { agent, stream, taskOf, workflow } from "troupe";
import { leagueTask } from "./league-task.ts";
import { type Leanings, starterTable } from "./starter-table.ts";

export interface CorridorTask {
  /** The doors, in the order in which they are met. */
  readonly doors: readonly string[];
}

const doorCount = 12;
const length = 8;
const turns = ["left", "right"] as const;
type Turn = (typeof turns)[number];

const doors = Array.from({ length: doorCount }, (_, i) => `door-${i}`);
const world = stream("league", "corridor");
/** Which turn a door wants. Nobody is told. */
const wanted: ReadonlyMap<string, Turn> = new Map(doors.map((door) => [door, world.pick(turns)]));
/** Where the starter is wrong. */
const misjudged: ReadonlySet<string> = new Set(world.shuffled(doors).slice(0, 3));

const other = (turn: Turn): Turn => (turn === "left" ? "right" : "left");

function leanings(before: string, last: string): Leanings | undefined {
  if (last === "guide" && wanted.has(before)) {
    const turn = wanted.get(before)!;
    const share = misjudged.has(before) ? 0.35 : 0.8;
    return { [turn]: share, [other(turn)]: 1 - share };
  }
  if (last === "walker") {
    if (before === "left" || before === "right") return { [before]: 0.9, [other(before)]: 0.1 };
    return { left: 0.5, right: 0.5 };
  }
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

/** Corridors of eight different doors; those of the test are not among those of the training. */
function corridors(split: "train" | "test", count: number): readonly CorridorTask[] {
  const seen = new Set<string>();
  const random = stream("league", "corridors");
  const drawn: CorridorTask[] = [];
  while (drawn.length < 464) {
    const chosen = random.shuffled(doors).slice(0, length);
    if (seen.has(chosen.join(" "))) continue;
    seen.add(chosen.join(" "));
    drawn.push({ doors: chosen });
  }
  return split === "train" ? drawn.slice(0, 400) : drawn.slice(400, 400 + count);
}

export const corridor = leagueTask<CorridorTask>(
  {
    name: "corridor",
    title: "Corridor: one reward after 16 calls",
    score: "through",
    budget: 50_000,
    episodesPerStep: 64,
    tokensPerEpisode: 32,
    rates: [0.05, 0.15, 0.45],
    evaluateEvery: 4,
  },
  (valueHeads) => ({
    workflow: corridorTeam,
    tasks: corridors("train", 400),
    evaluate: corridors("test", 64),
    evaluateSample: 32,
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
