import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { silentReporter } from "../../../src/trainer/reporter.ts";
import { train } from "../../../src/trainer/train.ts";
import { apartRun, outcome } from "./apart-run.ts";

const script = fileURLToPath(new URL("process.ts", import.meta.url));
const running = new Set<ChildProcess>();

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "troupe-apart-kill-"));
});
afterAll(async () => {
  for (const child of running) child.kill("SIGKILL");
  await rm(root, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
}

function start(folder: string, policy?: string): Started {
  const args = ["--import", "jiti/register", script, folder, ...(policy === undefined ? [] : [policy])];
  const child = spawn(process.execPath, args);
  running.add(child);
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output += chunk;
  });
  return {
    child,
    ended: new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => {
        running.delete(child);
        resolve({ code, output });
      });
    }),
  };
}

test("each process is killed once, at its work, and all goes on to the weights of one process", async () => {
  await train(apartRun(join(root, "whole")), { reporter: silentReporter });
  const folder = join(root, "apart");
  const there = (...names: string[]) =>
    vi.waitUntil(() => existsSync(join(folder, "store", ...names)), { timeout: 40_000, interval: 2 });
  const kill = async ({ child, ended }: Started) => {
    child.kill("SIGKILL");
    expect((await ended).code).toBeNull();
  };
  const controller = start(folder);
  const first = start(folder, "first");
  const second = start(folder, "second");
  await there("weights", "first", "step-000001");
  await there("steps", "step-000002");
  await kill(first);
  const firstAgain = start(folder, "first");
  await there("weights", "second", "step-000003");
  await kill(controller);
  await kill(second);
  const others = [firstAgain, start(folder), start(folder, "second")];
  for (const { ended } of others) {
    const { code, output } = await ended;
    expect(code, output).toBe(0);
  }
  expect(outcome(join(folder, "apart"))).toEqual(outcome(join(root, "whole", "apart")));
});
