/** @file One episode as text for people. */

import { type Trajectory, trajectoryReward } from "../workflow/trajectory.ts";

const shorten = (text: string, limit: number) => (text.length <= limit ? text : `${text.slice(0, limit)} …`);

const indent = (text: string) =>
  text
    .split("\n")
    .map((line) => `    ${line}`)
    .join("\n");

const asText = (value: unknown) =>
  typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));

/** Calls and tool calls in the order in which they began, then result and rewards. */
export function describeEpisode(trajectory: Trajectory, limit = 600): string {
  const { calls, tools, rewards } = trajectory;
  const lines = [
    `episode ${trajectory.id} of ${trajectory.workflow}`,
    `  task: ${shorten(asText(trajectory.task), limit)}`,
  ];
  const effects = [
    ...calls.map((call) => ({
      at: call.startedAt,
      title: `${call.agent} (${call.policy} v${call.version}, ${call.output.length} tokens${call.stopReason === undefined ? "" : `, ${call.stopReason}`})`,
      text: call.status === "complete" ? call.text : call.status,
    })),
    ...tools.map((tool) => ({
      at: tool.startedAt,
      title: `tool ${tool.tool} ${shorten(asText(tool.input), 200)}`,
      text: tool.status === "complete" ? asText(tool.output) : tool.status,
    })),
  ].sort((left, right) => left.at - right.at);
  for (const { title, text } of effects) lines.push(`  ${title}`, indent(shorten(text, limit)));
  if (trajectory.status === "complete") lines.push(`  result: ${shorten(asText(trajectory.result), limit)}`);
  else lines.push(`  ${trajectory.status}: ${trajectory.failure?.message ?? ""}`);
  for (const { name, value, agent, call } of rewards) {
    const place = agent === undefined ? (call === undefined ? "" : ` of call ${call}`) : ` of ${agent}`;
    lines.push(`  ${name}${place}: ${value.toFixed(3)}`);
  }
  if (rewards.length > 1) lines.push(`  whole trajectory: ${trajectoryReward(trajectory).toFixed(3)}`);
  return lines.join("\n");
}
