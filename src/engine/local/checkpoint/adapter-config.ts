/**
 * @file PEFT's `adapter_config.json` ↔ {@link LoraSettings}. A field that would change what the adapter computes,
 * and that Troupe does not know, is refused by name. Written for the fields of PEFT 0.21.
 */

import type { DecoderConfig } from "../model/config.ts";
import { type ConfigError, ConfigReader, isFields } from "../model/config-reader.ts";
import { type LoraSettings, layerLinears } from "../model/parameters.ts";

export type LoraTarget = LoraSettings["targets"][number];

/** Fields that do not change the function, or that are read below. Dropout is for training; Troupe trains without. */
const harmless = new Set([
  "alpha_pattern",
  "auto_mapping",
  "base_model_name_or_path",
  "bias",
  "inference_mode",
  "init_lora_weights",
  "layers_pattern",
  "lora_alpha",
  "lora_dropout",
  "megatron_core",
  "peft_type",
  "peft_version",
  "qalora_group_size",
  "r",
  "rank_pattern",
  "revision",
  "runtime_config",
  "target_modules",
  "task_type",
  "use_rslora",
]);

/** Initialisations that leave the base weights alone; others (PiSSA, OLoRA, CorDA …) rewrite them. */
const plainInitialisations = [true, false, "gaussian", "eva", "orthogonal"];

export function parseAdapterConfig(json: unknown, file: string, model: DecoderConfig): LoraSettings {
  const config = new ConfigReader(json, file);
  const refuse = (name: string, supported: string): ConfigError =>
    config.unsupported(name, config.raw(name) ?? null, supported);

  if (config.text("peft_type") !== "LORA") throw refuse("peft_type", 'a "LORA" adapter');
  const taskType = config.text("task_type") ?? "CAUSAL_LM";
  if (taskType !== "CAUSAL_LM") throw refuse("task_type", 'an adapter for "CAUSAL_LM"');
  const bias = config.text("bias") ?? "none";
  if (bias !== "none") throw refuse("bias", 'an adapter with bias "none"');
  const initialisation = config.raw("init_lora_weights") ?? true;
  if (!plainInitialisations.includes(initialisation as boolean)) {
    throw refuse("init_lora_weights", "an adapter that leaves its base weights as they are");
  }
  for (const name of ["rank_pattern", "alpha_pattern"]) {
    if (!isNeutral(config.raw(name))) throw refuse(name, "one rank and one alpha for all layers");
  }
  for (const [name, value] of Object.entries(json as object)) {
    if (!harmless.has(name) && !isNeutral(value)) {
      throw refuse(
        name,
        `a plain LoRA adapter (without ${name}); merge it into its base with PEFT otherwise`,
      );
    }
  }

  const rank = config.requireCount("r");
  const alpha = config.requirePositive("lora_alpha");
  return {
    rank,
    // Rank-stabilised LoRA scales by alpha / √rank: another alpha over the rank.
    alpha: (config.flag("use_rslora") ?? false) ? alpha * Math.sqrt(rank) : alpha,
    targets: parseTargets(config, model),
  };
}

const isNeutral = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  value === false ||
  value === "" ||
  (Array.isArray(value) && value.length === 0) ||
  (isFields(value) && Object.keys(value).length === 0);

/** A list of last names ("q_proj"), or with their block ("self_attn.q_proj"). */
function parseTargets(config: ConfigReader, model: DecoderConfig): readonly LoraTarget[] {
  const known = layerLinears(model).map(([suffix]) => suffix);
  const supported = `target_modules as a list of ${known.map(lastName).join(", ")}`;
  const raw = config.raw("target_modules");
  if (!Array.isArray(raw) || raw.length === 0)
    throw config.unsupported("target_modules", raw ?? null, supported);
  const targets = (config.texts("target_modules") ?? []).map((target) => {
    const match = known.find((suffix) => suffix === target || lastName(suffix) === target);
    if (match === undefined) throw config.unsupported("target_modules", target, supported);
    return lastName(match);
  });
  return known.map(lastName).filter((target) => targets.includes(target)) as LoraTarget[];
}

const lastName = (suffix: string) => suffix.slice(suffix.indexOf(".") + 1);

/** What PEFT needs to load the adapter. */
export function writtenAdapterConfig(
  lora: LoraSettings,
  baseModel: string,
): Readonly<Record<string, unknown>> {
  return {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: baseModel,
    r: lora.rank,
    lora_alpha: lora.alpha,
    lora_dropout: 0,
    target_modules: lora.targets,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    use_dora: false,
    use_rslora: false,
    modules_to_save: null,
    rank_pattern: {},
    alpha_pattern: {},
  };
}
