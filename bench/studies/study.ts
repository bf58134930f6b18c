/**
 * @file What a study is: a few ways to train on one task, the same budget of sampled tokens for each, several seeds, and the
 * numbers that are compared. A study is a file beside this one; results are lines of `results/<study>.jsonl`.
 */

/** Numbers by name, for example "pass@1" or "f1.small". */
export type Measures = Readonly<Record<string, number>>;

export interface Outcome {
  readonly before: Measures;
  readonly after: Measures;
  /** [sampled tokens, measures] of the evaluations during the run, its ends included. */
  readonly curve: readonly (readonly [number, Measures])[];
  /** Sampled for training. */
  readonly sampledTokens: number;
  readonly steps: number;
  /** Of the last step: what is worth a remark, such as texts that were refused. */
  readonly notes?: Measures;
}

export interface Arm {
  readonly name: string;
  /** What it is, in a line of the table. */
  readonly line: string;
  /** For the result's key: everything that decides what it computes. JSON. */
  readonly settings: unknown;
  /** `folder`: for run folders; the caller removes it. */
  run(seed: number, folder: string): Promise<Outcome>;
}

export interface Study {
  readonly name: string;
  readonly title: string;
  /** Measures of `after` in the table's order. */
  readonly measures: readonly string[];
  /** A measure that is also shown against sampled tokens. Default: none. */
  readonly along?: string;
  /** Differences of these measures to the same seeds of one arm, in columns of their own. Default: none. */
  readonly against?: { readonly arm: string; readonly measures: readonly string[] };
  /** Under the table. */
  readonly about: string;
  readonly arms: readonly Arm[];
}

export const studySeeds = [1, 2, 3, 4, 5];

export interface StudyLine {
  readonly study: string;
  readonly arm: string;
  readonly seed: number;
  readonly key: string;
  readonly seconds: number;
  readonly outcome?: Outcome;
  /** A run that ended with an error; it is tried again the next time. */
  readonly error?: string;
}
