import { expect, test } from "vitest";
import { describeGroup, describeRun, describeStepMetrics, groupViews } from "../../src/cli/describe-run.ts";
import type { RecordedEpisode, RunRecord } from "../../src/trainer/run-record.ts";

const run = (config: Readonly<Record<string, unknown>>): RunRecord => ({
  path: "runs/one",
  name: "one",
  state: "finished",
  began: new Date(0),
  config: {
    steps: 3,
    seed: 0,
    tasksPerStep: 16,
    learningRate: 1e-3,
    tasks: "tasks",
    evaluate: null,
    workflow: { name: "solve" },
    assign: { coder: "small" },
    metrics: ["solved"],
    method: { name: "grpo", groupSize: 8 },
    ...config,
  },
  steps: [],
  evaluations: [],
  timings: [],
  summary: undefined,
  checkpoints: [],
  episodeFiles: [],
});

const teams = { small: { coder: "small" }, large: { coder: "large" } };

test("one team: who runs on what, and how many episodes a step", () => {
  const text = describeRun(run({}));
  expect(text).toContain("workflow solve: coder → small");
  expect(text).toContain("grpo, 16 tasks × 8 episodes a step, learning rate 0.001");
});

test("teams are named, each with its policies, and their episodes counted", () => {
  const text = describeRun(run({ teams, method: { name: "hacpo", "sampler/fixed": { groupSize: 4 } } }));
  expect(text).toContain("workflow solve\n  team small: coder → small\n  team large: coder → large");
  expect(text).toContain("hacpo, 16 tasks × 4 episodes of each team a step");
});

test("a search grows trees, and an unknown number of episodes is no question mark", () => {
  const method = { name: "mars2", "sampler/fixed": { groupSize: 8 } };
  expect(describeRun(run({ teams, method, search: { nodes: 6 } }))).toContain(
    "mars2, 16 tasks a step, a tree of 6 episodes each",
  );
  expect(describeRun(run({ teams, method, search: {} }))).toContain("16 tasks a step, a tree each");
  expect(describeRun(run({ method: { name: "mmapo" } }))).toContain("mmapo, 16 tasks a step, learning");
});

test("held-out metrics of every team follow the one of all", () => {
  const evaluation = { when: "after", step: 3, n: 40, failed: 0, failures: {} } as const;
  const numbers = { solved: 0.4, "solved.small": 0.3, "solved.large": 0.5, unrelated: 1 };
  const text = describeRun({
    ...run({ teams }),
    evaluations: [{ kind: "evaluation", ...evaluation, ...numbers, ci: {} }],
  } as unknown as RunRecord);
  expect(text).toContain("after training: solved 0.400, solved.small 0.300, solved.large 0.500, n = 40");
});

test("what the method has learned has a curve each, and a line in a step", () => {
  const step = (n: number, method?: Readonly<Record<string, number>>) => ({
    ...{ kind: "step", step: n, episodes: 4, reward: { mean: 0.5, deviation: 0 }, groups: 1 },
    ...{ groupsWithoutSignal: 0, sampledTokens: 4, failures: {}, terms: { reward: 0.5 }, policies: {} },
    ...(method === undefined ? {} : { method }),
  });
  const steps = [step(1), step(2, { "capability.a": 0.25 }), step(3, { "capability.a": 0.75 })] as const;
  const text = describeRun({ ...run({}), steps } as unknown as RunRecord);
  expect(text).toMatch(/ {2}capability\.a: .* 0\.250 → 0\.750/);
  const [first, , last] = steps.map((one) => describeStepMetrics(one as never));
  expect(last).toContain("  method: capability.a 0.750");
  expect(first).not.toContain("method:");
});

test("a group says who answered and what a branch goes on from, where that differs", () => {
  const episode = (sample: number, policies: readonly string[], forks: readonly number[][] = []) =>
    ({
      id: `train/000001/000/0${sample}${forks.map(([at, branch]) => `@${at}.${branch}`).join("")}`,
      identity: { purpose: "train", step: 1, group: 0, task: 0, sample },
      forks: forks.map(([at, branch]) => ({ at, branch })),
      task: "t",
      status: "complete",
      rewards: [{ name: "r", value: sample }],
      calls: policies.map((policy, id) => ({ id, policy })),
      result: "x",
    }) as unknown as RecordedEpisode;
  const shown = (...episodes: readonly RecordedEpisode[]) => {
    const [view] = groupViews(episodes);
    return { view: view!, rows: describeGroup(view!).split("\n").slice(3) };
  };
  const plain = shown(episode(0, ["a"]), episode(1, ["a"]));
  expect(plain.rows[0]).toMatch(/^episode +reward {2}result$/);
  // What was sampled before the branch is its parent's.
  const tree = shown(episode(0, ["a"]), episode(0, ["a", "b"], [[1, 2]]), episode(3, ["b"]));
  expect(tree.rows[0]).toMatch(/after {2}episode +policies {2}reward {2}result$/);
  expect(tree.rows[2]).toMatch(/^1 +0 {2}train\/000001\/000\/00@1\.2 {2}b /);
  expect(tree.rows[3]).toMatch(/^2 +– {2}train\/000001\/000\/03 +b /);
  expect(tree.view.episodes[1]).toMatchObject({ parent: "train/000001/000/00", policies: ["b"] });
  expect(tree.view.episodes[2]).not.toHaveProperty("parent");
});
