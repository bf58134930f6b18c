/**
 * @file Our side of the GRPO step benchmark: the trainer as users run it (workflow, journal, run folder, engine
 * thread), one step a command. A gate in the workflow holds each step's episodes until the command comes.
 */

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { agent, train, workflow } from "troupe";
import { local } from "troupe/local";
import { grpo } from "troupe/methods";

interface Open {
  readonly folder: string;
  readonly texts: readonly string[];
  readonly samples: number;
  readonly completion: number;
  readonly threads: number;
}

let openGate: () => void = () => undefined;
let gate = Promise.resolve();
let stepDone: () => void = () => undefined;
const close = () => {
  gate = new Promise<void>((resolve) => {
    openGate = resolve;
  });
};

function start({ folder, texts, samples, completion, threads }: Open): void {
  const writer = agent("writer", { prompt: ({ text }: { text: string }) => text, maxTokens: completion });
  const task = workflow("bench", { agents: { writer } }, async ({ task, agents, reward }) => {
    await gate;
    const reply = await agents.writer({ text: task.text });
    // The share of odd token ids: cheap, and different between samples.
    reward(reply.tokens.reduce((sum, token) => sum + (token % 2), 0) / reply.tokens.length);
  });
  const nothing = () => undefined;
  void train(
    {
      workflow: task,
      tasks: texts.map((text) => ({ text })),
      policies: { small: local(folder, { threads }) },
      method: grpo({ groupSize: samples }),
      tasksPerStep: texts.length,
      steps: 10_000,
      learningRate: 1e-4,
      evaluateEvery: 0,
      runsFolder: mkdtempSync(join(tmpdir(), "troupe-bench-runs-")),
    },
    {
      reporter: {
        info: nothing,
        warn: nothing,
        status: nothing,
        event: nothing,
        close: nothing,
        step: () => {
          close();
          stepDone();
        },
      },
    },
  ).catch((error) => {
    console.error(error);
    process.exit(1);
  });
}

const step = (): Promise<void> =>
  new Promise((resolve) => {
    stepDone = resolve;
    openGate();
  });

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as { do: string } & Open;
  const begin = performance.now();
  if (command.do === "open") start(command);
  else await step();
  process.stdout.write(
    `${JSON.stringify({ ms: performance.now() - begin, peak_mb: process.resourceUsage().maxRSS / 1024 })}\n`,
  );
}
process.exit(0);
