/** @file What the networks are told of a text, kept by text: an embedding and the units that it keeps. */

import type { ChoiceSettings, TextEmbedding } from "./choice-settings.ts";
import { ChoicePolicyError } from "./errors.ts";
import { hashedText } from "./hashed-text.ts";
import { keptUnits, type NetworkShape } from "./network.ts";

export interface TextState {
  readonly features: Float32Array;
  readonly policy: readonly Float32Array[];
  readonly value: readonly Float32Array[];
}

/** CHOSEN: with the published widths and dropout about 15 MB; without dropout 1 MB. */
const most = 4096;

export class TextStates {
  readonly #embed: TextEmbedding;
  readonly #policy: NetworkShape;
  readonly #value: NetworkShape;
  readonly #seed: number;
  readonly #known = new Map<string, TextState>();

  constructor(embed: TextEmbedding, policy: NetworkShape, value: NetworkShape, seed: number) {
    this.#embed = embed;
    this.#policy = policy;
    this.#value = value;
    this.#seed = seed;
  }

  /** @throws ChoicePolicyError E_CHOICE_EMBEDDING if the embedding changed its width or is not finite. */
  async of(text: string): Promise<TextState> {
    const known = this.#known.get(text);
    if (known) return known;
    const features = await this.#embed(text);
    const width = this.#policy.widths[0]!;
    if (features.length !== width || !features.every(Number.isFinite))
      throw new ChoicePolicyError({
        code: "E_CHOICE_EMBEDDING",
        message: `The embedding of a prompt has ${features.length} numbers, ${features.filter(Number.isFinite).length} of them finite; the policy takes ${width} finite numbers.`,
        hint: "embed must answer every text with as many finite numbers as it gives for the empty text.",
        facts: { width, found: features.length, text: text.slice(0, 200) },
      });
    const state = {
      features: Float32Array.from(features),
      policy: keptUnits(this.#policy, this.#seed, text),
      value: keptUnits(this.#value, this.#seed, text),
    };
    // The oldest goes first: prompts come back within a step, not after a thousand of them.
    if (this.#known.size >= most) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(text, state);
    return state;
  }
}

/** The embedding of the settings, and how many numbers it has. */
export async function openEmbedding({
  embed,
}: ChoiceSettings): Promise<{ readonly embed: TextEmbedding; readonly width: number }> {
  if (typeof embed === "object")
    return { embed: (text) => hashedText(text, embed.features), width: embed.features };
  const { length: width } = await embed("");
  if (width > 0) return { embed, width };
  throw new ChoicePolicyError({
    code: "E_CHOICE_EMBEDDING",
    message: "The embedding of the empty text has no numbers.",
    hint: "embed must answer every text, the empty one too, with the same count of numbers.",
  });
}

/** What the policy network reads of a text, and the value network. */
export const ofPolicy = ({ features, policy }: TextState) => ({ features, kept: policy });
export const ofValue = ({ features, value }: TextState) => ({ features, kept: value });
