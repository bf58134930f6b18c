import { expect, test } from "vitest";
import { key } from "../../src/random/stream.ts";
import * as troupeSearch from "../../src/search/index.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";

const { abMcts, episodeValue, expandEpisodes, goOn, search, searchScores } = troupeSearch;

test("the public surface changes only on purpose", () => {
  expect(Object.keys(troupeSearch).sort()).toMatchInlineSnapshot(`
    [
      "Gate",
      "SearchError",
      "Tree",
      "abMcts",
      "bestOfN",
      "beta",
      "c3po",
      "chatTree",
      "childMeans",
      "completeNodes",
      "depthPenalty",
      "episodeText",
      "episodeTurns",
      "episodeValue",
      "evaluateSearch",
      "expandEpisodes",
      "gaussian",
      "goOn",
      "keepLeaves",
      "leafMeans",
      "marsSearch",
      "mergeSiblings",
      "minePairs",
      "nextBranch",
      "nodeLine",
      "optima",
      "ownCalls",
      "readTrajectoryJson",
      "readTree",
      "root",
      "search",
      "searchScores",
      "selectNode",
      "shapedRewards",
      "siblingAdvantages",
      "standardised",
      "standardisedWithin",
      "tPlus",
      "trajectoryJson",
      "treeAdvantages",
      "treeGrpo",
      "treeGrpoAdvantages",
      "treeLines",
      "treeOf",
      "treeRpo",
      "treeSchema",
      "treeStatistics",
      "turnTree",
      "withoutProbe",
    ]
  `);
});

interface Attempt {
  readonly puzzle: string;
  readonly attempts: number;
}

const solve = workflow(
  "solve",
  {
    agents: { coder: agent("coder", { prompt: (v: { before: string }) => v.before }) },
    task: taskOf<Attempt>(),
  },
  async ({ task, agents, reward }) => {
    let text = "-";
    for (let i = 0; i < task.attempts; i++) text = (await agents.coder({ before: text })).text;
    reward(text.length > 4 ? 1 : 0);
    return text;
  },
);

test("the example of docs/search.md", async () => {
  const seed = 0;
  const [step, group, index] = [1, 0, 0];
  const policies = new Map(
    await Promise.all(
      ["coder-a", "coder-b"].map(async (name) => {
        const policy = await scriptedPolicy({ answer: (prompt) => prompt + name.at(-1) }).open({
          name,
          seed,
        });
        return [name, policy] as const;
      }),
    ),
  );
  const tree = await search({
    ...abMcts({ nodes: 64, participants: ["coder-a", "coder-b"] }),
    expand: expandEpisodes({
      workflow: solve,
      task: { puzzle: "p", attempts: 1 },
      policies,
      assignment: ({ participant }) => new Map([["coder", participant]]),
      branch: goOn((task: Attempt) => ({ ...task, attempts: task.attempts + 1 })),
      stage: "train",
      identity: { purpose: "train", step, group, task: index },
      seed,
    }),
    value: episodeValue,
    key: key(seed, "search", step, group),
  });
  expect(tree.nodes).toHaveLength(64);
  expect(searchScores(tree, ({ result }) => String(result).length > 4)).toMatchObject({
    pass1: false,
    passSearch: true,
    passN: true,
    failed: 0,
  });
});
