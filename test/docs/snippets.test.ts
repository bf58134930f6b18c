/** The snippets of the methods' pages and of the tools' page type-check as they stand. */

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { catalog } from "../../src/catalog/index.ts";

const root = join(import.meta.dirname, "../..");
// Inside the repository, so that "troupe/methods" is found; ignored by git.
const folder = join(root, "build", `snippets-${process.pid}`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("docs/methods/*.md and docs/tools.md", async () => {
  mkdirSync(folder, { recursive: true });
  const compilerOptions = { noUnusedLocals: false, noUnusedParameters: false };
  const config = { extends: "../../tsconfig.json", compilerOptions, include: ["*.ts"] };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  let written = 0;
  const methods = [...catalog.map((card) => card.name), "composition"];
  for (const name of ["../tools", ...methods]) {
    const page = join(root, "docs/methods", `${name}.md`);
    if (!existsSync(page)) continue;
    const snippets = [...readFileSync(page, "utf8").matchAll(/```ts\n([\s\S]*?)```/g)];
    for (const [i, [, code]] of snippets.entries()) {
      // One on each own, and a module even without imports.
      writeFileSync(join(folder, `${basename(name)}.md-${i + 1}.ts`), `${code}\nexport {};\n`);
      written++;
    }
  }
  expect(written).toBeGreaterThan(5);
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const { stdout } = await promisify(execFile)(process.execPath, [compiler, "-p", folder], {
    cwd: root,
  }).catch((error: { stdout: string }) => error);
  // Faults of the library itself are other tests' matter.
  expect(stdout.split("\n").filter((line) => line.includes("snippets-"))).toEqual([]);
});
