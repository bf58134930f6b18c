/**
 * @file Looks for grading material (answers, tests) in the prompts of an evaluation. A score that was copied from the
 * prompt is no score, so the evaluation ends with an error that names the place.
 *
 * A text of a grading field that is found in a prompt is taken for a leak unless it can have come from elsewhere:
 * - the rest of the task contains it (a question with its answer among the choices);
 * - a model wrote it, or a tool that was not itself given it returned it, earlier in the episode;
 * - it is shorter than 8 characters, or shorter than 40 and also in that agent's prompts for tasks that do not have it,
 *   so it belongs to the wording of the prompt.
 * CHOSEN: the two lengths. Upper and lower case count; white space does not.
 */

import type { CallRecord, Trajectory } from "../workflow/trajectory.ts";
import { RunStoppedError } from "./errors.ts";

const leastLength = 8;
const wordingLength = 40;

export interface GradingLeak {
  readonly episode: string;
  readonly agent: string;
  readonly call: number;
  /** For example "answer" or "tests[2]". */
  readonly field: string;
  /** At most 60 characters of it. */
  readonly text: string;
}

interface Secret {
  readonly field: string;
  readonly text: string;
}

/** Leaks in the order of the episodes and calls. */
export function gradingLeaks(
  trajectories: readonly Trajectory[],
  fields: readonly string[],
): readonly GradingLeak[] {
  if (fields.length === 0) return [];
  const found: (GradingLeak & { readonly whole: string })[] = [];
  for (const trajectory of trajectories) {
    const secrets = secretsOf(trajectory.task, fields);
    for (const call of trajectory.calls) {
      const prompt = plain(promptOf(call));
      for (const { field, text } of secrets) {
        if (!prompt.includes(text) || cameFromEffect(trajectory, call, text)) continue;
        const { agent, id } = call;
        found.push({
          episode: trajectory.id,
          agent,
          call: id,
          field,
          text: text.slice(0, 60),
          whole: text,
        });
      }
    }
  }
  return found
    .filter(({ whole, agent }) => !isWording(trajectories, fields, agent, whole))
    .map(({ whole: _, ...leak }) => leak);
}

/** @throws RunStoppedError E_GRADING_LEAK */
export function refuseGradingLeaks(trajectories: readonly Trajectory[], fields: readonly string[]): void {
  const leaks = gradingLeaks(trajectories, fields);
  const [first] = leaks;
  if (first === undefined) return;
  const { episode, agent, call, field, text } = first;
  const episodes = new Set(leaks.map((leak) => leak.episode)).size;
  throw new RunStoppedError({
    code: "E_GRADING_LEAK",
    message: `The prompt of agent "${agent}" (call ${call} of evaluation episode ${episode}) contains the task's grading field ${field}: ${JSON.stringify(text)}. No model and no tool had produced it. The same holds for ${episodes} of ${trajectories.length} episodes.`,
    hint: `keep ${field} out of prompts and of what tools return to agents; if it may be seen, take it out of \`gradingFields\`.`,
    facts: { leaks },
  });
}

function secretsOf(task: unknown, fields: readonly string[]): Secret[] {
  if (typeof task !== "object" || task === null) return [];
  const open = Object.entries(task).flatMap(([name, value]) =>
    fields.includes(name) ? [] : textsOf(value, name),
  );
  const shown = plain(open.map(({ text }) => text).join("\n"));
  return fields
    .flatMap((field) => textsOf((task as Readonly<Record<string, unknown>>)[field], field))
    .map(({ field, text }) => ({ field, text: plain(text) }))
    .filter(({ text }) => text.length >= leastLength && !shown.includes(text));
}

function cameFromEffect({ calls, tools }: Trajectory, before: CallRecord, text: string): boolean {
  const known = (settled: number) => settled >= 0 && settled < before.issued;
  return (
    calls.some((call) => known(call.settled) && plain(call.text).includes(text)) ||
    tools.some(({ settled, input, output }) => known(settled) && holds(output, text) && !holds(input, text))
  );
}

/** True if the agent's prompts for other tasks have it as well, though those do not have it to leak. */
function isWording(
  trajectories: readonly Trajectory[],
  fields: readonly string[],
  agent: string,
  text: string,
): boolean {
  if (text.length >= wordingLength) return false;
  return trajectories.some(
    ({ task, calls }) =>
      !fields.some((field) => holds((task as Readonly<Record<string, unknown>>)[field], text)) &&
      calls.some((call) => call.agent === agent && plain(promptOf(call)).includes(text)),
  );
}

const holds = (value: unknown, text: string) =>
  textsOf(value, "").some((piece) => plain(piece.text).includes(text));

const plain = (text: string) => text.replace(/\s+/g, " ").trim();

function promptOf({ input }: CallRecord): string {
  return typeof input === "string" ? input : input.map(({ content }) => content).join("\n");
}

function textsOf(value: unknown, field: string): Secret[] {
  if (typeof value === "string") return [{ field, text: value }];
  if (Array.isArray(value)) return value.flatMap((item, i) => textsOf(item, `${field}[${i}]`));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) => textsOf(item, `${field}.${name}`));
}
