/**
 * @file A tabular policy that does not begin from nothing: it has leanings, as a pretrained model has. Which words may
 * follow a pair of words, and how likely each is at first, is given as probabilities; all other words share a little.
 */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PolicySpec, type TabularPolicyOptions, tabularPolicy } from "troupe";

/** Word → probability, after the two words before it; "<end>" ends an output. */
export type Leanings = Readonly<Record<string, number>>;

export interface StarterOptions extends TabularPolicyOptions {
  /** After the words `before` and `last`; undefined: every word is as likely. */
  readonly leanings: (before: string, last: string) => Leanings | undefined;
}

/** Probability of each word that the leanings do not name, before everything is divided by its sum. */
const elsewhere = 1e-4;

/** The logits of a starter, [V · V · V], in the order of {@link tabularPolicy}'s table. */
function starterLogits(vocabulary: readonly string[], leanings: StarterOptions["leanings"]): Float32Array {
  const size = vocabulary.length;
  const logits = new Float32Array(size ** 3);
  for (const [i, before] of vocabulary.entries()) {
    for (const [j, last] of vocabulary.entries()) {
      const given = leanings(before, last);
      if (given === undefined) continue;
      for (const [k, word] of vocabulary.entries())
        logits[(i * size + j) * size + k] = Math.log(given[word] ?? elsewhere);
    }
  }
  return logits;
}

export function starterTable({ leanings, ...options }: StarterOptions): PolicySpec {
  const plain = tabularPolicy(options);
  return {
    ...plain,
    open: async (context) => {
      const policy = await plain.open(context);
      const folder = await mkdtemp(join(tmpdir(), "league-starter-"));
      try {
        const saved = join(folder, "table");
        await policy.save(saved);
        const bytes = await readFile(join(saved, "table.f32"));
        const logits = starterLogits(policy.tokenizer.words, leanings);
        bytes.set(new Uint8Array(logits.buffer));
        await writeFile(join(saved, "table.f32"), bytes);
        await policy.restore(saved);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
      return policy;
    },
  };
}
