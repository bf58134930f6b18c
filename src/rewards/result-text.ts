/** @file What an episode wrote, where a reward reads texts and the user does not say which. */

import type { FinishedEpisode } from "./reward.ts";

/** The result. @throws TypeError if it is no text, which fails the episode */
export function resultText({ result }: FinishedEpisode): string {
  if (typeof result === "string") return result;
  throw new TypeError(`the result is a ${typeof result}, not a text: say with \`text\` what was written`);
}
