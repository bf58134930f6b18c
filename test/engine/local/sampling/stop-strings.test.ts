/** @file Text and stop strings do not depend on how bytes are cut into tokens, and nothing is revealed too early. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OutputText } from "../../../../src/engine/local/sampling/stop-strings.ts";

/** The definition: the output ends before the stop string that is complete first, the longest of those. */
function expected(text: string, stops: readonly string[]): { text: string; stopped: boolean } {
  for (let end = 1; end <= text.length; end++) {
    const matches = stops.filter((stop) => text.slice(0, end).endsWith(stop));
    if (matches.length > 0) {
      const longest = Math.max(...matches.map((stop) => stop.length));
      return { text: text.slice(0, end - longest), stopped: true };
    }
  }
  return { text, stopped: false };
}

/** Cuts bytes at the given places; each piece becomes a token. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const borders = [...new Set([0, ...places.map((p) => p % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  return borders.slice(1).map((border, i) => bytes.slice(borders[i], border));
}

const alphabet = fc.constantFrom("a", "b", "ab", "\n", "é", "語", "👩‍👩‍👧", "\u{feff}", "e\u0301");
const text = fc.array(alphabet, { maxLength: 24 }).map((parts) => parts.join(""));
const stop = fc.array(alphabet, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(""));

describe("OutputText", () => {
  it("gives the same text however it is cut into tokens, and only certain text before the end", () => {
    fc.assert(
      fc.property(text, fc.array(stop, { maxLength: 3 }), fc.array(fc.nat(200)), (whole, stops, places) => {
        const tokens = cut(new TextEncoder().encode(whole), places);
        const output = new OutputText(tokens, stops);
        let revealed = "";
        const final = expected(whole, stops);
        for (let token = 0; token < tokens.length && !output.stopped; token++) {
          revealed += output.push(token);
          expect(final.text.startsWith(revealed)).toBe(true);
        }
        revealed += output.finish();
        expect(revealed).toBe(final.text);
        expect(output.text).toBe(final.text);
        expect(output.stopped).toBe(final.stopped);
      }),
      { numRuns: 3000 },
    );
  });

  it("reveals at once what cannot become a stop string", () => {
    const tokens = ["he", "llo", " E", "ND"].map((piece) => new TextEncoder().encode(piece));
    const output = new OutputText(tokens, [" END"]);
    expect([0, 1, 2, 3].map((token) => output.push(token))).toEqual(["he", "llo", "", ""]);
    expect(output).toMatchObject({ stopped: true, text: "hello" });
  });

  it("turns bytes that are no character into U+FFFD, as the reference decoder does", () => {
    const output = new OutputText(
      [Uint8Array.of(0xe8, 0xaa), Uint8Array.of(0x61), Uint8Array.of(0xf0, 0x9f)],
      [],
    );
    expect([output.push(0), output.push(1), output.push(2), output.finish()]).toEqual([
      "",
      "\ufffda",
      "",
      "\ufffd",
    ]);
  });
});
