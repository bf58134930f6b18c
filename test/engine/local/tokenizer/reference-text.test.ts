/** @file Ids and text equal those of Python `tokenizers` and `transformers` on every fixture (make_tokenizers.py). */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ModelTokenizer } from "../../../../src/engine/local/tokenizer/tokenizer.ts";

interface TextCase {
  readonly text: string;
  readonly ids: readonly number[];
  readonly plain: readonly number[];
  readonly spelled: readonly number[];
  readonly decoded: string;
  readonly withoutSpecial: string;
}

interface Fixture {
  readonly vocabularySize: number;
  readonly texts: readonly TextCase[];
  readonly ids: readonly Pick<TextCase, "ids" | "decoded" | "withoutSpecial">[];
}

const fixtures = fileURLToPath(new URL("../../../fixtures/tokenizers/", import.meta.url));

describe.each(["trained", "qwen2", "llama3", "smollm", "llama2", "metaspace", "flags"])(
  "%s",
  async (kind) => {
    const fixture: Fixture = JSON.parse(readFileSync(`${fixtures}${kind}.json`, "utf8"));
    const tokenizer = await ModelTokenizer.load(`${fixtures}${kind}`);

    test("vocabulary size", () => expect(tokenizer.vocabularySize).toBe(fixture.vocabularySize));

    test.each(fixture.texts)("$text", ({ text, ids, plain, spelled, decoded, withoutSpecial }) => {
      expect([...tokenizer.encode(text)]).toEqual(ids);
      expect([...tokenizer.encode(text, { addSpecial: false })]).toEqual(plain);
      expect([...tokenizer.encode(text, { addSpecial: false, specialTokenText: "spell" })]).toEqual(spelled);
      expect(tokenizer.decode(ids)).toBe(decoded);
      expect(tokenizer.decode(ids, { skipSpecial: true })).toBe(withoutSpecial);
    });

    test("ids in any order", () => {
      for (const { ids, decoded, withoutSpecial } of fixture.ids) {
        expect(tokenizer.decode(ids), String(ids)).toBe(decoded);
        expect(tokenizer.decode(Int32Array.from(ids), { skipSpecial: true }), String(ids)).toBe(
          withoutSpecial,
        );
      }
    });
  },
);
