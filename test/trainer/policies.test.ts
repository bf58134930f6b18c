/** @file What a run opens: frozen local policies take part untrained, and references share weights where they can. */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { local } from "../../src/engine/local/index.ts";
import type { PolicySpec } from "../../src/engine/policy-spec.ts";
import { grpo } from "../../src/methods/grpo.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import type { TrainOptions } from "../../src/trainer/config.ts";
import { silentReporter } from "../../src/trainer/reporter.ts";
import { train } from "../../src/trainer/train.ts";
import { agent } from "../../src/workflow/agent.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { workflow } from "../../src/workflow/workflow.ts";
import { type ModelFixture, modelFixture } from "../engine/local/worker/model-fixture.ts";
import { stepLines } from "./run-files.ts";

let fixture: ModelFixture;
beforeAll(async () => {
  fixture = await modelFixture();
});
afterAll(() => fixture.remove());

interface Task {
  readonly word: string;
}
const writer = agent("writer", { prompt: (v: { word: string }) => v.word, maxTokens: 6 });
const critic = agent("critic", { prompt: (v: { text: string }) => `${v.text}?`, maxTokens: 2 });
const team = workflow(
  "team",
  { agents: { writer, critic }, task: taskOf<Task>() },
  async ({ task, agents, reward }) => {
    const { text } = await agents.writer(task);
    await agents.critic({ text });
    reward([...text].filter((letter) => letter < "m").length);
  },
);

const options = (overrides: Partial<TrainOptions<Task>>): TrainOptions<Task> => ({
  workflow: team,
  tasks: [{ word: "cat" }, { word: "mat" }],
  policies: {},
  assign: { writer: "learns", critic: "frozen" },
  method: grpo({ groupSize: 8 }),
  steps: 2,
  tasksPerStep: 2,
  learningRate: 1e-2,
  evaluateEvery: 0,
  runsFolder: join(fixture.scratch, "runs"),
  ...overrides,
});
const control = { reporter: silentReporter };

test("a frozen local policy takes part, and gets no update, no metrics of one and no checkpoint", async () => {
  const { folder } = fixture;
  const summary = await train(
    options({
      run: "frozen",
      policies: { learns: local(folder), frozen: local(folder, { trainable: false }) },
    }),
    control,
  );
  const lines = await stepLines(join(fixture.scratch, "runs", "frozen"));
  expect(lines).toHaveLength(2);
  for (const { policies } of lines) expect(Object.keys(policies)).toEqual(["learns"]);
  expect(lines.at(-1).policies.learns).toMatchObject({ updated: true, version: 2 });
  expect(await readdir(summary.checkpoint)).not.toContain("frozen");
});

test("a run whose only policy is frozen is refused", async () => {
  const policies = { learns: local(fixture.folder, { trainable: false }) };
  await expect(
    train(options({ run: "none", policies, assign: { writer: "learns", critic: "learns" } }), control),
  ).rejects.toMatchObject({ code: "E_CONFIG", message: expect.stringContaining("can be trained") });
});

test("a reference is opened once a trained policy, through openReference where there is one", async () => {
  const opened: string[] = [];
  const counting = (base: PolicySpec, own: boolean): PolicySpec => ({
    kind: base.kind,
    open: async (context) => {
      opened.push(context.name);
      return base.open(context);
    },
    ...(own && base.openReference
      ? {
          openReference: async (context) => {
            opened.push(`own ${context.name}`);
            return base.openReference!(context);
          },
        }
      : {}),
  });
  const run = (policies: Record<string, PolicySpec>, method = grpo({ groupSize: 8, klCoefficient: 0.1 })) =>
    train(
      options({
        run: `references-${Object.values(policies).filter(({ openReference }) => openReference).length}`,
        policies,
        method,
      }),
      control,
    );
  await run({
    learns: counting(local(fixture.folder), true),
    frozen: counting(local(fixture.folder, { trainable: false }), true),
  });
  expect(opened).toEqual(["learns", "own learns (reference)", "frozen"]);
  opened.length = 0;
  await run({
    learns: counting(local(fixture.folder), false),
    frozen: counting(local(fixture.folder), false),
  });
  expect(opened).toEqual(["learns", "learns (reference)", "frozen", "frozen (reference)"]);
});

test("a reference that cannot score is refused by name", async () => {
  const policies = {
    learns: {
      ...local(fixture.folder),
      openReference: (context) => scriptedPolicy({ answer: () => "" }).open(context) as Promise<never>,
    } satisfies PolicySpec,
  };
  await expect(
    train(
      options({
        run: "mute",
        policies,
        assign: { writer: "learns", critic: "learns" },
        method: grpo({ groupSize: 8, klCoefficient: 0.1 }),
      }),
      control,
    ),
  ).rejects.toMatchObject({
    code: "E_CONFIG",
    message: expect.stringContaining('policy "learns" with a reference'),
  });
});
