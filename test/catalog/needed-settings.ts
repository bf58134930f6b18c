/** @file What tests of all cards must know of single ones. */

import { groupAdvantage } from "../../src/methods/index.ts";

/** Functions of numbers that no engine gives yet; they are no parts. */
export const functions: readonly string[] = ["visual-weights"];

/** What a method or a part cannot be made without, by the card's name: its first argument. */
export const neededSettings: Readonly<Record<string, unknown>> = {
  // Terms of `randomEpisode`.
  constrained: { thresholds: { correct: 0.5, format: 0.3 } },
  "reflect-gain": { reflector: "helper", answerer: "lead" },
  "without-recalled": groupAdvantage(),
};
