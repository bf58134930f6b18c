/** @file Random numbers that are worth testing with. */

import fc from "fast-check";

/**
 * Thousandths from min to max, evenly. `fc.double` and `fc.float` are even over representations instead: around zero
 * nearly all their numbers are smaller than 1e-20, and a property over them says little.
 */
export const between = (min: number, max: number): fc.Arbitrary<number> =>
  fc
    .integer({ min: Math.round(min * 1000), max: Math.round(max * 1000) })
    .map((thousandths) => thousandths / 1000);
