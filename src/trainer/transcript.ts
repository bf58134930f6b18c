/** @file One episode as text for people. */

import { TroupeError } from "../errors.ts";
import { type DataEdge, dataEdges } from "../workflow/graph.ts";
import {
  type CallRecord,
  callReward,
  isOfWhole,
  meanReward,
  type Trajectory,
} from "../workflow/trajectory.ts";

export interface TranscriptOptions {
  /** Characters of a text that are shown. Default 600. */
  readonly limit?: number;
  /** Also what each call was asked, was rewarded and was trained with, and where its input came from. Default false. */
  readonly details?: boolean;
  /** Call id → advantage (or advantages of its tokens), as recorded with an episode that was trained on. */
  readonly advantages?: Readonly<Record<string, unknown>> | undefined;
}

const shorten = (text: string, limit: number) =>
  text.length <= limit ? text : `${text.slice(0, limit)} … (${text.length} characters)`;

const indent = (text: string) =>
  text
    .split("\n")
    .map((line) => `    ${line}`)
    .join("\n");

const asText = (value: unknown) =>
  typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));

interface Part {
  readonly issued: number;
  readonly title: string;
  readonly lines: readonly string[];
}

/** Calls, tool calls and memory in the order in which they were issued, then result and rewards. */
export function describeEpisode(trajectory: Trajectory, options: TranscriptOptions = {}): string {
  const { limit = 600, details = false } = options;
  const edges = details ? dataEdges(trajectory) : [];
  const lines = [
    `episode ${trajectory.id} of ${trajectory.workflow}`,
    `  task: ${shorten(asText(trajectory.task), limit)}`,
  ];
  const parts: Part[] = [
    ...trajectory.calls.map((call) => callPart(trajectory, call, options, edges)),
    ...trajectory.tools.map((tool) => ({
      issued: tool.issued,
      title: `${details ? `[tool ${tool.id}] ` : ""}${inScope(tool.scope)}tool ${tool.tool} ${shorten(asText(tool.input), 200)}${sources(edges, "tool", tool.id)}`,
      lines: [shorten(tool.status === "complete" ? asText(tool.output) : described(tool), limit)],
    })),
    ...(details ? trajectory.memory : []).map((use) => ({
      issued: use.issued,
      title: `${inScope(use.scope)}memory.${use.operation} ${use.key}`,
      lines: use.value === undefined ? [] : [shorten(asText(use.value), limit)],
    })),
  ].sort((left, right) => left.issued - right.issued);
  for (const { title, lines: own } of parts) lines.push(`  ${title}`, ...own.map(indent));
  if (trajectory.status === "complete") lines.push(`  result: ${shorten(asText(trajectory.result), limit)}`);
  else lines.push(`  ${described(trajectory)}`);
  for (const { name, value, agent, call, scope, logged } of trajectory.rewards) {
    if (logged === true && !details) continue;
    const place = agent === undefined ? (call === undefined ? "" : ` of call ${call}`) : ` of ${agent}`;
    const where = scope === undefined || scope === "" ? "" : ` in ${scope}`;
    lines.push(`  ${name}${place}${where}: ${value.toFixed(3)}${logged === true ? " (logged only)" : ""}`);
  }
  if (trajectory.rewards.filter(({ logged }) => logged !== true).length > 1) {
    const what = trajectory.rewards.some(isOfWhole) ? "whole trajectory" : "mean of its calls";
    lines.push(`  ${what}: ${meanReward(trajectory).toFixed(3)}`);
  }
  return lines.join("\n");
}

function callPart(
  trajectory: Trajectory,
  call: CallRecord,
  { limit = 600, details = false, advantages }: TranscriptOptions,
  edges: readonly DataEdge[],
): Part {
  const facts = [
    `${call.policy} v${call.version}`,
    ...(details ? [`prompt ${call.prompt.length} tokens`] : []),
    `${call.output.length} tokens`,
    ...(call.stopReason === undefined ? [] : [call.stopReason]),
    ...(call.origin === "sampled" ? [] : [call.origin]),
  ];
  const refused = call.parse?.ok === false ? [`refused by the parser: ${call.parse.reason}`] : [];
  const text = shorten(call.status === "complete" ? call.text : described(call), limit);
  const title = `${details ? `[call ${call.id}] ` : ""}${inScope(call.scope)}${call.agent} (${facts.join(", ")})`;
  if (!details) return { issued: call.issued, title, lines: [text, ...refused] };
  const asked =
    typeof call.input === "string"
      ? call.input
      : call.input.map(({ role, content }) => `${role}: ${content}`).join("\n");
  return {
    issued: call.issued,
    title: `${title}${sources(edges, "call", call.id)}`,
    lines: [
      ...shorten(asked, limit)
        .split("\n")
        .map((line) => `> ${line}`),
      text,
      ...refused,
      [rewardOf(trajectory, call), advantageOf(advantages?.[call.id])]
        .filter((one) => one !== "")
        .join(" · "),
    ].filter((line) => line !== ""),
  };
}

/** "" where no reward covers the call, as in many evaluations. */
function rewardOf(trajectory: Trajectory, call: CallRecord): string {
  if (call.status !== "complete" || trajectory.status !== "complete") return "";
  try {
    return `reward ${callReward(trajectory, call).toFixed(3)}`;
  } catch (error) {
    if (TroupeError.is(error)) return "";
    throw error;
  }
}

function advantageOf(advantage: unknown): string {
  if (typeof advantage === "number") return `advantage ${advantage.toFixed(3)}`;
  if (!Array.isArray(advantage) || advantage.length === 0) return "";
  const values = advantage.map(Number);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return `advantage ${mean.toFixed(3)} on average (from ${Math.min(...values).toFixed(3)} to ${Math.max(...values).toFixed(3)})`;
}

const inScope = (scope: string) => (scope === "" ? "" : `${scope}: `);

const described = ({ status, failure }: Pick<Trajectory, "status" | "failure">) =>
  failure === undefined ? status : `${status}: ${failure.message}`;

/** " ← tool 0, call 1": the effects whose output went into this one. */
function sources(edges: readonly DataEdge[], kind: "call" | "tool", id: number): string {
  const own = edges.filter(({ to }) => to.kind === kind && to.id === id).map(({ from }) => from);
  return own.length === 0 ? "" : ` ← ${own.map((from) => `${from.kind} ${from.id}`).join(", ")}`;
}
