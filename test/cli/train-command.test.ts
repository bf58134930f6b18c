import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { runCommandLine } from "../../src/cli/program.ts";

/** The command runs from source, in a process of its own, with the loader that also reads users' files. */
const loader = fileURLToPath(new URL("../../node_modules/jiti/lib/jiti-cli.mjs", import.meta.url));
const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-cli-"));
  await writeFile(
    join(folder, "team.ts"),
    `import { agent, taskOf, workflow } from "troupe";
     const namer = agent("namer", { prompt: (v: { word: string }) => \`\${v.word} is\`, maxTokens: 1 });
     export const team = workflow("colours", { agents: { namer }, task: taskOf<{ word: string; answer: string }>() },
       async ({ task, agents, reward }) => {
         const { text } = await agents.namer({ word: task.word });
         reward(text === task.answer ? 1 : 0);
         return text;
       });`,
  );
  await writeFile(
    join(folder, "train.ts"),
    `import { grpo, jsonl, tabularPolicy, trainConfig } from "troupe";
     import { team } from "./team.ts";
     enum Size { Group = 8 }
     const tasks = jsonl<{ word: string; answer: string }>(new URL("tasks.jsonl", import.meta.url));
     export default trainConfig({ workflow: team, tasks, evaluate: tasks,
       metrics: { correct: ({ result, task }) => (result === task.answer ? 1 : 0) },
       policies: { small: tabularPolicy({ words: ["sun", "sky", "yellow", "blue", "is"] }) },
       method: grpo({ groupSize: Size.Group }), steps: 1_000_000, learningRate: 0.1, evaluateEvery: 0 });`,
  );
  await writeFile(
    join(folder, "tasks.jsonl"),
    '{"word":"sun","answer":"yellow"}\n{"word":"sky","answer":"blue"}\n',
  );
  await writeFile(join(folder, "wrong.ts"), "export default { steps: 3 };");
  await writeFile(join(folder, "throws.ts"), 'throw new Error("no such dataset");');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

function troupe(
  args: readonly string[],
  onOutput: (text: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
) {
  return new Promise<Ended>((resolve) => {
    const child = spawn(process.execPath, [loader, main, ...args], { cwd: folder });
    let output = "";
    let errors = "";
    child.stdout.on("data", (data) => {
      output += data;
      onOutput(output, (signal) => child.kill(signal));
    });
    child.stderr.on("data", (data) => {
      errors += data;
    });
    child.on("close", (code) => resolve({ code, output, errors }));
  });
}

test("trains what a TypeScript file exports, with flags over its settings", async () => {
  const { code, output, errors } = await troupe([
    "train",
    "train.ts",
    "--steps",
    "4",
    "--seed",
    "7",
    "--run",
    "short",
  ]);
  expect(errors).toBe("");
  expect(code).toBe(0);
  expect(output).toContain("step 4/4 · reward");
  expect(output).toMatch(/held-out correct 0\.\d{3} \[.*\] → .* n = 2/);
  expect(output).toContain("one held-out episode after training");
  const summary = JSON.parse(await readFile(join(folder, "runs", "short", "summary.json"), "utf8"));
  expect(summary).toMatchObject({ steps: 4, seed: 7, before: { n: 2 }, after: { n: 2 } });
});

test("--json writes one fact a line, errors included", async () => {
  const { code, output } = await troupe(["train", "train.ts", "--steps", "1", "--run", "json", "--json"]);
  expect(code).toBe(0);
  const facts = output
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(facts.map(({ kind }) => kind)).toEqual(
    expect.arrayContaining(["first group", "evaluation", "step", "checkpoint", "summary"]),
  );
});

test("Ctrl-C saves and says where", async () => {
  let sent = false;
  const { code, output, errors } = await troupe(["train", "train.ts", "--run", "stopped"], (text, kill) => {
    if (sent || !text.includes("step 3/")) return;
    sent = true;
    kill("SIGINT");
  });
  expect(code).toBe(130);
  expect(errors).toContain("stopping at the next safe point");
  const [, step] = /stopped after step (\d+) of 1000000; the weights are in runs\/stopped\/checkpoints/.exec(
    output,
  )!;
  expect(await readdir(join(folder, "runs", "stopped", "checkpoints"))).toEqual([
    `step-${step!.padStart(6, "0")}`,
  ]);
  expect(
    JSON.parse(await readFile(join(folder, "runs", "stopped", "summary.json"), "utf8")).interrupted,
  ).toBe(true);
});

test("a reader that goes away stops the run at a safe point, without a stack", async () => {
  const { code, errors } = await new Promise<Pick<Ended, "code" | "errors">>((resolve) => {
    const child = spawn(process.execPath, [loader, main, "train", "train.ts", "--run", "unread"], {
      cwd: folder,
    });
    let said = "";
    child.stderr.on("data", (data) => {
      said += data;
    });
    child.stdout.once("data", () => child.stdout.destroy());
    child.on("close", (ended) => resolve({ code: ended, errors: said }));
  });
  expect(errors).toContain("stopping at the next safe point");
  expect(errors).not.toContain("EPIPE");
  expect(code).toBe(130);
  expect(JSON.parse(await readFile(join(folder, "runs", "unread", "summary.json"), "utf8")).interrupted).toBe(
    true,
  );
});

/** In this process, which is faster than a new one; for what ends before a run begins. */
async function inProcess(args: readonly string[]): Promise<Ended> {
  const written = { output: "", errors: "" };
  const listen = (stream: NodeJS.WriteStream, to: keyof typeof written) =>
    vi.spyOn(stream, "write").mockImplementation((text) => {
      written[to] += String(text);
      return true;
    });
  const spies = [listen(process.stdout, "output"), listen(process.stderr, "errors")];
  try {
    return { code: await runCommandLine(args), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

test("wrong use ends with code 2 and what to do next", async () => {
  const mistyped = await inProcess(["trian"]);
  expect(mistyped.code).toBe(2);
  expect(mistyped.errors).toContain("Did you mean train?");
  const flag = await inProcess(["train", "train.ts", "--steps", "many"]);
  expect(flag.code).toBe(2);
  expect(flag.errors).toContain("Expected an integer of at least 0");
  const missing = await inProcess(["train", "nix.ts", "--json"]);
  expect(JSON.parse(missing.output)).toMatchObject({ kind: "error", code: "E_FILE_MISSING" });
  const wrong = await inProcess(["train", join(folder, "wrong.ts")]);
  expect(wrong.code).toBe(2);
  expect(wrong.errors).toMatch(
    /CommandLineError \[E_TRAIN_FILE\]: .*wrong\.ts is not a training configuration\.\n {2}Try: write `export default trainConfig/,
  );
  const throws = await inProcess(["train", join(folder, "throws.ts")]);
  expect(throws.code).toBe(2);
  expect(throws.errors).toContain("no such dataset");
});

test("help lists the commands and the exit codes", async () => {
  const { code, output } = await inProcess(["--help"]);
  expect(code).toBe(0);
  expect(output).toContain("train [options] <file>");
  expect(output).toContain("130 interrupted");
});
