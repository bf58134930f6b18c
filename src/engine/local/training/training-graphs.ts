/**
 * @file The sessions that training needs: body, head and optimiser. They hold no weights, so one set serves every
 * policy of the same shape: all adapters over one base, or several copies of a model.
 */

import { AdamWKernel } from "../model/adamw.ts";
import { DecoderBody } from "../model/body.ts";
import type { DecoderConfig } from "../model/config.ts";
import { DecoderHead } from "../model/head.ts";
import type { LoraSettings } from "../model/parameters.ts";
import type { OrtBackend } from "../ort/backend.ts";

export interface TrainingGraphsOptions {
  /** Train a low-rank adapter; the base stays frozen. */
  readonly lora?: LoraSettings;
  /** Bytes of logits in memory at once. Default 64 MB. */
  readonly headChunkBytes?: number;
}

/** The sessions of a forward pass; where nothing trains, no backward pass is compiled. */
export interface ScoringGraphs {
  readonly backend: OrtBackend;
  readonly config: DecoderConfig;
  readonly body: DecoderBody;
  readonly head: DecoderHead;
  dispose(): void;
}

export async function createScoringGraphs(
  backend: OrtBackend,
  config: DecoderConfig,
  { lora, headChunkBytes }: TrainingGraphsOptions = {},
): Promise<ScoringGraphs> {
  const body = await DecoderBody.create(backend, config, {
    trainable: "frozen-base",
    ...(lora === undefined ? {} : { lora }),
  });
  const head = await createHead(backend, config, false, headChunkBytes);
  return {
    ...{ backend, config, body, head },
    dispose: () => {
      body.dispose();
      head.dispose();
    },
  };
}

function createHead(
  backend: OrtBackend,
  { hiddenSize, vocabularySize }: DecoderConfig,
  trainable: boolean,
  headChunkBytes: number | undefined,
): Promise<DecoderHead> {
  return DecoderHead.create(backend, {
    ...{ hiddenSize, vocabularySize, trainable },
    ...(headChunkBytes === undefined ? {} : { chunkBytes: headChunkBytes }),
  });
}

export class TrainingGraphs implements ScoringGraphs {
  readonly backend: OrtBackend;
  readonly config: DecoderConfig;
  readonly lora: LoraSettings | null;
  readonly body: DecoderBody;
  readonly head: DecoderHead;
  readonly optimizer: AdamWKernel;

  private constructor(
    backend: OrtBackend,
    config: DecoderConfig,
    lora: LoraSettings | null,
    parts: { readonly body: DecoderBody; readonly head: DecoderHead; readonly optimizer: AdamWKernel },
  ) {
    this.backend = backend;
    this.config = config;
    this.lora = lora;
    this.body = parts.body;
    this.head = parts.head;
    this.optimizer = parts.optimizer;
  }

  static async create(
    backend: OrtBackend,
    config: DecoderConfig,
    { lora, headChunkBytes }: TrainingGraphsOptions = {},
  ): Promise<TrainingGraphs> {
    return new TrainingGraphs(backend, config, lora ?? null, {
      body: await DecoderBody.create(
        backend,
        config,
        lora ? { trainable: "frozen-base", lora } : { trainable: "full" },
      ),
      head: await createHead(backend, config, lora === undefined, headChunkBytes),
      optimizer: await AdamWKernel.create(backend),
    });
  }

  dispose(): void {
    this.body.dispose();
    this.head.dispose();
    this.optimizer.dispose();
  }
}
