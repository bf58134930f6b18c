/** @file Sequences of tokens as rows of the networks: the text before each scored choice, and the place of that choice. */

import type { TrainingSequence } from "../../policy.ts";
import type { ChoiceTokenizer } from "./choice-tokenizer.ts";
import { ChoicePolicyError } from "./errors.ts";

export interface ChoiceRow {
  readonly text: string;
  /** −1: the end token, which is certain: log-prob 0, entropy 0, and no gradient but that of its values. */
  readonly place: number;
  readonly temperature: number;
}

/** One row a scored token, sequence by sequence. @throws ChoicePolicyError E_CHOICE_ROW */
export function choiceRows(batch: readonly TrainingSequence[], tokenizer: ChoiceTokenizer): ChoiceRow[] {
  const rows: ChoiceRow[] = [];
  for (const [index, { tokens, mask, temperature = 1 }] of batch.entries()) {
    const wrong = (what: string) =>
      new ChoicePolicyError({
        code: "E_CHOICE_ROW",
        message: `Sequence ${index} of a batch ${what}.`,
        hint: "a choice policy is trained on prompts that end in one of its choices: give it texts that are exactly a choice's name.",
        facts: { sequence: index },
      });
    if (mask.length !== tokens.length)
      throw wrong(`has ${tokens.length} tokens and a mask of ${mask.length}`);
    if (mask[0] === 1) throw wrong("scores its first token, before which there is no prompt");
    if (!(temperature > 0 && Number.isFinite(temperature))) throw wrong(`has temperature ${temperature}`);
    for (let i = 1; i < tokens.length; i++) {
      if (mask[i] !== 1) continue;
      const place = tokenizer.placeOf(tokens[i]!);
      if (place < 0 && !tokenizer.isEnd(tokens[i]!))
        throw wrong(`scores token ${tokens[i]} at ${i}, which is no choice`);
      rows.push({ text: tokenizer.decode(tokens.subarray(0, i)), place, temperature });
    }
  }
  return rows;
}
