/**
 * @file The type of a workflow's tasks, optionally checked. Any Standard Schema validator fits (zod, valibot, arktype);
 * `taskOf<T>()` fits where a type alone is wanted. Source: standardschema.dev, version 1.
 */

/** The part of Standard Schema v1 that is used here. */
export interface TaskSchema<Task> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Task> | Promise<SchemaResult<Task>>;
    readonly types?: { readonly input: unknown; readonly output: Task } | undefined;
  };
}

export type SchemaResult<Task> =
  | { readonly value: Task; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * Says what tasks look like, to the compiler only.
 *
 * @example
 * workflow("atlas", { task: taskOf<{ question: string; answer: string }>(), agents }, async ({ task }) => task.question);
 */
export function taskOf<Task>(): TaskSchema<Task> {
  return { "~standard": { version: 1, vendor: "troupe", validate: (value) => ({ value: value as Task }) } };
}

/** "question: expected string" */
export function describeIssue({ message, path }: SchemaIssue): string {
  const place = (path ?? []).map((part) => String(typeof part === "object" ? part.key : part)).join(".");
  return place === "" ? message : `${place}: ${message}`;
}
