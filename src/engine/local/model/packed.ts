/** @file A microbatch as the body graphs see it. Made by `training/pack.ts`; read by `model/body.ts`. */

/** R rows of T positions; all index arrays are flat over R·T unless said otherwise. */
export interface PackedRows {
  readonly rows: number;
  readonly width: number;
  /** [R·T] token ids; padding is 0. */
  readonly tokens: Int32Array;
  /** [R·T] depth in its sequence: the rotary position. */
  readonly positions: Int32Array;
  /** [R·T] column index (within the row) after the last token of the subtree that this token roots. Token i attends to j iff j ≤ i < end[j]. Padding: its own column + 1. */
  readonly end: Int32Array;
  /** [N] flat position whose hidden state predicts target n; all different. */
  readonly sources: Int32Array;
  /** [R·T] n for a source, N for every other position. */
  readonly inverse: Int32Array;
  /** [N] token id predicted. */
  readonly targets: Int32Array;
  /** [N] 1 / temperature. */
  readonly inverseTemperatures: Float32Array;
  /** [S] for each scored token of the sequences, in order, its n. Several may share one n: log-probs are read by it, gradients add up in it. */
  readonly scored: Int32Array;
}
