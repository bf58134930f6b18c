/** @file The local engine's public face: `local(folder)` for the trainer, `openLocalPolicy` for everyone else. */

import type { PolicySpec } from "../policy-spec.ts";
import { type LocalPolicy, openLocalPolicy } from "./worker/local-policy.ts";
import type { EngineSettings, LocalModelOptions } from "./worker/protocol.ts";

export {
  BpeTrainingError,
  ChatTemplateError,
  ModelTokenizer,
  TokenizerError,
  trainBpe,
  writeTokenizer,
} from "./tokenizer/index.ts";
export { EngineError } from "./worker/errors.ts";
export { LocalPolicy, openLocalPolicy } from "./worker/local-policy.ts";
export type { EngineSettings, LocalModelOptions } from "./worker/protocol.ts";

/**
 * A policy computed on this machine: a Hugging Face folder of the Llama, Qwen2 or Qwen3 family.
 * Nothing is read before the run opens it.
 *
 * @example
 * policies: { small: local("assets/atlas-small"), critic: local("assets/base", { lora: { rank: 8, alpha: 16, targets: ["q_proj", "v_proj"] } }) }
 */
export function local(
  folder: string,
  options: LocalModelOptions & EngineSettings = {},
): PolicySpec<LocalPolicy> {
  const { threads, backend, spinning, ...model } = options;
  const settings = {
    ...(threads === undefined ? {} : { threads }),
    ...(backend === undefined ? {} : { backend }),
    ...(spinning === undefined ? {} : { spinning }),
  };
  return {
    kind: "local",
    settings: { folder, ...options },
    open: ({ name, seed }) => openLocalPolicy(name, folder, { seed, ...model }, settings),
  };
}
