/**
 * @file A run whose groups are search trees of two policies, with calls that wait in buffers, for crash tests:
 * `node --import jiti/register trees.ts <runs folder>`. Each sampled call writes a line to `samples.log` beside the run.
 */

import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { PolicySpec } from "../../../src/engine/policy-spec.ts";
import { mars2 } from "../../../src/methods/mars2.ts";
import { abMcts } from "../../../src/search/index.ts";
import { type TabularPolicy, tabularPolicy } from "../../../src/testing/tabular-policy.ts";
import { silentReporter } from "../../../src/trainer/reporter.ts";
import { train } from "../../../src/trainer/train.ts";
import { more, retry, retryTasks, words } from "../retry-team.ts";

const [runsFolder = "runs"] = process.argv.slice(2);

function counted(spec: PolicySpec<TabularPolicy>): PolicySpec<TabularPolicy> {
  return {
    ...spec,
    open: async (context) => {
      const policy = await spec.open(context);
      const { sample } = policy;
      policy.sample = async (request) => {
        await sleep(1 + (request.key[0] % 4));
        const result = await sample.call(policy, request);
        appendFileSync(join(runsFolder, "samples.log"), `${request.key.join(" ")}\n`);
        return result;
      };
      return policy;
    },
  };
}

await train(
  {
    workflow: retry,
    tasks: retryTasks,
    evaluate: retryTasks,
    policies: { a: counted(tabularPolicy({ words })), b: counted(tabularPolicy({ words })) },
    teams: { a: { guesser: "a" }, b: { guesser: "b" } },
    search: { plan: () => abMcts({ nodes: 8, participants: ["a", "b"] }), branch: more },
    buffer: 6,
    method: mars2({ groupSize: 8 }),
    steps: 6,
    tasksPerStep: 2,
    learningRate: 0.1,
    evaluateEvery: 0,
    checkpointEvery: 2,
    runsFolder,
    run: "crash",
  },
  { reporter: { ...silentReporter, info: console.log, warn: console.log } },
);
