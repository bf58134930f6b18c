/** @file `choicePolicy({ choices })`: a small network that answers with one of a few names. */

import type { PolicySpec } from "../../policy-spec.ts";
import { type ChoicePolicy, openChoicePolicy } from "./choice-policy.ts";
import { type ChoicePolicyOptions, checkChoiceSettings } from "./choice-settings.ts";
import type { FrozenChoicePolicy } from "./frozen-choice.ts";

export { ChoicePolicy } from "./choice-policy.ts";
export type { ChoicePolicyOptions, TextEmbedding } from "./choice-settings.ts";
export { ChoicePolicyError } from "./errors.ts";
export type { ExplorationSettings } from "./exploration.ts";
export { FrozenChoicePolicy } from "./frozen-choice.ts";

/**
 * A policy that selects: prompt in, one of `choices` out. It is sampled, trained and saved like any other.
 *
 * @throws ChoicePolicyError E_CHOICE_SETTINGS; ValueHeadError.
 * @example
 * policies: {
 *   selector: choicePolicy({ choices: ["none", "triples", "subgraph", "connected"], valueHead: true }),
 * }
 */
export function choicePolicy(
  options: ChoicePolicyOptions & { readonly trainable?: true },
): PolicySpec<ChoicePolicy>;
export function choicePolicy(
  options: ChoicePolicyOptions & { readonly trainable: false },
): PolicySpec<FrozenChoicePolicy>;
export function choicePolicy(options: ChoicePolicyOptions): PolicySpec<ChoicePolicy | FrozenChoicePolicy>;
export function choicePolicy(options: ChoicePolicyOptions): PolicySpec<ChoicePolicy | FrozenChoicePolicy> {
  const { choices, embed, hidden, dropout, valueHeads, contextLength } = checkChoiceSettings(options);
  const { exploration, seed, from, trainable } = options;
  return {
    kind: "choice",
    settings: {
      ...{ choices, hidden, dropout, valueHeads, contextLength },
      embed: typeof embed === "object" ? embed : "function",
      ...(exploration === undefined ? {} : { exploration }),
      ...(seed === undefined ? {} : { seed }),
      ...(from === undefined ? {} : { from }),
      ...(trainable === undefined ? {} : { trainable }),
    },
    open: ({ name, seed: runSeed }) => openChoicePolicy(name, options, runSeed),
    openReference: ({ name, seed: runSeed }) =>
      openChoicePolicy(name, { ...options, trainable: false }, runSeed),
  };
}
