/**
 * @file What a search itself costs: CPU a node with expansions that end at once (AB-MCTS with 1, 2 and 3 participants,
 * trees of 8 and 64 nodes, one tree or 256 in one process), and with episodes of one call on an engine that answers at
 * once, beside the same episodes without a search. Figures are absolute ones of this machine.
 *   npx jiti bench/search-overhead.ts [--rounds 7] [--tiny]
 */

import { availableParallelism, cpus } from "node:os";
import type { Policy, SampleRequest, SampleResult } from "../src/engine/policy.ts";
import { key } from "../src/random/stream.ts";
import { abMcts, type ParticipantAction } from "../src/search/ab-mcts.ts";
import { episodeValue, expandEpisodes } from "../src/search/episodes.ts";
import { type Expand, search } from "../src/search/search.ts";
import { agent } from "../src/workflow/agent.ts";
import { runEpisode } from "../src/workflow/episode.ts";
import { forkEpisode } from "../src/workflow/fork.ts";
import { Gates } from "../src/workflow/gate.ts";
import { PromptCache } from "../src/workflow/prompt-cache.ts";
import type { Trajectory } from "../src/workflow/trajectory.ts";
import { workflow } from "../src/workflow/workflow.ts";
import { load, median } from "./alternate.ts";

const names = ["alpha", "beta", "gamma"] as const;

/** Rewards of 0 and 1, about as many of each, which keep a tree growing both ways. */
const reward = (index: number, tree: number): number => ((index * 7 + tree * 3) % 5 < 2 ? 1 : 0);

const participantsOf = (count: number): readonly string[] => names.slice(0, count);

async function cpuMicroseconds(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

export interface SelectionRun {
  readonly participants: number;
  readonly nodes: number;
  /** Trees that grow at once. */
  readonly trees: number;
  readonly strategy?: "thompson" | "ucb" | "stack";
  readonly concurrency?: number;
}

/** Grows `trees` trees at once, with expansions that answer in the next microtask. CPU microseconds a node. */
export async function selectionOverhead({
  participants,
  nodes,
  trees,
  strategy = "thompson",
  concurrency = 1,
}: SelectionRun): Promise<number> {
  const grow = async (tree: number): Promise<number> => {
    const expand: Expand<number, ParticipantAction> = async ({ index }) => ({
      status: "complete",
      state: reward(index, tree),
    });
    const grown = await search({
      ...abMcts<number>({ nodes, participants: participantsOf(participants), strategy }),
      expand,
      value: (state) => state,
      key: key("overhead", tree),
      concurrency,
    });
    return grown.nodes.length;
  };
  let made = 0;
  const spent = await cpuMicroseconds(async () => {
    const counts = await Promise.all(Array.from({ length: trees }, (_, tree) => grow(tree)));
    made = counts.reduce((sum, count) => sum + count, 0);
  });
  if (made !== trees * nodes) throw new Error(`${made} nodes were made of ${trees * nodes}.`);
  return spent / made;
}

/** Any text is the same 64 ids, any answer the same 16: neither tokenising nor sampling is measured. */
const answers: SampleResult = {
  tokens: new Int32Array(16).fill(9),
  logprobs: new Float32Array(16).fill(-1),
  plainLogprobs: new Float32Array(16).fill(-1),
  text: "an answer",
  stopReason: "end",
  version: 0,
  sharedPromptTokens: 0,
};
const instant: Policy = {
  name: "instant",
  version: 0,
  contextLength: 4096,
  tokenizer: {
    vocabularySize: 256,
    endTokens: [0],
    encode: () => new Int32Array(64).fill(7),
    decode: () => "an answer",
    encodeChat: () => new Int32Array(64).fill(7),
  },
  sample: async ({ signal }: SampleRequest) => {
    signal?.throwIfAborted();
    return { ...answers };
  },
  close: async () => {},
};

const coder = agent("coder", { prompt: (v: { goal: string }) => v.goal, maxTokens: 16 });
/** The last turn is the one that a node makes anew. */
const turns = 2;
const solve = workflow("solve", { agents: { coder } }, async ({ agents, reward: give, random }) => {
  for (let turn = 0; turn < turns; turn++) await agents.coder({ goal: "a goal" });
  give(random.uniform() < 0.4 ? 1 : 0);
});

export interface EpisodeOverhead {
  /** CPU microseconds a node of the search: selecting, the episodes, entering what came of them. */
  readonly search: number;
  /** CPU microseconds a node of the same episodes, forked off the same parents, without a search. */
  readonly episodes: number;
}

/** `trees` trees of `nodes` episodes at once on an engine that answers at once; then the same episodes alone. */
export async function episodeOverhead(nodes: number, trees: number): Promise<EpisodeOverhead> {
  // Each side meets an empty cache of prompts, or else the second would have the first's.
  const fresh = () => ({
    gates: new Gates(),
    prompts: new PromptCache(),
    workflow: solve,
    policies: new Map([["instant", instant]]),
    assignment: new Map([["coder", "instant"]]),
    stage: "train" as const,
    seed: 0,
  });
  let common = fresh();
  const identity = (tree: number) => ({ purpose: "bench", step: 0, group: tree, task: tree });
  const grow = (tree: number) =>
    search<Trajectory, ParticipantAction>({
      ...abMcts<Trajectory>({ nodes, participants: participantsOf(2) }),
      expand: expandEpisodes<unknown, ParticipantAction>({
        ...common,
        task: {},
        identity: identity(tree),
        branch: () => ({ at: turns - 1 }),
      }),
      value: episodeValue,
      key: key("overhead", tree),
    });
  const all = Array.from({ length: trees }, (_, tree) => tree);
  let grown: Awaited<ReturnType<typeof grow>>[] = [];
  const searched = await cpuMicroseconds(async () => {
    grown = await Promise.all(all.map(grow));
  });
  for (const [tree, { nodes: made }] of grown.entries())
    for (const node of made)
      if (node.status !== "complete")
        throw new Error(`Node ${node.index} of tree ${tree} is ${node.status}.`);
  common = fresh();
  const alone = await cpuMicroseconds(() =>
    Promise.all(
      grown.map(async ({ nodes: made }, tree) => {
        for (const { index, parent } of made) {
          const above = made[parent];
          await (above?.status === "complete"
            ? forkEpisode({ ...common, trajectory: above.state, at: turns - 1, branch: index })
            : runEpisode({ ...common, task: {}, identity: { ...identity(tree), sample: index } }));
        }
      }),
    ),
  );
  return { search: searched / (trees * nodes), episodes: alone / (trees * nodes) };
}

async function main(): Promise<void> {
  const tiny = process.argv.includes("--tiny");
  const rounds = tiny ? 2 : Number(process.argv[process.argv.indexOf("--rounds") + 1] || 7) || 7;
  const sizes = tiny ? [8] : [8, 64];
  console.log(
    `${cpus()[0]?.model}, ${availableParallelism()} processors, Node ${process.version}; ${rounds} rounds\n`,
  );
  console.log(
    "| strategy | participants | nodes | trees at once | in flight | µs CPU a node (min / median) |",
  );
  console.log("|---|---|---|---|---|---|");
  // Small trees are timed several at once: one alone is shorter than the processor clock's tick.
  const settings = (["thompson", "ucb", "stack"] as const).flatMap((strategy) =>
    [1, 2, 3].flatMap((participants) =>
      sizes.flatMap((nodes) =>
        (strategy === "thompson" ? [1, 256] : [256]).flatMap((trees) =>
          (strategy === "thompson" && trees === 256 ? [1, 8] : [1]).map((concurrency) => ({
            strategy,
            participants,
            nodes,
            trees: tiny ? Math.min(trees, 4) : trees,
            concurrency,
          })),
        ),
      ),
    ),
  );
  // The compiler's work is not a node's: an engine's process is warm after its first steps.
  for (const one of settings) await selectionOverhead({ ...one, trees: tiny ? 2 : 32 });
  for (const one of settings) {
    const repeats = one.trees === 1 && !tiny ? 64 : 1;
    const spent: number[] = [];
    for (let round = 0; round < rounds; round++) {
      let sum = 0;
      for (let i = 0; i < repeats; i++) sum += await selectionOverhead(one);
      spent.push(sum / repeats);
    }
    const { strategy, participants, nodes, trees, concurrency } = one;
    console.log(
      `| ${strategy} | ${participants} | ${nodes} | ${trees} | ${concurrency} | ${Math.min(...spent).toFixed(1)} / ${median(spent).toFixed(1)} |`,
    );
  }

  console.log(
    `\nEpisodes of ${turns} calls, two participants, an engine that answers at once; CPU µs a node:\n`,
  );
  console.log("| nodes | trees at once | search | the same episodes alone | difference: median (range) |");
  console.log("|---|---|---|---|---|");
  for (const nodes of sizes)
    for (const trees of tiny ? [2] : [1, 256]) {
      await episodeOverhead(nodes, trees);
      const measured: EpisodeOverhead[] = [];
      const repeats = trees === 1 ? 16 : 1;
      for (let round = 0; round < rounds; round++) {
        const sum = { search: 0, episodes: 0 };
        for (let i = 0; i < repeats; i++) {
          const once = await episodeOverhead(nodes, trees);
          sum.search += once.search / repeats;
          sum.episodes += once.episodes / repeats;
        }
        measured.push(sum);
      }
      const difference = measured.map((one) => one.search - one.episodes);
      console.log(
        `| ${nodes} | ${trees} | ${median(measured.map((one) => one.search)).toFixed(1)} | ${median(measured.map((one) => one.episodes)).toFixed(1)} | ${median(difference).toFixed(1)} (${Math.min(...difference).toFixed(1)} to ${Math.max(...difference).toFixed(1)}) |`,
      );
    }
  console.log(`\n(${load()})`);
}

if (process.argv[1]?.endsWith("search-overhead.ts") === true) await main();
