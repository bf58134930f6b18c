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
  /** JSON Schema of the input, for models that call the tool themselves. */
  readonly parameters: Readonly<Record<string, unknown>> | undefined;
  readonly run: ToolFunction<Input, Output>;
}

export type AnyTool = ToolFunction | Tool;

/** The name it is recorded under: its own, or the one that the workflow gives it. */
export const toolName = (key: string, tool: AnyTool) => (typeof tool === "function" ? key : tool.name);

/**
 * A tool with a name and a description of its own, and what a model must know to call it by itself.
 *
 * @example
 * const search = tool("search", {
 *   description: "Full-text search; returns the best passages.",
 *   parameters: { type: "object", properties: { query: { type: "string" } }, required: ["query"] },
 *   run: ({ query }: { query: string }) => index.search(query, 3),
 * });
 */
export function tool<Input, Output>(
  name: string,
  {
    description,
    parameters,
    run,
  }: {
    readonly description?: string;
    readonly parameters?: Readonly<Record<string, unknown>>;
    readonly run: ToolFunction<Input, Output>;
  },
): Tool<Input, Output> {
  return Object.freeze({ name, description: description ?? "", parameters, run });
}
