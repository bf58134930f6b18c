/** @file Where tasks come from: a list, or something that loads one. */

import { describeIssue, type TaskSchema } from "../workflow/task-schema.ts";
import { TaskFileError } from "./errors.ts";

/** Loads tasks once, before the first step. */
export interface LoadableTasks<Task> {
  /** For messages and the run's record: a file name. */
  readonly name: string;
  load(): Promise<readonly Task[]>;
  /** Where task `index` stands, for messages: "line 12". */
  place?(index: number): string;
}

export type TaskSource<Task> = readonly Task[] | LoadableTasks<Task>;

export function sourceName<Task>(source: TaskSource<Task>, otherwise: string): string {
  return "load" in source ? source.name : otherwise;
}

/** Loads and checks; an empty source is an error, since a run over nothing would look like a run that learns nothing. */
export async function loadTasks<Task>(
  source: TaskSource<Task>,
  role: string,
  schema?: TaskSchema<Task>,
): Promise<readonly Task[]> {
  const name = sourceName(source, role);
  const tasks = "load" in source ? await source.load() : source;
  if (tasks.length === 0) {
    throw new TaskFileError({
      code: "E_TASKS_EMPTY",
      message: `${name} has no tasks.`,
      hint: `give \`${role}\` at least one task.`,
      facts: { name },
    });
  }
  if (schema === undefined) return tasks;
  return Promise.all(
    tasks.map(async (task, index) => {
      const result = await schema["~standard"].validate(task);
      if (result.issues === undefined) return result.value;
      const place = ("load" in source ? source.place?.(index) : undefined) ?? `task ${index}`;
      throw new TaskFileError({
        code: "E_TASK_SHAPE",
        message: `${name}, ${place}: ${result.issues.map(describeIssue).join("; ")}.`,
        hint: "correct the task, or the workflow's `task` schema.",
        facts: { name, index },
      });
    }),
  );
}
