/**
 * @file Supervised training of a starter from nothing, on the project's own engine: a small Llama decoder, AdamW, a cosine
 * schedule. Everything depends on the seed and the batches alone.
 */

import { ModelFolder, saveModelFolder } from "../../src/engine/local/checkpoint/index.ts";
import { initialiseModel } from "../../src/engine/local/model/initialise.ts";
import { decoderShapes, parameterTable } from "../../src/engine/local/model/parameters.ts";
import { parseConfig } from "../../src/engine/local/model/parse-config.ts";
import { FlatTensors } from "../../src/engine/local/model/weights.ts";
import { openBackend } from "../../src/engine/local/ort/open.ts";
import { cosine, warmup } from "../../src/engine/local/training/schedule.ts";
import { TrainingGraphs } from "../../src/engine/local/training/training-graphs.ts";
import { TrainingModel } from "../../src/engine/local/training/training-model.ts";
import type { TrainingSequence } from "../../src/engine/policy.ts";
import type { StarterTokenizer } from "./starter-tokenizer.ts";

export interface StarterSize {
  readonly vocabularySize: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly layers: number;
  readonly contextLength: number;
  /** Standard deviation of the first weights. Default 0.02. */
  readonly initializerRange?: number;
}

const warmupSteps = 100;
const optimizer = { betas: [0.9, 0.98], weightDecay: 0.05, maxGradientNorm: 1 } as const;

/** `config.json`, without the end token. */
const modelConfig = (size: StarterSize) =>
  ({
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: size.vocabularySize,
    hidden_size: size.hidden,
    intermediate_size: size.intermediate,
    num_hidden_layers: size.layers,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: size.contextLength,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    hidden_act: "silu",
    tie_word_embeddings: true,
    attention_bias: false,
    mlp_bias: false,
    initializer_range: size.initializerRange ?? 0.02,
    torch_dtype: "bfloat16",
  }) as const;

export interface PretrainingBatch {
  readonly sequences: readonly TrainingSequence[];
  /** [S] −∂L/∂ℓ of each scored token. */
  readonly weights: Float32Array;
  /** Of prompts and completions. */
  readonly tokens: number;
  /** What is shown as the loss: the mean over completion tokens alone, which says how well the team would do. */
  loss(logprobs: Float32Array): number;
}

export interface PretrainingOptions {
  readonly out: string;
  /** Ends with the batch that reaches it. */
  readonly tokens: number;
  /** Of the first weights. */
  readonly seed: number;
  readonly threads: number;
  readonly size: StarterSize;
  readonly starterTokenizer: StarterTokenizer;
  readonly batches: Iterator<PretrainingBatch, never>;
  /** Tokens a batch, at most. */
  readonly batchTokens: number;
  readonly peakLearningRate: number;
  readonly finalLearningRate: number;
  /** What writes into the residual stream starts smaller, by 1/√(2·layers) (Radford et al., 2019). */
  readonly smallResiduals: boolean;
  /** Weights to go on from. Default: new ones. */
  readonly from?: string | undefined;
  /** Also save every so many steps, to `<out>-<step>`. Default 0: never. */
  readonly saveEvery?: number;
}

export async function pretrain(options: PretrainingOptions): Promise<void> {
  const { out, tokens, seed, size, batches, batchTokens, from, saveEvery = 0 } = options;
  const { folder: tokenizerFolder, tokenizer } = options.starterTokenizer;
  const sourceConfig = { ...modelConfig(size), eos_token_id: tokenizer.endTokens[0]! };
  const config = parseConfig(sourceConfig);
  const table = parameterTable(decoderShapes(config));
  const backend = await openBackend({ threads: options.threads });
  const weights = new FlatTensors(backend, table);
  initialiseModel(weights, seed, sourceConfig.initializer_range);
  if (options.smallResiduals) shrinkResiduals(weights, config.layers);
  if (from !== undefined) {
    const earlier = await ModelFolder.open(from);
    await earlier.readWeights(table, weights.flat);
    await earlier.close();
  }
  const graphs = await TrainingGraphs.create(backend, config);
  const model = new TrainingModel(graphs, { weights, sharePrefixes: false });
  console.log(`${table.count} parameters, ${size.vocabularySize} tokens`);

  const steps = Math.ceil(tokens / batchTokens);
  const { peakLearningRate: peak, finalLearningRate: final } = options;
  const rate = warmup(warmupSteps, cosine({ peak, steps, final }));
  const begin = performance.now();
  let seen = 0;
  let smoothed = Number.NaN;
  const save = (target: string) =>
    saveModelFolder(
      target,
      { config, sourceConfig, table, flat: weights.flat },
      { format: "BF16", copyFrom: tokenizerFolder, replace: true, facts: { seed, tokens: seen } },
    );
  for (let step = 0; seen < tokens; step++) {
    const batch = batches.next().value;
    const { logprobs } = model.trainOnTargets(batch.sequences, batch.weights);
    const learningRate = rate(Math.min(step, steps));
    const { gradientNorm } = model.step({ learningRate, ...optimizer });
    seen += batch.tokens;
    const loss = batch.loss(logprobs);
    smoothed = Number.isNaN(smoothed) ? loss : 0.98 * smoothed + 0.02 * loss;
    if (step % 50 === 49) {
      const speed = seen / ((performance.now() - begin) / 1000);
      console.log(
        `step ${step + 1}/${steps}  loss ${smoothed.toFixed(4)}  gradient ${gradientNorm.toFixed(2)}  ` +
          `${(seen / 1e6).toFixed(2)} M tokens  ${Math.round(speed)} tokens/s  ${Math.round((tokens - seen) / speed)} s left`,
      );
    }
    if (saveEvery > 0 && step % saveEvery === saveEvery - 1) await save(`${out}-${step + 1}`);
  }
  await save(out);
  console.log(`saved ${out} after ${seen} tokens, ${Math.round((performance.now() - begin) / 1000)} s`);
  model.dispose();
  graphs.dispose();
  backend.dispose();
}

function shrinkResiduals(weights: FlatTensors, layers: number): void {
  for (const { name } of weights.table.parameters) {
    if (!/\.(o_proj|down_proj)\.weight$/.test(name)) continue;
    const view = weights.view(name);
    for (let i = 0; i < view.length; i++) view[i]! /= Math.sqrt(2 * layers);
  }
}
