/** @file One token for each sequence of a run: the head over their hidden rows, in chunks, and a draw for each. */

import { uniformAt } from "../../../random/stream.ts";
import type { TokenChooser } from "./choose-token.ts";
import type { Decoder } from "./decoder.ts";
import type { Sequence } from "./sequence.ts";

export interface ChosenTokens {
  readonly chosen: number;
  /** Sequences that ended with their token. */
  readonly ended: number;
  /** Those whose token could not be chosen or taken; null: none. */
  readonly failures: ReadonlyMap<Sequence, unknown> | null;
}

/** @param hiddenRows of each sequence, ascending; null: its own place. */
export function chooseTokens(
  decoder: Decoder,
  chooser: TokenChooser,
  sequences: readonly Sequence[],
  hiddenRows: readonly number[] | null,
): ChosenTokens {
  const count = sequences.length;
  let full = false;
  for (let i = 0; i < count; i++) {
    const { plain, rules } = sequences[i]!;
    decoder.inverseTemperatures[hiddenRows ? hiddenRows[i]! : i] = rules.inverseTemperature;
    if (!plain) full = true;
  }
  const hiddenCount = hiddenRows ? hiddenRows[count - 1]! + 1 : count;
  let ended = 0;
  let failures: Map<Sequence, unknown> | null = null;
  let next = 0;
  for (const chunk of decoder.headChunks(hiddenCount)) {
    const end = chunk.first + chunk.count;
    decoder.runHead(chunk, full ? "full" : "plain");
    for (; next < count; next++) {
      const hidden = hiddenRows ? hiddenRows[next]! : next;
      if (hidden >= end) break;
      const sequence = sequences[next]!;
      try {
        chooseOne(decoder, chooser, sequence, hidden - chunk.first, full);
        if (sequence.stopReason) ended++;
      } catch (error) {
        failures ??= new Map();
        failures.set(sequence, error);
      }
    }
  }
  return { chosen: count - (failures?.size ?? 0), ended, failures };
}

function chooseOne(
  { probabilities, sampledProbabilities, blockSums, logits }: Decoder,
  chooser: TokenChooser,
  sequence: Sequence,
  row: number,
  full: boolean,
): void {
  const uniform = uniformAt(sequence.request.key, sequence.outputLength);
  if (!sequence.drawn) chooser.choose(logits, probabilities, row, sequence, uniform);
  else if (full)
    chooser.draw(
      sampledProbabilities,
      sequence.plain ? sampledProbabilities : probabilities,
      blockSums,
      sequence.plain ? null : logits,
      row,
      uniform,
    );
  else chooser.draw(probabilities, probabilities, blockSums, null, row, uniform);
  sequence.accept(chooser.token, chooser.logprob, chooser.plainLogprob);
}
