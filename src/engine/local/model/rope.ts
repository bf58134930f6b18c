/**
 * @file Rotary-embedding scaling variants as plain numbers: inverse frequencies and a factor on cos and sin.
 *
 * Follows Hugging Face transformers 5 (`modeling_rope_utils`, `rope_parameters`), and reads the spelling of
 * transformers 4 (`rope_theta`, `rope_scaling`) as the same thing. Checkpoints were trained with frequencies that
 * were computed in float32, so each operation is rounded as it is there; `test/fixtures/rope.json` holds theirs.
 *
 * - default, linear (Chen et al., 2023), llama3 (Llama 3.1), yarn (Peng et al., 2023): independent of the length.
 * - dynamic NTK: scales only sequences beyond `max_position_embeddings`. The engine refuses such sequences, so
 *   within its limits this variant is the default one, exactly.
 * - longrope (Ding et al., 2024): one list of frequencies up to the original context, another one beyond it, chosen
 *   by the length of the sequence. One policy has one list, so it is accepted with a context within the original.
 */

import type { RopeSettings } from "./config.ts";
import { ConfigError, ConfigReader } from "./config-reader.ts";

export interface RopeContext {
  readonly headSize: number;
  /** `max_position_embeddings` as the file has it. */
  readonly trainedContext: number;
  /** What the policy will use at most. */
  readonly contextLength: number;
}

const round = Math.fround;
const turn = 2 * Math.PI;

/** Reads the rotary part of a `config.json`. */
export function readRope(config: ConfigReader, context: RopeContext): RopeSettings {
  const parameters = ropeParameters(config);
  const type = parameters.text("rope_type") ?? parameters.text("type") ?? "default";
  const theta = parameters.positive("rope_theta") ?? config.positive("rope_theta") ?? 10_000;
  const partial =
    parameters.positive("partial_rotary_factor") ?? config.positive("partial_rotary_factor") ?? 1;
  if (partial !== 1) {
    throw parameters.unsupported(
      "partial_rotary_factor",
      partial,
      "only rotary embeddings over the whole head",
    );
  }
  const variant = variants[type];
  if (!variant) {
    throw parameters.unsupported("rope_type", type, `the variants ${Object.keys(variants).join(", ")}`);
  }
  const originalContext =
    config.positive("original_max_position_embeddings") ??
    parameters.positive("original_max_position_embeddings") ??
    context.trainedContext;
  return variant({ ...context, parameters, theta, originalContext });
}

/** `rope_parameters` (5), else `rope_scaling` (4), else nothing set. */
function ropeParameters(config: ConfigReader): ConfigReader {
  const parameters = config.section("rope_parameters") ?? config.section("rope_scaling");
  if (!parameters) return new ConfigReader({}, config.file, "rope_parameters");
  // Families with more than one kind of layer nest one entry a kind; only full attention reaches this point.
  return parameters.section("full_attention") ?? parameters;
}

interface VariantInput extends RopeContext {
  readonly parameters: ConfigReader;
  readonly theta: number;
  readonly originalContext: number;
}

const variants: Readonly<Record<string, (input: VariantInput) => RopeSettings>> = {
  default: plain,
  dynamic: plain,
  linear,
  llama3,
  yarn,
  longrope,
};

/** theta^(2i / headSize), in float32 steps. */
function wavelengths(theta: number, headSize: number): Float32Array {
  const powers = new Float32Array(headSize / 2);
  for (let i = 0; i < powers.length; i++) powers[i] = round(theta) ** round((2 * i) / headSize);
  return powers;
}

function settings(length: number, frequency: (i: number) => number, attentionFactor = 1): RopeSettings {
  return {
    inverseFrequencies: Float64Array.from({ length }, (_, i) => round(frequency(i))),
    attentionFactor,
  };
}

function plain({ theta, headSize }: VariantInput): RopeSettings {
  const powers = wavelengths(theta, headSize);
  return settings(powers.length, (i) => 1 / powers[i]!);
}

function linear({ parameters, theta, headSize }: VariantInput): RopeSettings {
  const factor = round(parameters.requirePositive("factor"));
  const powers = wavelengths(theta, headSize);
  return settings(powers.length, (i) => round(1 / powers[i]!) / factor);
}

/** Long wavelengths are divided, short ones kept, those between interpolated. */
function llama3({ parameters, theta, headSize, originalContext }: VariantInput): RopeSettings {
  const factor = parameters.requirePositive("factor");
  const low = parameters.requirePositive("low_freq_factor");
  const high = parameters.requirePositive("high_freq_factor");
  if (high <= low) {
    throw parameters.invalid("high_freq_factor", high, `greater than low_freq_factor (${low})`);
  }
  const powers = wavelengths(theta, headSize);
  return settings(powers.length, (i) => {
    const frequency = round(1 / powers[i]!);
    const wavelength = round(round(turn) / frequency);
    if (wavelength > originalContext / low) return frequency / factor;
    if (wavelength < originalContext / high) return frequency;
    const smooth = round(round(round(originalContext / wavelength) - low) / (high - low));
    return round(round(round(1 - smooth) * frequency) / factor) + round(smooth * frequency);
  });
}

function yarn({ parameters, theta, headSize, trainedContext, originalContext }: VariantInput): RopeSettings {
  const factor = parameters.positive("factor") ?? trainedContext / originalContext;
  const betaFast = parameters.positive("beta_fast") ?? 32;
  const betaSlow = parameters.positive("beta_slow") ?? 1;
  const truncate = parameters.flag("truncate") ?? true;

  // The dimension whose wavelength makes `rotations` turns within the original context.
  const dimension = (rotations: number) =>
    (headSize * Math.log(originalContext / (rotations * turn))) / (2 * Math.log(theta));
  const from = Math.max(truncate ? Math.floor(dimension(betaFast)) : dimension(betaFast), 0);
  const to = Math.min(truncate ? Math.ceil(dimension(betaSlow)) : dimension(betaSlow), headSize - 1);
  const span = round(from === to ? 0.001 : to - from);

  const powers = wavelengths(theta, headSize);
  return settings(
    powers.length,
    (i) => {
      const ramp = Math.min(1, Math.max(0, round(round(i - round(from)) / span)));
      const keep = round(1 - ramp);
      const scaled = round(1 / round(round(factor) * powers[i]!));
      return round(scaled * round(1 - keep)) + round(round(1 / powers[i]!) * keep);
    },
    parameters.positive("attention_factor") ?? yarnAttention(parameters, factor),
  );
}

function yarnAttention(parameters: ConfigReader, factor: number): number {
  const scale = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const mscale = parameters.number("mscale");
  const mscaleAll = parameters.number("mscale_all_dim");
  return mscale && mscaleAll ? scale(mscale) / scale(mscaleAll) : scale(1);
}

function longrope(input: VariantInput): RopeSettings {
  const { parameters, theta, headSize, trainedContext, contextLength, originalContext } = input;
  if (contextLength > originalContext) {
    throw new ConfigError({
      code: "E_CONFIG_UNSUPPORTED",
      message: `${parameters.place("rope_type")} is "longrope" with different frequencies up to and beyond ${originalContext} positions; a policy of ${contextLength} positions would need both.`,
      hint: `open the model with contextLength: ${originalContext} or less.`,
      facts: { file: parameters.file, originalContext, contextLength },
    });
  }
  const factors = parameters.numbers("short_factor");
  const powers = wavelengths(theta, headSize);
  if (factors?.length !== powers.length) {
    throw parameters.invalid("short_factor", factors?.length ?? null, `a list of ${powers.length} numbers`);
  }
  const factor = parameters.positive("factor") ?? trainedContext / originalContext;
  const attention =
    parameters.positive("attention_factor") ??
    (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContext)));
  return settings(powers.length, (i) => 1 / round(round(factors[i]!) * powers[i]!), attention);
}
