/** @file The tool calls of one episode: issued here, run or answered by the journal, recorded as JSON. */

import type { Effect } from "./effect.ts";
import { count, EffectIds } from "./effect-ids.ts";
import { DeadlineError, EpisodeError, failureOf, restoreFailure, ToolError } from "./errors.ts";
import { jsonCopy } from "./json-value.ts";
import type { EpisodeRuntime } from "./runtime.ts";
import type { Scope } from "./scope.ts";
import type { AnyTool } from "./tool.ts";
import type { ToolRecord } from "./trajectory.ts";

type Issued = Pick<
  ToolRecord,
  "id" | "scope" | "issued" | "tool" | "occurrence" | "input" | "startedAt" | "call"
>;

export class ToolCalls {
  readonly #runtime: EpisodeRuntime;
  readonly #ids: EffectIds;
  /** By id. */
  readonly #issued: (Issued | undefined)[] = [];
  readonly #settled: (ToolRecord | undefined)[] = [];
  readonly #occurrences = new Map<string, number>();

  constructor(runtime: EpisodeRuntime) {
    this.#runtime = runtime;
    this.#ids = new EffectIds(runtime.recorded?.ids("tool"));
  }

  close(): readonly ToolRecord[] {
    const now = this.#runtime.seconds();
    return this.#issued.flatMap((issued) =>
      issued === undefined
        ? []
        : [
            this.#settled[issued.id] ?? {
              ...issued,
              settled: -1,
              status: "cancelled",
              seconds: now - issued.startedAt,
            },
          ],
    );
  }

  /** Uses a tool. `call`: the model call that asked for it. */
  async use(name: string, tool: AnyTool, scope: Scope, given: unknown, call?: number): Promise<unknown> {
    const runtime = this.#runtime;
    if (runtime.stopped) return runtime.afterStop();
    const input = this.#copy(given, name, "input");
    const place = runtime.issue();
    const occurrence = count(this.#occurrences, `${scope.path}\n${name}`);
    const { repeat, known } = runtime.ask(
      { scope: scope.path, kind: "tool", name, argument: JSON.stringify(input) ?? "" },
      place,
    );
    if (known?.kind === "tool") return this.#answerFromJournal(known, place);
    const issued: Issued = {
      id: this.#ids.next(),
      scope: scope.path,
      issued: place,
      tool: name,
      occurrence,
      input,
      startedAt: runtime.seconds(),
      ...(call === undefined ? {} : { call }),
    };
    this.#issued[issued.id] = issued;
    const run = typeof tool === "function" ? tool : tool.run;
    try {
      const output = await runtime.perform<unknown>({
        name: toolCallName(issued),
        seconds: runtime.deadlines.tool,
        gate: runtime.gates.tool(name),
        onLate: () => this.#late(issued),
        // The tool gets the caller's own object; the record keeps a copy.
        work: (open) => run(given as never, open),
      });
      this.#keep(
        {
          ...issued,
          output: this.#copy(output, name, "output"),
          settled: runtime.settle(),
          status: "complete",
          seconds: runtime.seconds() - issued.startedAt,
        },
        repeat,
      );
      return output;
    } catch (error) {
      const typed = error instanceof EpisodeError ? error : this.#toolError(issued, error);
      const failure = failureOf(typed, { workflow: runtime.workflow, episode: runtime.id });
      this.#keep(
        {
          ...issued,
          settled: runtime.settle(),
          status: "failed",
          seconds: runtime.seconds() - issued.startedAt,
          failure,
        },
        repeat,
      );
      throw typed;
    }
  }

  async #answerFromJournal(
    known: Extract<Effect, { readonly kind: "tool" }>,
    issued: number,
  ): Promise<unknown> {
    const runtime = this.#runtime;
    const recorded = known.record;
    const strict = runtime.recorded!.strict;
    const open = strict ? recorded : { ...recorded, issued };
    this.#issued[recorded.id] = open;
    if (strict) this.#settled[recorded.id] = open;
    await runtime.turn(toolCallName(open), known);
    if (!strict) this.#settled[recorded.id] = { ...open, settled: runtime.settle() };
    if (recorded.failure !== undefined) throw restoreFailure(recorded.failure);
    // A copy: the workflow may change what it is given, and the record must not change with it.
    return jsonCopy(recorded.output);
  }

  #keep(record: ToolRecord, repeat: number): void {
    this.#settled[record.id] = record;
    this.#runtime.journal({ kind: "tool", record, repeat });
  }

  #copy(value: unknown, name: string, what: "input" | "output"): unknown {
    try {
      return jsonCopy(value);
    } catch (error) {
      throw new ToolError({
        boundary: "tool",
        code: what === "input" ? "E_TOOL_INPUT" : "E_TOOL_OUTPUT",
        message: `The ${what} of tool "${name}" in episode ${this.#runtime.id} cannot be recorded: ${error instanceof Error ? error.message : String(error)}.`,
        hint: `${what === "input" ? "pass" : "return"} JSON values only (plain objects, lists, texts, finite numbers); otherwise the episode could not be replayed.`,
        facts: { tool: name },
      });
    }
  }

  #late(issued: Issued): DeadlineError {
    const { tool } = this.#runtime.deadlines;
    return new DeadlineError({
      boundary: "tool",
      code: "E_TOOL_DEADLINE",
      message: `${toolCallName(issued)} of episode ${this.#runtime.id} was not finished after ${tool} s.`,
      hint: "raise `deadlines.tool`, or make the tool stop when its `signal` aborts.",
      facts: { seconds: tool, tool: issued.tool },
    });
  }

  #toolError(issued: Issued, error: unknown): ToolError {
    return new ToolError({
      boundary: "tool",
      code: "E_TOOL",
      message: `${toolCallName(issued)} of episode ${this.#runtime.id} threw: ${error instanceof Error ? error.message : String(error)}`,
      hint: "catch the error in the workflow if it can go on without the tool's answer.",
      cause: error,
      facts: { tool: issued.tool, input: issued.input },
    });
  }
}

const toolCallName = ({ tool, occurrence }: Pick<ToolRecord, "tool" | "occurrence">) =>
  `tool "${tool}" (call ${occurrence})`;
