/**
 * @file Draws of the gamma distribution. Source: Marsaglia & Tsang, "A Simple Method for Generating Gamma Variables"
 * (ACM TOMS 26, 2000); shapes below 1 by their note in §6: Gamma(a) = Gamma(a + 1) · U^{1/a}.
 */

import type { Stream } from "../random/stream.ts";

/** One draw of Gamma(shape), scale 1. `shape` > 0. */
export function gamma(shape: number, random: Stream): number {
  if (shape < 1) return gamma(shape + 1, random) * (1 - random.uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = random.normal();
    const v = (1 + c * x) ** 3;
    if (v <= 0) continue;
    const u = 1 - random.uniform();
    if (Math.log(u) < 0.5 * x * x + d * (1 - v + Math.log(v))) return d * v;
  }
}
