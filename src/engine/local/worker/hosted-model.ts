/** @file One model on the engine's thread: its weights, and the sampler and the training model over them. */

import type {
  ForwardOptions,
  ForwardResult,
  StepOptions,
  StepResult,
  TrainingSequence,
} from "../../policy.ts";
import { countValueHeads } from "../../value-heads.ts";
import { AdapterFolder, saveAdapterFolder } from "../checkpoint/adapter-folder.ts";
import { type ExtraFile, ModelFolder, saveModelFolder } from "../checkpoint/model-folder.ts";
import { readTrainingState, trainingStateFiles } from "../checkpoint/training-state.ts";
import { checkValueHeads, readValueHeads, valueHeadFiles } from "../checkpoint/value-head-file.ts";
import { fitMemory } from "../memory-plan.ts";
import type { DecoderConfig } from "../model/config.ts";
import { initialiseAdapter } from "../model/initialise.ts";
import {
  adapterShapes,
  decoderShapes,
  type LoraSettings,
  parameterTable,
  valueHeadShapes,
} from "../model/parameters.ts";
import { FlatTensors } from "../model/weights.ts";
import type { OrtBackend } from "../ort/backend.ts";
import { DecodeSessions } from "../sampling/decoder.ts";
import { Sampler } from "../sampling/sampler.ts";
import { ModelTokenizer } from "../tokenizer/tokenizer.ts";
import { ScoringModel, type ScoringModelOptions } from "../training/scoring-model.ts";
import { createScoringGraphs, type ScoringGraphs, TrainingGraphs } from "../training/training-graphs.ts";
import { TrainingModel } from "../training/training-model.ts";
import { EngineError } from "./errors.ts";
import type { LocalModelOptions } from "./protocol.ts";
import { hasSharedBase, releaseWeights, shareBase } from "./shared-bases.ts";

/** CHOSEN: scoring alone is as fast in smaller microbatches, and a reference should not need a training pass's memory. */
const scoringTokens = 2048;

interface Parts {
  readonly backend: OrtBackend;
  /** As the user gave it: an adapter's `base_model_name_or_path` repeats it. */
  readonly folder: string;
  readonly options: LocalModelOptions;
  readonly config: DecoderConfig;
  readonly sourceConfig: Readonly<Record<string, unknown>>;
  readonly weights: FlatTensors;
  readonly adapter: FlatTensors | null;
  readonly lora: LoraSettings | null;
  readonly sampler: Sampler;
  readonly training: TrainingModel | null;
  readonly computing: ScoringModelOptions;
  /** What is disposed with the model, the newest first. */
  readonly made: { dispose(): void }[];
}

export class HostedModel {
  readonly #parts: Parts;
  #scoring: ScoringModel | null = null;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  static async open(
    backend: OrtBackend,
    threads: number,
    folder: string,
    options: LocalModelOptions,
  ): Promise<HostedModel> {
    const { trainable = true, contextLength } = options;
    const source = await ModelFolder.open(folder, contextLength === undefined ? {} : { contextLength });
    try {
      const { config, sourceConfig } = source;
      const tokenizer = await ModelTokenizer.load(folder);
      checkVocabulary(folder, tokenizer.vocabularySize, config.vocabularySize);
      const adapterFolder =
        options.adapter === undefined ? null : await AdapterFolder.open(options.adapter, config);
      const lora = adapterFolder?.lora ?? options.lora ?? null;
      const valueShapes = valueHeadShapes(config, countValueHeads(options.valueHead));
      const ownsWeights = trainable && lora === null;
      const { settings } = fitMemory(config, {
        ...(trainable ? {} : { microbatchTokens: scoringTokens }),
        ...options,
        ...(lora ? { lora } : {}),
        baseInMemory: !ownsWeights && hasSharedBase(folder),
      });
      const weights = ownsWeights
        ? await readWeights(backend, source, valueShapes)
        : await shareBase(folder, () => readWeights(backend, source, []));
      const made: { dispose(): void }[] = [{ dispose: () => releaseWeights(weights) }];
      try {
        const adapter =
          lora && new FlatTensors(backend, parameterTable([...adapterShapes(config, lora), ...valueShapes]));
        if (adapter) {
          made.push(adapter);
          initialiseAdapter(adapter, options.seed ?? 0);
          await adapterFolder?.readWeights(adapter.table, adapter.flat);
        }
        const decodeSessions = await DecodeSessions.create(backend, {
          config,
          threads,
          ...(lora ? { lora } : {}),
        });
        made.push(decodeSessions);
        const sampler = new Sampler({
          sessions: decodeSessions,
          weights,
          ...(adapter ? { adapter } : {}),
          tokenBytes: tokenizer.tokenBytes({ size: config.vocabularySize }),
          endTokens: tokenizer.endTokens,
          ...(options.slots === undefined ? {} : { slots: options.slots }),
          ...(contextLength === undefined ? {} : { contextLength }),
        });
        made.push(sampler);
        const computing = {
          weights,
          ...(adapter ? { adapter } : {}),
          ...(contextLength === undefined ? {} : { contextLength }),
          microbatchTokens: settings.microbatchTokens,
        };
        let training: Parts["training"] = null;
        if (trainable) {
          const graphs = await TrainingGraphs.create(backend, config, lora ? { lora } : {});
          made.push(graphs);
          const model = new TrainingModel(graphs, computing);
          made.push(model);
          training = model;
        }
        return new HostedModel({
          ...{ backend, folder, options, config, sourceConfig, weights, adapter, lora, sampler, training },
          ...{ computing, made },
        });
      } catch (error) {
        disposeAll(made);
        throw error;
      } finally {
        await adapterFolder?.close();
      }
    } finally {
      await source.close();
    }
  }

  get config(): DecoderConfig {
    return this.#parts.config;
  }

  get sampler(): Sampler {
    return this.#parts.sampler;
  }

  get contextLength(): number {
    return Math.min(
      this.#parts.options.contextLength ?? this.config.contextLength,
      this.config.contextLength,
    );
  }

  /** What trains, or for a frozen policy what answers. */
  get parameterCount(): number {
    return this.#parts.training?.parameterCount ?? this.#parts.weights.table.count;
  }

  get version(): number {
    return this.#parts.training?.version ?? 0;
  }

  get training(): TrainingModel {
    const { training, folder } = this.#parts;
    if (training) return training;
    throw new EngineError({
      code: "E_POLICY_FROZEN",
      message: `The policy over ${folder} was opened with trainable: false; it can sample and score, but not be trained or saved.`,
      hint: "open it without that option, or assign the agents that train to another policy.",
    });
  }

  /** A frozen policy gets its forward pass when it is first asked to score: most only sample. */
  async forward(batch: readonly TrainingSequence[], options: ForwardOptions): Promise<ForwardResult> {
    const { training, backend, config, lora, computing, made } = this.#parts;
    if (training) return training.forward(batch, options);
    if (!this.#scoring) {
      const graphs: ScoringGraphs = await createScoringGraphs(backend, config, lora ? { lora } : {});
      made.push(graphs);
      this.#scoring = new ScoringModel(graphs, computing);
    }
    return this.#scoring.forward(batch, options);
  }

  step(options: StepOptions): StepResult {
    const { training, sampler } = this;
    this.#requireIdle("An optimiser step");
    const result = training.step(options);
    sampler.weightsChanged(result.version);
    return result;
  }

  /** Weights may not change under a sequence that is being sampled. */
  #requireIdle(what: string): void {
    const { inFlight } = this.sampler;
    if (inFlight === 0) return;
    throw new EngineError({
      code: "E_STEP_WHILE_SAMPLING",
      message: `${what} was asked for while ${inFlight} samples of version ${this.version} are in flight.`,
      hint: "await or cancel all samples of a policy before its weights change.",
    });
  }

  async save(folder: string, { optimizer = false }: { readonly optimizer?: boolean }): Promise<void> {
    const { training } = this;
    const { config, lora, adapter, weights, sourceConfig, options } = this.#parts;
    const { trained } = training;
    const { first, second, steps } = training.optimizer;
    const heads = countValueHeads(options.valueHead);
    const extra: ExtraFile[] = [
      ...valueHeadFiles({ config, heads, table: trained.table, flat: trained.flat }),
    ];
    if (optimizer)
      extra.push(...trainingStateFiles({ table: trained.table, first, second }, { step: steps }));
    if (adapter && lora) {
      await saveAdapterFolder(
        folder,
        { config, lora, table: adapter.table, flat: adapter.flat },
        { baseModel: this.#parts.folder, extra },
      );
    } else {
      await saveModelFolder(
        folder,
        { config, sourceConfig, table: weights.table, flat: weights.flat },
        { copyFrom: this.#parts.folder, extra },
      );
    }
  }

  /** Weights, value heads, moments and step count of a folder that `save` wrote with `optimizer`. */
  async restore(folder: string): Promise<number> {
    const { training } = this;
    const { config, adapter, weights, sampler, options } = this.#parts;
    const { trained, optimizer } = training;
    const heads = countValueHeads(options.valueHead);
    this.#requireIdle("A restore");
    const saved = adapter ? await AdapterFolder.open(folder, config) : await ModelFolder.open(folder);
    const { first, second } = optimizer;
    let step: number;
    try {
      await checkValueHeads(folder, heads);
      // First what is most often missing: a folder saved without optimiser state leaves the policy as it was.
      ({ step } = await readTrainingState(folder, { table: trained.table, first, second }));
      await saved.readWeights((adapter ?? weights).table, (adapter ?? weights).flat);
    } finally {
      await saved.close();
    }
    await readValueHeads(folder, { config, heads, table: trained.table, flat: trained.flat });
    optimizer.steps = step;
    training.clearGradients();
    sampler.weightsChanged(optimizer.steps);
    return optimizer.steps;
  }

  dispose(): void {
    disposeAll(this.#parts.made);
  }
}

function disposeAll(made: { dispose(): void }[]): void {
  for (const part of made.splice(0).toReversed()) part.dispose();
}

/** A model may have more rows than its tokenizer has ids (padding), never fewer: a gather beyond the end is silent. */
function checkVocabulary(folder: string, ids: number, rows: number): void {
  if (ids <= rows) return;
  throw new EngineError({
    code: "E_VOCABULARY_MISMATCH",
    message: `${folder}: the tokenizer has ids up to ${ids - 1}, but the model's embedding has ${rows} rows.`,
    hint: "the tokenizer is another model's; take both from one folder.",
    facts: { ids, rows },
  });
}

async function readWeights(
  backend: OrtBackend,
  source: ModelFolder,
  more: readonly (readonly [string, readonly number[]])[],
): Promise<FlatTensors> {
  const weights = new FlatTensors(backend, parameterTable([...decoderShapes(source.config), ...more]));
  await source.readWeights(weights.table, weights.flat);
  return weights;
}
