/**
 * The code of docs/writing-a-method.md, as it stands: extracted, type-checked, and its own tests run as part of this file.
 */

import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const page = readFileSync(join(root, "docs/writing-a-method.md"), "utf8");
// Inside the repository, so that "troupe/methods" and "vitest" are found; ignored by git.
const folder = join(root, "build", `writing-a-method-${process.pid}`);
const files = [...page.matchAll(/```ts\n\/\/ (\S+\.ts)\n([\s\S]*?)```/g)].map(([, name, code]) => ({
  name: name!,
  code: code!,
}));

mkdirSync(folder, { recursive: true });
for (const { name, code } of files) writeFileSync(join(folder, name), code);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("every snippet of the page is a file", () => {
  expect(files.map(({ name }) => name)).toEqual([
    "pass-at-k.ts",
    "pass-at-k.test.ts",
    "tapered.ts",
    "tapered.test.ts",
  ]);
  expect(page.match(/```ts/g)).toHaveLength(files.length);
});

test("a method takes about 30 lines", () => {
  for (const { name, code } of files) expect(code.trim().split("\n").length, name).toBeLessThanOrEqual(45);
  expect(files[0]!.code.trim().split("\n").length).toBeLessThanOrEqual(40);
});

test("the code type-checks", async () => {
  const config = {
    extends: "../../tsconfig.json",
    compilerOptions: { noEmit: true },
    include: ["*.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const { stdout } = await promisify(execFile)(process.execPath, [compiler, "-p", folder], {
    cwd: root,
  }).catch((error: { stdout: string }) => error);
  // Faults of the library itself are other tests' matter.
  expect(stdout.split("\n").filter((line) => line.includes("writing-a-method"))).toEqual([]);
});

for (const { name } of files.filter((file) => file.name.endsWith(".test.ts"))) {
  const { href } = pathToFileURL(join(folder, name));
  // Importing registers the tests of the page here.
  describe(name, async () => {
    await import(/* @vite-ignore */ href);
  });
}
