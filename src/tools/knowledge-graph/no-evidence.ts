/** @file Expert 1 of MixRAGRec (arXiv 2605.28175): nothing is retrieved, the language model is on its own. */

import type { RetrievalExpert } from "./expert.ts";

export const noEvidence = (): RetrievalExpert => () => ({ triples: [], unknownSeeds: [] });
