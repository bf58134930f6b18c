/** @file The tool calls of one episode: issued through here, recorded here. */

import { count } from "./call-journal.ts";
import { stoppedEffect, underDeadline } from "./deadline.ts";
import type { EpisodeScope } from "./episode.ts";
import { DeadlineError, EpisodeError, failureOf, ToolError } from "./errors.ts";
import type { AnyTool } from "./tool.ts";
import type { ToolRecord } from "./trajectory.ts";
import type { AgentMap, ToolMap, WorkflowContext } from "./workflow.ts";

type Issued = Pick<ToolRecord, "id" | "tool" | "occurrence" | "input" | "startedAt">;

export class ToolJournal {
  readonly #scope: EpisodeScope;
  readonly #issued: Issued[] = [];
  readonly #settled: (ToolRecord | undefined)[] = [];
  readonly #occurrences = new Map<string, number>();

  constructor(scope: EpisodeScope) {
    this.#scope = scope;
  }

  bind(tools: ToolMap): WorkflowContext<unknown, AgentMap, ToolMap>["tools"] {
    const bound: Record<string, (input: never) => Promise<unknown>> = {};
    for (const [name, tool] of Object.entries(tools)) {
      bound[name] = (input) => {
        const output = this.#use(name, tool, input);
        output.catch(() => {});
        return output;
      };
    }
    return bound as WorkflowContext<unknown, AgentMap, ToolMap>["tools"];
  }

  open(): string[] {
    return this.#issued.filter(({ id }) => this.#settled[id] === undefined).map(toolName);
  }

  close(): readonly ToolRecord[] {
    const now = this.#scope.clock();
    return this.#issued.map(
      (issued) =>
        this.#settled[issued.id] ?? { ...issued, status: "cancelled", seconds: now - issued.startedAt },
    );
  }

  async #use(name: string, tool: AnyTool, input: never): Promise<unknown> {
    if (this.#scope.signal.aborted) return stoppedEffect(this.#scope.signal);
    const run = typeof tool === "function" ? tool : tool.run;
    const issued: Issued = {
      id: this.#issued.length,
      tool: typeof tool === "function" ? name : tool.name,
      occurrence: count(this.#occurrences, name),
      input,
      startedAt: this.#scope.clock(),
    };
    this.#issued.push(issued);
    try {
      const output = await underDeadline<unknown>(
        { seconds: this.#scope.deadlines.tool, parent: this.#scope.signal, onLate: () => this.#late(issued) },
        (signal) => run(input, { signal }),
      );
      this.#settled[issued.id] = {
        ...issued,
        output,
        status: "complete",
        seconds: this.#scope.clock() - issued.startedAt,
      };
      return output;
    } catch (error) {
      const typed = error instanceof EpisodeError ? error : this.#toolError(issued, error);
      const status = this.#scope.signal.aborted ? "cancelled" : "failed";
      const failure = failureOf(typed, { workflow: this.#scope.workflow, episode: this.#scope.id });
      const seconds = this.#scope.clock() - issued.startedAt;
      this.#settled[issued.id] = { ...issued, status, seconds, ...(status === "failed" ? { failure } : {}) };
      throw typed;
    }
  }

  #late(issued: Issued): DeadlineError {
    const { tool } = this.#scope.deadlines;
    return new DeadlineError({
      boundary: "tool",
      code: "E_TOOL_DEADLINE",
      message: `${toolName(issued)} of episode ${this.#scope.id} was not finished after ${tool} s.`,
      hint: "raise `deadlines.tool`, or make the tool stop when its `signal` aborts.",
      facts: { seconds: tool, tool: issued.tool },
    });
  }

  #toolError(issued: Issued, error: unknown): ToolError {
    return new ToolError({
      boundary: "tool",
      code: "E_TOOL",
      message: `${toolName(issued)} of episode ${this.#scope.id} threw: ${error instanceof Error ? error.message : String(error)}`,
      hint: "catch the error in the workflow if it can go on without the tool's answer.",
      cause: error,
      facts: { tool: issued.tool, input: issued.input },
    });
  }
}

const toolName = ({ tool, occurrence }: Pick<Issued, "tool" | "occurrence">) =>
  `tool "${tool}" (call ${occurrence})`;
