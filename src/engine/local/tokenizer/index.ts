/** @file Text and token ids of a model folder; training of a new tokenizer. */

export { ChatTemplate, type ChatTemplateInput, type TemplateMessage } from "./chat-template.ts";
export { BpeTrainingError, ChatTemplateError, TokenizerError } from "./errors.ts";
export type { TokenBytes } from "./token-decoder.ts";
export {
  type EncodeChatOptions,
  type EncodeOptions,
  ModelTokenizer,
  type SpecialTokenText,
  type TokenizerOptions,
} from "./tokenizer.ts";
export {
  type BpeTrainingOptions,
  chatMarkupTemplate,
  chatSpecialTokens,
  splitPatterns,
  type TrainedTokenizer,
  trainBpe,
  writeTokenizer,
} from "./train-bpe.ts";
