/** @file The options of a choice policy, checked and completed. */

import { countValueHeads, type ValueHeads } from "../../value-heads.ts";
import { wrongChoiceSetting } from "./errors.ts";
import type { ExplorationSettings } from "./exploration.ts";

/** What is computed of a prompt's text before the networks see it; the same for the same text, always. */
export type TextEmbedding = (text: string) => Float32Array | Promise<Float32Array>;

export interface ChoicePolicyOptions {
  /** What the policy may answer: at least two names. Their order is that of the output layer. */
  readonly choices: readonly string[];
  /**
   * The state. `{ features }`: hashed words and three-letter pieces of the prompt in so many numbers. A function: any
   * frozen embedding; it is asked once with "" for its width. Default { features: 64 } (64 numbers as in MixRAGRec).
   */
  readonly embed?: TextEmbedding | { readonly features: number };
  /** Widths of the hidden layers, of the policy and of the value network alike. Default [256, 128] (MixRAGRec). */
  readonly hidden?: readonly number[];
  /**
   * Share of hidden units that each text leaves out, where answers are drawn and trained on. Default 0; MixRAGRec: 0.1.
   * A text always leaves out the same units, so that old and new log-probs belong to one network; greedy answers use all.
   */
  readonly dropout?: number;
  /** A value network, or one with so many outputs, for methods that need values. Default false. */
  readonly valueHead?: ValueHeads;
  /** Default: none; the policy's entropy explores. */
  readonly exploration?: ExplorationSettings;
  /** Of the first weights and of dropout. Default: the run's. */
  readonly seed?: number;
  /** Begins with the weights of a folder that `save` wrote. */
  readonly from?: string;
  /** `false`: it answers and scores, and has no trainable half. Default true. */
  readonly trainable?: boolean;
  /** Most tokens of a prompt, that is bytes, and its answer. Default 65,536. */
  readonly contextLength?: number;
  /**
   * Kernel threads of the process, on which `local` policies of the same run must agree; the networks themselves use the
   * calling thread. Default: the processors that this process may use, as for `local`.
   */
  readonly threads?: number;
}

export interface ChoiceSettings {
  readonly choices: readonly string[];
  readonly embed: TextEmbedding | { readonly features: number };
  readonly hidden: readonly number[];
  readonly dropout: number;
  readonly valueHeads: number;
  readonly contextLength: number;
}

/** @throws ChoicePolicyError E_CHOICE_SETTINGS; ValueHeadError. */
export function checkChoiceSettings(options: ChoicePolicyOptions): ChoiceSettings {
  const {
    choices,
    embed = { features: 64 },
    hidden = [256, 128],
    dropout = 0,
    contextLength = 65_536,
  } = options;
  const isCount = (value: number) => Number.isInteger(value) && value >= 1;
  if (choices.length < 2 || new Set(choices).size !== choices.length || choices.includes(""))
    throw wrongChoiceSetting("choices", choices, "at least two different names");
  if (typeof embed === "object" && !isCount(embed.features))
    throw wrongChoiceSetting("embed.features", embed.features, "an integer of at least 1");
  if (!hidden.every(isCount)) throw wrongChoiceSetting("hidden", hidden, "widths of at least 1");
  if (!(dropout >= 0 && dropout < 1)) throw wrongChoiceSetting("dropout", dropout, "at least 0 and below 1");
  if (!(isCount(contextLength) && contextLength >= 2))
    throw wrongChoiceSetting("contextLength", contextLength, "an integer of at least 2");
  return { choices, embed, hidden, dropout, valueHeads: countValueHeads(options.valueHead), contextLength };
}
