/** @file The local engine's public face: `local(folder)` for the trainer, `openLocalPolicy` for everyone else. */

import type { PolicySpec } from "../policy-spec.ts";
import { countValueHeads, type ValueHeads } from "../value-heads.ts";
import { type FrozenLocalPolicy, type LocalPolicy, openLocalPolicy } from "./worker/local-policy.ts";
import type { LocalModelOptions, WorkerSettings } from "./worker/protocol.ts";

export {
  ChoicePolicy,
  ChoicePolicyError,
  type ChoicePolicyOptions,
  choicePolicy,
  type ExplorationSettings,
  FrozenChoicePolicy,
  type TextEmbedding,
} from "./choice/index.ts";
export {
  BpeTrainingError,
  ChatTemplateError,
  ModelTokenizer,
  TokenizerError,
  trainBpe,
  writeTokenizer,
} from "./tokenizer/index.ts";
export { EngineError } from "./worker/errors.ts";
export { FrozenLocalPolicy, LocalPolicy, openLocalPolicy } from "./worker/local-policy.ts";
export type { EngineSettings, LocalModelOptions, WorkerSettings } from "./worker/protocol.ts";

/**
 * A policy computed on this machine: a Hugging Face folder of the Llama, Qwen2 or Qwen3 family.
 * Nothing is read before the run opens it.
 *
 * @example
 * policies: { small: local("assets/atlas-small"), critic: local("assets/base", { lora: { rank: 8, alpha: 16, targets: ["q_proj", "v_proj"] } }) }
 */
export function local(
  folder: string,
  options?: LocalModelOptions & WorkerSettings & { readonly trainable?: true },
): PolicySpec<LocalPolicy>;
export function local(
  folder: string,
  options: LocalModelOptions & WorkerSettings & { readonly trainable: false },
): PolicySpec<FrozenLocalPolicy>;
export function local(
  folder: string,
  options?: LocalModelOptions & WorkerSettings,
): PolicySpec<LocalPolicy | FrozenLocalPolicy>;
export function local(
  folder: string,
  options: LocalModelOptions & WorkerSettings = {},
): PolicySpec<LocalPolicy | FrozenLocalPolicy> {
  const { threads, backend, spinning, worker, ...model } = options;
  const settings = {
    ...(threads === undefined ? {} : { threads }),
    ...(backend === undefined ? {} : { backend }),
    ...(spinning === undefined ? {} : { spinning }),
    ...(worker === undefined ? {} : { worker }),
  };
  return {
    kind: "local",
    settings: {
      folder,
      ...options,
      // A run may be continued with 1 for true: they are the same policy.
      ...(options.valueHead === undefined ? {} : { valueHead: recorded(options.valueHead) }),
    },
    open: ({ name, seed }) => openLocalPolicy(name, folder, { seed, ...model }, settings),
    // A fresh adapter is the base itself; one that was given starts from what it had learnt.
    openReference: ({ name, seed }) => {
      const { lora, ...rest } = model;
      return openLocalPolicy(
        name,
        folder,
        { seed, ...rest, trainable: false, valueHead: false, slots: 1 },
        settings,
      );
    },
  };
}

/** @throws ValueHeadError: here and not only once the policy is opened. */
function recorded(option: ValueHeads): ValueHeads {
  const heads = countValueHeads(option);
  return heads > 1 ? heads : heads === 1;
}
