/**
 * @file Recalled episodes are compared with and not trained on: another advantage, with the calls of episodes of earlier
 * steps left out of the batch, normalisers included.
 *
 * Source: AR3PO (arXiv 2509.25808), option II, its best: a remembered right answer only makes the others' advantages
 * negative. Its option I, which trains on it, is the other advantage alone.
 */

import type { MethodCard } from "../card.ts";
import type { AdvantagePart } from "../parts.ts";

/** Its traits, name, settings and memory are those of the advantage that it is given. */
export function withoutRecalled<const Part extends AdvantagePart>(advantage: Part): Part {
  return Object.freeze({
    ...advantage,
    settings: { ...advantage.settings, recalled: "compared with, not trained on" },
    advantages: (groups) =>
      advantage.advantages(groups).map((credit, k) => ({
        ...credit,
        trained: groups[k]!.group.episodes.map(({ calls, recalled }, i) =>
          Uint8Array.from(calls, (_, j) => (recalled === true ? 0 : (credit.trained?.[i]?.[j] ?? 1))),
        ),
      })),
  } satisfies AdvantagePart as Part);
}

export const withoutRecalledCard: MethodCard = {
  name: "without-recalled",
  title: "Without recalled episodes",
  stage: "advantage",
  line: "episodes of earlier steps are compared with and not trained on; wraps any advantage",
  use: 'import { withoutRecalled } from "troupe/methods"',
  formula: ["trained = 0 for every call of a recalled episode; advantages as they are"],
  defaults: {},
  source: "AR3PO (arXiv 2509.25808), option II",
};
