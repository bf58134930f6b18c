/** @file Tools: what a workflow may do besides asking a model. A plain function is a tool already. */

export interface ToolContext {
  /** Aborts when the call is late, or when the episode is stopped. */
  readonly signal: AbortSignal;
}

/** One argument (an object, for the record), one result; both should be JSON, so that an episode can be replayed. */
export type ToolFunction<Input = never, Output = unknown> = (
  input: Input,
  context: ToolContext,
) => Output | Promise<Output>;

export interface Tool<Input = never, Output = unknown> {
  readonly name: string;
  readonly description: string;
  readonly run: ToolFunction<Input, Output>;
}

export type AnyTool = ToolFunction | Tool;

/**
 * A tool with a name and a description of its own.
 *
 * @example
 * const search = tool("search", {
 *   description: "Full-text search; returns the best passages.",
 *   run: ({ query }: { query: string }) => index.search(query, 3),
 * });
 */
export function tool<Input, Output>(
  name: string,
  { description, run }: { readonly description?: string; readonly run: ToolFunction<Input, Output> },
): Tool<Input, Output> {
  return Object.freeze({ name, description: description ?? "", run });
}
