/** @file Which parts fit together: the same rules as types, with sentences for errors, and as a check when it runs. */

import type { AdvantagePart, CreditAssigner, LossKernel, SamplerPart, TokenWeight } from "./parts.ts";

/** Never a value: what a slot would have to be. The sentence is the compiler's message. */
export interface Sentence<Says extends string> {
  readonly refused: Says;
}

type Trait<Parts, Slot extends PropertyKey, Name extends PropertyKey, Default> = Parts extends {
  readonly [K in Slot]: { readonly [N in Name]: infer Found };
}
  ? Found
  : Default;

/** `unknown` for parts that fit together; else the slot that does not, as a sentence. */
export type Refused<Parts> =
  Trait<Parts, "loss", "reads", "advantages"> extends "pairs"
    ? Trait<Parts, "advantage", "gives", "advantages"> extends "pairs"
      ? unknown
      : {
          readonly loss: Sentence<"This loss reads pairs; give an advantage that makes them, such as bestAgainstWorst().">;
        }
    : Trait<Parts, "advantage", "gives", "advantages"> extends "pairs"
      ? {
          readonly loss: Sentence<"These are pairs of calls, not advantages; give a loss that reads pairs, such as preference().">;
        }
      : Trait<Parts, "sampler", "samples", "group"> extends "single"
        ? Trait<Parts, "advantage", "compares", "episodes"> extends "episodes"
          ? {
              readonly sampler: Sentence<"This advantage compares the episodes of a task, and this sampler gives one; take fixedGroups(8), or an advantage that compares with something else.">;
            }
          : unknown
        : Trait<Parts, "credit", "wants", "any"> extends "tree"
          ? Trait<Parts, "sampler", "samples", "group"> extends "tree"
            ? Trait<Parts, "advantage", "judges", "calls"> extends "episodes"
              ? {
                  readonly advantage: Sentence<"This advantage judges whole episodes, and this credit single calls, of which a shared one is trained once; take an advantage that judges calls, such as groupAdvantage(), or broadcast().">;
                }
              : Tokens<Parts>
            : {
                readonly credit: Sentence<"This credit is over branching episodes; give a sampler that branches, such as branching().">;
              }
          : Tokens<Parts>;

type Tokens<Parts> =
  Trait<Parts, "loss", "ratio", "token"> extends "sequence"
    ? Parts extends { readonly tokenWeights: readonly [unknown, ...unknown[]] }
      ? {
          readonly tokenWeights: Sentence<"A loss with one ratio a sequence needs one advantage a sequence; leave token weights out, or take a token-level loss.">;
        }
      : unknown
    : unknown;

export interface Fault {
  readonly says: string;
  readonly hint: string;
}

/** The same rules for callers without types. */
export function combinationFault(parts: {
  readonly sampler: SamplerPart;
  readonly credit: CreditAssigner;
  readonly advantage: AdvantagePart;
  readonly tokenWeights: readonly TokenWeight[];
  readonly loss: LossKernel;
}): Fault | undefined {
  const { sampler, credit, advantage, tokenWeights, loss } = parts;
  if (loss.reads === "pairs" && advantage.gives !== "pairs") {
    return {
      says: `loss "${loss.name}" reads pairs, and advantage "${advantage.name}" makes none.`,
      hint: "give an advantage that makes pairs, such as bestAgainstWorst().",
    };
  }
  if (loss.reads !== "pairs" && advantage.gives === "pairs") {
    return {
      says: `advantage "${advantage.name}" makes pairs, which loss "${loss.name}" does not read.`,
      hint: "give a loss that reads pairs, such as preference().",
    };
  }
  if (sampler.samples === "single" && advantage.compares === "episodes") {
    return {
      says: `advantage "${advantage.name}" compares the episodes of a task, and sampler "${sampler.name}" gives one.`,
      hint: "take fixedGroups(8), or an advantage that compares with something else.",
    };
  }
  if (credit.wants === "tree" && sampler.samples !== "tree") {
    return {
      says: `credit "${credit.name}" is over branching episodes, and sampler "${sampler.name}" does not branch.`,
      hint: "give a sampler that branches, such as branching().",
    };
  }
  if (credit.wants === "tree" && advantage.judges === "episodes") {
    return {
      says: `advantage "${advantage.name}" judges whole episodes, and credit "${credit.name}" single calls, of which a shared one is trained once.`,
      hint: "take an advantage that judges calls, such as groupAdvantage(), or broadcast().",
    };
  }
  if (loss.ratio === "sequence" && (tokenWeights.length > 0 || advantage.perToken !== undefined)) {
    return {
      says: `loss "${loss.name}" has one ratio a sequence, and its tokens would have advantages of their own.`,
      hint: "leave token weights and advantages per token out, or take a token-level loss.",
    };
  }
  return undefined;
}
