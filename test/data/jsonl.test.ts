import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { jsonl } from "../../src/data/jsonl.ts";
import { loadTasks } from "../../src/data/task-source.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-data-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(content: string | Uint8Array) {
  const path = join(folder, "tasks.jsonl");
  await writeFile(path, content);
  return path;
}

test("one value a line; blank lines and Windows line ends are fine", async () => {
  const path = await file('{"q":"a"}\r\n\n{"q":"Galdhøpiggen"}\n');
  expect(await loadTasks(jsonl(path), "tasks")).toEqual([{ q: "a" }, { q: "Galdhøpiggen" }]);
  expect(await loadTasks(jsonl(pathToFileURL(path)), "tasks")).toHaveLength(2);
});

test("faults name file and line", async () => {
  const path = await file('{"q":"a"}\n\n{"q":\n');
  await expect(loadTasks(jsonl(path), "tasks")).rejects.toThrow(`${path}, line 3 is not JSON`);
  await expect(loadTasks(jsonl(join(folder, "nix.jsonl")), "tasks")).rejects.toMatchObject({
    code: "E_TASK_FILE",
  });
  await expect(loadTasks(jsonl(await file(Uint8Array.of(0x1f, 0x8b, 0xff))), "tasks")).rejects.toThrow(
    /not UTF-8/,
  );
});

test("an empty file is an error", async () => {
  await expect(loadTasks(jsonl(await file("\n\n")), "evaluate")).rejects.toMatchObject({
    code: "E_TASKS_EMPTY",
  });
  await expect(loadTasks([], "tasks")).rejects.toThrow(/tasks has no tasks/);
});

test("tasks are checked with the workflow's schema, by line", async () => {
  const schema = z.object({ question: z.string(), answers: z.array(z.string()) });
  const path = await file('{"question":"a","answers":["b"]}\n\n{"question":1,"answers":["b",2]}\n');
  await expect(loadTasks(jsonl(path), "tasks", schema)).rejects.toThrow(
    /line 3: question: .*string.*; answers\.1: .*string/,
  );
});
