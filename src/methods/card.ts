/**
 * @file What a method, or a part of one, says of itself: `troupe methods` prints it, and tests hold it to the code. Each
 * file of the library exports one card next to what it exports.
 */

/** Where in the composition a part stands, in the order in which they run (DESIGN §3). Closed. */
export type MethodStage =
  /** A whole method, composed of parts. */
  | "method"
  /** Rewards made of rewards, or of what an episode did. */
  | "reward"
  /** From an episode's rewards to what each call is judged by. */
  | "credit"
  /** How many episodes of which tasks, and where to branch. */
  | "sampler"
  | "advantage"
  | "sequence weight"
  | "token weight"
  | "loss"
  | "regulariser"
  /** When and where things are sampled or trained, without changing what is learned. */
  | "schedule";

export interface MethodDefault {
  readonly value: unknown;
  /** Where it comes from: "paper", "official code", "CHOSEN: …". */
  readonly source: string;
}

export interface MethodCard {
  /** As `troupe methods <name>` takes it, for example "f-grpo". Also the docs page's file name. */
  readonly name: string;
  readonly title: string;
  readonly stage: MethodStage;
  /** One line: what it does and when to take it. */
  readonly line: string;
  /** The name that `import { … } from "troupe/…"` takes, and from where. */
  readonly use: string;
  /** In plain text, a line each; the symbols of `method.ts`. */
  readonly formula: readonly string[];
  /** By the option's name. A test compares the values with the code's. */
  readonly defaults: Readonly<Record<string, MethodDefault>>;
  /** Authors or short title, arXiv number or address. */
  readonly source: string;
  /** What is RECONSTRUCTED, CHOSEN or UNVERIFIED, and where the code departs from the paper. Default: nothing. */
  readonly notes?: readonly string[];
}
