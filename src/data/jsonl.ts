/** @file Tasks from a file with one JSON value a line (jsonlines.org). Blank lines are skipped; errors name file and line. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { UntypedTask } from "../workflow/workflow.ts";
import { TaskFileError } from "./errors.ts";
import type { LoadableTasks } from "./task-source.ts";

/**
 * A JSONL file as a source of tasks. Relative paths start at the working directory; use
 * `new URL("train.jsonl", import.meta.url)` for a file beside the code.
 *
 * @example
 * train({ …, tasks: jsonl("train.jsonl") });
 */
export function jsonl<Task = UntypedTask>(path: string | URL): LoadableTasks<Task> {
  const name = path instanceof URL ? fileURLToPath(path) : path;
  const lineOf: number[] = [];
  return {
    name,
    place: (index) => `line ${lineOf[index]}`,
    async load() {
      const lines = (await read(name)).split("\n");
      const tasks: Task[] = [];
      lineOf.length = 0;
      for (const [index, line] of lines.entries()) {
        if (line.trim() === "") continue;
        tasks.push(parseLine(name, index + 1, line));
        lineOf.push(index + 1);
      }
      return tasks;
    },
  };
}

async function read(name: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(name);
  } catch (error) {
    throw new TaskFileError({
      code: "E_TASK_FILE",
      message: `The task file ${name} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      hint: "check the path; relative paths start at the working directory.",
      cause: error,
    });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new TaskFileError({
      code: "E_TASK_FILE",
      message: `The task file ${name} is not UTF-8 text.`,
      hint: "save it as UTF-8; compressed files must be unpacked first.",
      cause: error,
    });
  }
}

function parseLine<Task>(name: string, line: number, text: string): Task {
  try {
    return JSON.parse(text) as Task;
  } catch (error) {
    throw new TaskFileError({
      code: "E_TASK_LINE",
      message: `${name}, line ${line} is not JSON: ${error instanceof Error ? error.message : String(error)}`,
      hint: "each line must hold one whole JSON value; a pretty-printed file is not JSONL.",
      facts: { name, line },
      cause: error,
    });
  }
}
