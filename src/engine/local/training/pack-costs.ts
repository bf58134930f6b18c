/** @file What a token and a pair of positions cost, by which packing decides what to share. */

import type { DecoderConfig } from "../model/config.ts";
import { layerLinears } from "../model/parameters.ts";
import type { PackCosts } from "./share-prefixes.ts";

/**
 * The elementwise work on one attention score, in operations of a matrix product that take as long: 130 to 330 when
 * fitted to the body's times for rows of 64 and of 1024 positions, at hidden sizes 384 and 128.
 */
const operationsPerScore = 200;

/** Operations of one layer per token, and per pair of positions in a row. */
export function packCosts(config: DecoderConfig): PackCosts {
  const linear = layerLinears(config).reduce((sum, [, out, input]) => sum + out * input, 0);
  return { token: 2 * linear, pair: config.heads * (4 * config.headSize + operationsPerScore) };
}
