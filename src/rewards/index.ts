/** @file Public surface of `troupe/rewards`. */

export { exactMatch, normaliseAnswer, tokenF1 } from "./text-match.ts";
