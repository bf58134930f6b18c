/**
 * @file Two halves: two agents that hold different facts. One sees x and may say one of four words; the other sees that
 * word and y, and must answer. The answer depends on both: (kind of x + y) mod 4, where sixteen x are of four kinds. What
 * the words mean is not given: a language for the kinds has to come about, and a quarter of the answers is right by chance.
 *
 * Of the 64 pairs 16 are held out, one for each kind and each y. Who has learned to say the kind of x, rather than x,
 * answers them too.
 */

import { agent, stream, taskOf, workflow } from "troupe";
import { leagueTask } from "./league-task.ts";
import { type Leanings, starterTable } from "./starter-table.ts";

export interface HalvesTask {
  readonly x: string;
  readonly y: string;
  readonly answer: string;
}

const kinds = 4;
const list = (letter: string, count: number) => Array.from({ length: count }, (_, i) => `${letter}${i}`);
const xs = list("x", 16);
const ys = list("y", kinds);
const messages = list("say", kinds);
const answers = list("z", kinds);

const evenly = (words: readonly string[]): Leanings =>
  Object.fromEntries(words.map((word) => [word, 1 / words.length]));
const anyMessage = evenly(messages);
const anyAnswer = evenly(answers);

function leanings(before: string, last: string): Leanings | undefined {
  if (last === "tell") return anyMessage;
  // Also where the message was none of the four.
  if (ys.includes(last) && before !== "tell") return anyAnswer;
  return { "<end>": 1 };
}

const teller = agent("teller", { prompt: ({ x }: { x: string }) => `${x} tell`, maxTokens: 3 });
const solver = agent("solver", {
  prompt: ({ message, y }: { message: string; y: string }) => `${message} ${y}`,
  maxTokens: 3,
});

const halvesTeam = workflow(
  "halves",
  { agents: { teller, solver }, task: taskOf<HalvesTask>() },
  async ({ task, agents, reward }) => {
    const { text: message } = await agents.teller({ x: task.x });
    const { text: answer } = await agents.solver({ message, y: task.y });
    reward(answer === task.answer ? 1 : 0, { name: "right" });
    return answer;
  },
);

/** Which x are of which kind is drawn, so that no order of words helps. */
export function pairs(split: "train" | "test"): readonly HalvesTask[] {
  const drawn = stream("league", "halves").shuffled(xs);
  return drawn.flatMap((x, place) => {
    const kind = place % kinds;
    const member = Math.floor(place / kinds);
    return ys.flatMap((y, i) => {
      const isHeldOut = member === (kind + i) % kinds;
      return isHeldOut === (split === "test") ? [{ x, y, answer: answers[(kind + i) % kinds]! }] : [];
    });
  });
}

export const halves = leagueTask<HalvesTask>(
  {
    name: "halves",
    title: "Two halves: a language has to come about",
    score: "right",
    budget: 30_000,
    episodesPerStep: 128,
    tokensPerEpisode: 4,
    minibatches: 4,
    rates: [0.05, 0.15, 0.45],
    evaluateEvery: 10,
  },
  (valueHeads) => ({
    workflow: halvesTeam,
    tasks: pairs("train"),
    evaluate: pairs("test"),
    evaluateSample: 16,
    metrics: { right: ({ reward }) => reward },
    policies: {
      table: starterTable({
        words: [...xs, ...ys, ...messages, ...answers, "tell"],
        ...(valueHeads > 0 ? { valueHead: true } : {}),
        leanings,
      }),
    },
  }),
);
