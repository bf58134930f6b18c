/** @file What can go wrong between text and token ids. */

import { TroupeError } from "../../../errors.ts";

/** Tokenizer files, text that cannot be encoded, ids that are none. */
export class TokenizerError extends TroupeError {}

/** A chat template that is missing, malformed, or refuses the conversation. */
export class ChatTemplateError extends TroupeError {}

/** BPE training that cannot give what was asked for. */
export class BpeTrainingError extends TroupeError {}
