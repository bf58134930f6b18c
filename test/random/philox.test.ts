import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { philox } from "../../src/random/philox.ts";
import { key, stream, uniformAt } from "../../src/random/stream.ts";

const hex = (words: Uint32Array) => [...words].map((w) => w.toString(16).padStart(8, "0")).join(" ");

describe("philox4x32-10", () => {
  // Random123 1.14, kat_vectors.
  it.each([
    [[0, 0, 0, 0, 0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0],
      "d16cfe09 94fdcceb 5001e420 24126ea1",
    ],
  ] as const)("gives the published vector for %j", ([c0, c1, c2, c3, k0, k1], expected) => {
    expect(hex(philox(c0, c1, c2, c3, k0, k1))).toBe(expected);
  });
});

describe("keyed streams", () => {
  it("depend on every part and its order", () => {
    const keys = [
      key(1, 2),
      key(2, 1),
      key(1, "2"),
      key("12"),
      key("1", "2"),
      key(1, 2, 0),
      key(),
      key(""),
      key(-1),
      key(2 ** 40),
    ];
    expect(new Set(keys.map(String)).size).toBe(keys.length);
  });

  it("draw uniforms in [0, 1) that pass a chi-square test of 64 bins", () => {
    const bins = new Float64Array(64);
    const draws = 64_000;
    for (let i = 0; i < draws; i++) {
      const u = uniformAt(key("chi"), i);
      expect(u >= 0 && u < 1).toBe(true);
      bins[Math.floor(u * 64)]! += 1;
    }
    const chi = bins.reduce((sum, n) => sum + (n - draws / 64) ** 2 / (draws / 64), 0);
    // 63 degrees of freedom: 0.001 and 0.999 quantiles.
    expect(chi).toBeGreaterThan(34);
    expect(chi).toBeLessThan(104);
  });

  it("shuffle into permutations, equally for equal keys", () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.integer(), (items, seed) => {
        const once = stream(seed, "shuffle").shuffled(items);
        expect(once).toEqual(stream(seed, "shuffle").shuffled(items));
        expect([...once].sort()).toEqual([...items].sort());
      }),
    );
  });

  it("refuse a fractional key part", () => {
    expect(() => key(0.5)).toThrow(RangeError);
  });
});
