/** @file Cutting text in place gives what the library gives. */

import { Tokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { expect, it } from "vitest";
import { cut, speedUpSplits } from "../../../../src/engine/local/tokenizer/fast-split.ts";
import { splitPatterns } from "../../../../src/engine/local/tokenizer/train-bpe.ts";

function preTokenizer(regex: string) {
  return new Tokenizer(
    {
      normalizer: null,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false },
          { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      model: { type: "BPE", vocab: {}, merges: [] },
      post_processor: null,
      decoder: null,
      added_tokens: [],
    },
    {},
  ).pre_tokenizer!;
}

it("cuts as the library does, with patterns that leave gaps and that match nothing too", () => {
  const text = fc.string({
    unit: fc.constantFrom("a", "é", "7", " ", "\n", "'s", "😀", "Ω", ".", "\u0301"),
    maxLength: 30,
  });
  for (const regex of [...Object.values(splitPatterns), "\\p{N}", "a*", " "]) {
    const slow = preTokenizer(regex);
    const fast = preTokenizer(regex);
    speedUpSplits(fast);
    fc.assert(
      fc.property(text, (sample) => {
        expect(fast._call(sample, {})).toEqual(slow._call(sample, {}));
      }),
    );
  }
});

it("loses nothing", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      expect(cut(text, /\p{L}+|x*/gu).join("")).toBe(text);
    }),
  );
});
