/** @file Runs each program of `children/` in a process of its own: a fault there is a signal, not an exception. */

import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const jiti = join(dirname(require.resolve("jiti/package.json")), "lib", "jiti-cli.mjs");
const child = (name: string) => fileURLToPath(new URL(`children/${name}`, import.meta.url));

async function outcome(...parameters: string[]): Promise<string> {
  try {
    const { stdout } = await run(process.execPath, ["--expose-gc", ...parameters], { timeout: 50_000 });
    return stdout.trim();
  } catch (error) {
    const { code, signal, stderr } = error as { code?: number; signal?: string; stderr?: string };
    return `exit ${code} signal ${signal}: ${stderr}`;
  }
}

describe("a program survives", () => {
  it.each([
    "collect-between-calls",
    "arrays-of-forgotten-variables",
    "view-outlives-tensor",
    "tensor-over-disposed-output",
    "forgotten-outputs-are-freed",
    "plateau",
    "stock-first",
    "many-backends",
    "large-first-product",
    "exit-without-dispose",
  ])("%s", async (name) => {
    expect(await outcome(jiti, child("lifetimes.ts"), name)).toBe("survived");
  });

  it("worker threads that end while the runtime works", async () => {
    expect(await outcome(child("worker.mjs"))).toBe("survived");
  });

  it("no program by default: an unknown name fails", async () => {
    expect(await outcome(jiti, child("lifetimes.ts"), "nonsense")).toMatch(/exit 1.*No program "nonsense"/s);
  });
});
