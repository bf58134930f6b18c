/**
 * @file Nodes per second of sampling a tree of 64 nodes by forked episodes, against running each node's episode from its
 * start, on one engine. Two trees:
 *   trunk     every node goes on from the last call of one episode, whose earlier calls make up a 300-token prefix
 *   attempts  the tree of an AB-MCTS search: a 300-token task, a node is one more attempt after its parent's
 * From the start, a node samples all calls of its episode again, with as many in flight. Once the engine may reuse the
 * keys and values of other nodes' prompts (as it does by default), once a mark before each node's prompts keeps it from
 * that. Every side samples the same number of tokens a call.
 *   npx jiti bench/search-tree.ts [--rounds 5] [--tiny]
 */

import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { openLocalPolicy } from "../src/engine/local/index.ts";
import type { Policy, SampleRequest } from "../src/engine/policy.ts";
import { key } from "../src/random/stream.ts";
import { abMcts } from "../src/search/ab-mcts.ts";
import { type Branching, expandEpisodes } from "../src/search/episodes.ts";
import { search } from "../src/search/search.ts";
import { root } from "../src/search/tree.ts";
import { agent } from "../src/workflow/agent.ts";
import type { Trajectory } from "../src/workflow/trajectory.ts";
import { workflow } from "../src/workflow/workflow.ts";
import { alternate, load, median, row } from "./alternate.ts";
import { makeModel, type Size } from "./make-model.ts";

/** Where each node hangs, and how many calls its episode has. */
export interface TreeShape {
  readonly name: "trunk" | "attempts";
  readonly parents: readonly number[];
  readonly calls: readonly number[];
  /** Tokens of the first call's prompt. */
  readonly promptTokens: number;
}

/** One episode of `turns` calls; all others go on from its last call, whose prompt is `prefix` tokens. */
export function trunk(nodes: number, prefix: number, turns: number, answer: number): TreeShape {
  return {
    name: "trunk",
    parents: Array.from({ length: nodes }, (_, node) => (node === 0 ? root : 0)),
    calls: new Array<number>(nodes).fill(turns),
    promptTokens: prefix - (turns - 1) * answer,
  };
}

/** What AB-MCTS with one participant makes of rewards that are 1 for two nodes of five. */
export async function attempts(nodes: number, prefix: number): Promise<TreeShape> {
  const tree = await search({
    ...abMcts<number>({ nodes, participants: ["solver"] }),
    expand: async ({ index }) => ({ status: "complete", state: (index * 7) % 5 < 2 ? 1 : 0 }),
    value: (state) => state,
    key: key("bench", "shape"),
  });
  return {
    name: "attempts",
    parents: tree.nodes.map(({ parent }) => parent),
    calls: tree.nodes.map(({ depth }) => depth),
    promptTokens: prefix,
  };
}

interface Transcript {
  readonly mark: string;
  readonly turns: number;
}

/** The model's tokens are bytes, so that a character is a token; answers are put back as hex digits, a token each. */
function conversation(tokens: number, answer: number) {
  const opening = "the task ".repeat(tokens).slice(0, tokens - markLength);
  const writer = agent("writer", {
    prompt: ({ mark, said }: { mark: string; said: string }) => mark + opening + said,
    maxTokens: answer,
  });
  return workflow("conversation", { agents: { writer } }, async ({ task, agents, reward }) => {
    const { mark, turns } = task as Transcript;
    let said = "";
    for (let turn = 0; turn < turns; turn++) {
      const { text } = await agents.writer({ mark, said });
      said += Buffer.from(text).toString("hex").padEnd(answer, "0").slice(0, answer);
    }
    reward(0);
    return said;
  });
}

/** Names the round, so that it computes its own opening, and where nothing is to be shared the node. */
const markLength = 8;
const markOf = (round: number, node = 0) => `${round}.${node}`.padStart(markLength, "#");

/** Tokens of all calls since it was made. */
export interface Counts {
  calls: number;
  prompt: number;
  shared: number;
  sampled: number;
}

/** The policy, with its calls counted. */
export function counting(policy: Policy): { readonly policy: Policy; readonly counts: Counts } {
  const counts: Counts = { calls: 0, prompt: 0, shared: 0, sampled: 0 };
  const sample = async (request: SampleRequest) => {
    const result = await policy.sample(request);
    counts.calls++;
    counts.prompt += request.prompt.length;
    counts.shared += result.sharedPromptTokens;
    counts.sampled += result.tokens.length;
    return result;
  };
  const { name, version, contextLength, tokenizer } = policy;
  return { policy: { name, version, contextLength, tokenizer, sample, close: async () => {} }, counts };
}

/** "forks": expansions of a search. "start": each node's episode as if it were the only one. "marked": and nothing is shared. */
export type Side = "forks" | "start" | "marked";

export interface Grown extends Counts {
  readonly milliseconds: number;
  /** What the nodes' episodes say, by node; differs between sides, since their random keys do. */
  readonly states: readonly Trajectory[];
}

/** Makes all nodes of a shape, `concurrency` in flight. */
export async function growShape(
  engine: Policy,
  shape: TreeShape,
  settings: {
    readonly side: Side;
    readonly answer: number;
    readonly concurrency: number;
    readonly seed: number;
  },
): Promise<Grown> {
  const { side, answer, concurrency, seed } = settings;
  const { parents, calls, promptTokens } = shape;
  const { policy, counts } = counting(engine);
  const episodes = conversation(promptTokens, answer);
  const alone = side !== "forks";
  const began = performance.now();
  const tree = await search<Trajectory, number>({
    nodes: parents.length,
    // The shape is given: a child waits for its parent, where it is forked off it.
    select: (view, { index }) => {
      const parent = alone ? root : parents[index]!;
      if (parent !== root && view.nodes[parent]?.status !== "complete") return undefined;
      return { parent, action: index };
    },
    expand: (request) =>
      expandEpisodes<Transcript, number>({
        workflow: episodes,
        task: {
          mark: markOf(seed, side === "marked" ? request.index + 1 : 0),
          turns: calls[request.action]!,
        },
        policies: new Map([["model", policy]]),
        assignment: new Map([["writer", "model"]]),
        stage: "train",
        identity: { purpose: "bench", step: seed, group: 0, task: 0 },
        seed,
        branch: (_, node): Branching<Transcript> => ({
          at: calls[node]! - 1,
          task: { mark: markOf(seed), turns: calls[node]! },
        }),
      })(request),
    value: () => 0,
    key: key("bench", seed),
    concurrency,
  });
  const milliseconds = performance.now() - began;
  const states = tree.nodes.map((node) => {
    if (node.status === "complete") return node.state;
    throw new Error(
      `Node ${node.index} is ${node.status}: ${node.status === "failed" ? node.failure.message : ""}`,
    );
  });
  return { ...counts, milliseconds, states };
}

const sizes: Readonly<Record<string, Size>> = {
  "0.9 M": {
    layers: 4,
    hidden: 128,
    heads: 4,
    keyValueHeads: 2,
    intermediate: 384,
    vocabulary: 259,
    context: 1024,
  },
  "11 M": {
    layers: 6,
    hidden: 384,
    heads: 6,
    keyValueHeads: 2,
    intermediate: 1024,
    vocabulary: 4096,
    context: 1024,
  },
};

async function main(): Promise<void> {
  const tiny = process.argv.includes("--tiny");
  const rounds = tiny ? 1 : Number(process.argv[process.argv.indexOf("--rounds") + 1] || 5) || 5;
  const [nodes, prefix, answer, concurrency] = tiny ? [8, 96, 8, 4] : [64, 300, 32, 16];
  const shapes = [trunk(nodes, prefix, 5, answer), await attempts(nodes, prefix)];
  for (const { name, calls, promptTokens } of shapes) {
    const all = calls.reduce((sum, count) => sum + count, 0);
    console.log(
      `${name}: ${nodes} nodes, first prompt ${promptTokens} tokens, ${answer} tokens an answer, ${(all / nodes).toFixed(2)} calls an episode (at most ${Math.max(...calls)}), ${concurrency} in flight`,
    );
  }
  console.log(
    "\n| model | tree | against | forks ms (min / median) | from the start ms | ratio: median (range) | nodes a second: forks, from the start | calls | sampled tokens | prompt tokens computed |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|---|");
  for (const [name, size] of Object.entries(sizes)) {
    if (tiny && name !== "0.9 M") continue;
    const { folder } = await makeModel(size);
    const engine = await openLocalPolicy("model", folder, { trainable: false }, {});
    let seed = 0;
    for (const shape of shapes)
      for (const side of ["start", "marked"] as const) {
        const facts: Partial<Record<Side, Grown>> = {};
        const of = (which: Side) => async () => {
          facts[which] = await growShape(engine, shape, { side: which, answer, concurrency, seed: seed++ });
          return facts[which].milliseconds;
        };
        const compared = await alternate(rounds, of("forks"), of(side));
        const [forks, others] = [facts.forks!, facts[side]!];
        const rate = (milliseconds: readonly number[]) => ((1000 * nodes) / median(milliseconds)).toFixed(0);
        console.log(
          `| ${name} | ${shape.name} | ${side === "start" ? "prompts reused" : "nothing reused between nodes"} | ${row(compared)} | ${rate(compared.ours)}, ${rate(compared.theirs)} | ${forks.calls}, ${others.calls} | ${forks.sampled}, ${others.sampled} | ${forks.prompt - forks.shared}, ${others.prompt - others.shared} |`,
        );
      }
    await engine.close();
    await rm(dirname(folder), { recursive: true });
  }
  console.log(`\n(${load()})`);
}

if (process.argv[1]?.endsWith("search-tree.ts") === true) {
  await main();
  process.exit(0);
}
