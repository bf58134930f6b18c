/** @file Failures inside an episode: each is laid at one boundary, and recorded as data, never scored as a zero. */

import { TroupeError, type TroupeErrorFacts } from "../errors.ts";

/** Who failed. Closed. */
export type Boundary =
  /** A policy's engine: it threw, was late, or returned something inconsistent. */
  | "model"
  /** A tool of the workflow threw or was late. */
  | "tool"
  /** A reward is missing, not a finite number, or given for something that does not exist. */
  | "reward"
  /** `parse` of an agent refused the text, and the workflow used `parsed` without looking at `parse`. */
  | "parser"
  /** The user's workflow function or a prompt function threw, or the whole episode was late. */
  | "workflow"
  /** Troupe itself. Please report it. */
  | "internal";

/** Where in an episode something happened. */
export interface EpisodePlace {
  readonly workflow: string;
  /** For example "train/000012/003/05": purpose, step, group, sample. */
  readonly episode: string;
}

export interface EpisodeErrorFacts extends TroupeErrorFacts {
  readonly boundary: Boundary;
}

/** Base of everything that makes an episode fail. */
export class EpisodeError extends TroupeError {
  readonly boundary: Boundary;

  constructor({ boundary, ...facts }: EpisodeErrorFacts) {
    super(facts);
    this.boundary = boundary;
  }
}

export class ModelCallError extends EpisodeError {}
export class ToolError extends EpisodeError {}
export class RewardError extends EpisodeError {}
export class ParseError extends EpisodeError {}
export class PromptError extends EpisodeError {}
export class DeadlineError extends EpisodeError {}
/** An episode made more calls, used more tokens or nested deeper than it may. */
export class LimitError extends EpisodeError {}
/** A replay asked for something else than the recorded episode did, or came to another end. */
export class ReplayDivergenceError extends EpisodeError {}
/** The episode was stopped from outside (Ctrl-C, a run that ends): not a failure. */
export class EpisodeCancelledError extends EpisodeError {}
/** A workflow, an agent or a tool is defined wrongly; thrown at definition or before the first step. */
export class WorkflowDefinitionError extends TroupeError {}

/** A failure as data: what a trajectory stores. */
export interface EpisodeFailure {
  readonly boundary: Boundary;
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** What the tool or the engine itself said. */
  readonly cause?: string;
}

/** Turns whatever a workflow threw into a typed failure. Anything that is not ours is the workflow's. */
export function failureOf(error: unknown, place: EpisodePlace): EpisodeFailure {
  if (error instanceof EpisodeError) return describe(error, error.boundary);
  if (TroupeError.is(error)) return describe(error, "workflow");
  const original = error instanceof Error ? error : undefined;
  const where = original?.stack?.split("\n").find((line) => line.trimStart().startsWith("at "));
  return {
    boundary: "workflow",
    code: "E_WORKFLOW_THREW",
    message: `Workflow "${place.workflow}" threw in episode ${place.episode}: ${original?.message ?? String(error)}${
      where === undefined ? "" : ` (${where.trim()})`
    }`,
  };
}

/** The error of a recorded failure, so that a workflow that caught it catches it again in a replay. */
export function restoreFailure({ boundary, code, message, hint, cause }: EpisodeFailure): EpisodeError {
  const facts = {
    boundary,
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause: new Error(cause) }),
  };
  if (code.endsWith("_DEADLINE")) return new DeadlineError(facts);
  if (boundary === "model") return new ModelCallError(facts);
  if (boundary === "tool") return new ToolError(facts);
  if (code.startsWith("E_PROMPT")) return new PromptError(facts);
  return new EpisodeError(facts);
}

function describe(error: TroupeError, boundary: Boundary): EpisodeFailure {
  return {
    boundary,
    code: error.code,
    message: withoutHint(error),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.cause === undefined
      ? {}
      : { cause: error.cause instanceof Error ? error.cause.message : String(error.cause) }),
  };
}

/** The message without the "Try:" line that {@link TroupeError} adds. */
function withoutHint({ message, hint }: TroupeError): string {
  const suffix = `\n  Try: ${hint}`;
  return hint !== undefined && message.endsWith(suffix) ? message.slice(0, -suffix.length) : message;
}
