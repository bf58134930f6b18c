/** @file What tests of all cards must know of single ones. */

import { groupAdvantage, grpo } from "../../src/methods/index.ts";

/** Functions of numbers that no engine gives yet; they are no parts. */
export const functions: readonly string[] = ["visual-weights"];

/** Of every episode. */
const asked = () => ({ options: ["A", "B", "C"], answer: "B" });

/** What a method or a part cannot be made without, by the card's name: its first argument. */
export const neededSettings: Readonly<Record<string, unknown>> = {
  // Random batches do not say how likely a call was.
  "aligner-ppo": { confidence: "none" },
  // Terms of `randomEpisode`.
  constrained: { thresholds: { correct: 0.5, format: 0.3 } },
  // Their calls are all of "policy".
  mmapo: { options: asked, policies: { aligner: "policy" }, aligner: { confidence: "none" } },
  "option-texts": { options: asked },
  "per-policy": { policy: grpo() },
  "reflect-gain": { reflector: "helper", answerer: "lead" },
  "without-recalled": groupAdvantage(),
};
