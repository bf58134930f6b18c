/**
 * @file Reads a Hugging Face model folder as it is downloaded, and writes one that other tools load.
 *
 * @example
 * const model = await ModelFolder.open("models/qwen3-0.6b");
 * const weights = new FlatTensors(backend, parameterTable(decoderShapes(model.config)));
 * await model.readWeights(weights.table, weights.flat);
 * await model.close();
 */

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { DecoderConfig } from "../model/config.ts";
import { decoderShapes, embeddingName, type ParameterTable } from "../model/parameters.ts";
import { architectureClass, parseConfig } from "../model/parse-config.ts";
import { type AtomicFolderOptions, type FolderWriter, recoverFolder, writeFolder } from "./atomic-folder.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import { type GenerationConfig, readGenerationConfig } from "./generation-config.ts";
import { readJsonFile } from "./json-file.ts";
import { type Manifest, verifyFolder } from "./manifest.ts";
import { type NamedTensor, type WeightFormat, writeSafetensors } from "./safetensors.ts";
import { type Shapes, TensorSet } from "./tensor-set.ts";

export interface OpenModelOptions {
  /** Use at most this many positions. Default: all that the model has. */
  readonly contextLength?: number;
  /** Compare the hashes of a folder that Troupe wrote. Default true. */
  readonly verify?: boolean;
}

const headWeight = "lm_head.weight";

/** Buffers that old checkpoints carry and that follow from the config. */
const derived = (name: string) => name.endsWith(".rotary_emb.inv_freq");
const sameName = (name: string) => name;

/** A folder whose config and tensor list are known to fit; weights are read on demand. Close it. */
export class ModelFolder {
  readonly folder: string;
  readonly config: DecoderConfig;
  /** `config.json` as the file has it. */
  readonly sourceConfig: Readonly<Record<string, unknown>>;
  readonly generation: GenerationConfig;
  /** Number formats of the files, for example ["BF16"]. */
  readonly formats: readonly string[];
  /** Present in folders that Troupe wrote. */
  readonly manifest: Manifest | undefined;
  readonly #tensors: TensorSet;
  readonly #shapes: Shapes;

  private constructor(
    parts: Omit<ModelFolder, "readWeights" | "close" | "formats"> & { readonly tensors: TensorSet },
  ) {
    this.folder = parts.folder;
    this.config = parts.config;
    this.sourceConfig = parts.sourceConfig;
    this.generation = parts.generation;
    this.manifest = parts.manifest;
    this.formats = parts.tensors.formats;
    this.#tensors = parts.tensors;
    this.#shapes = decoderShapes(parts.config);
  }

  /** Reads config and tensor lists; what does not fit is an error now, before any weight is read. */
  static async open(folder: string, options: OpenModelOptions = {}): Promise<ModelFolder> {
    await requireFolder(folder);
    const manifest = await verifyFolder(folder, { sizesOnly: options.verify === false });
    const { config, sourceConfig } = await readModelConfig(folder, options);
    const generation = await readGenerationConfig(folder, sourceConfig);
    const tensors = await TensorSet.openModel(folder);
    try {
      tensors.check(
        decoderShapes(config),
        sameName,
        (name) => derived(name) || (config.tiedHead && name === headWeight),
      );
      return new ModelFolder({ folder, config, sourceConfig, generation, manifest, tensors });
    } catch (cause) {
      await tensors.close();
      throw cause;
    }
  }

  /** Reads every tensor of the decoder to where `table` has it; other tensors of the table are left as they are. */
  async readWeights(table: ParameterTable, flat: Float32Array): Promise<void> {
    await this.#tensors.readAll(this.#shapes, table, flat, sameName);
    if (this.config.tiedHead && this.#tensors.has(headWeight)) await this.#checkTiedHead(table, flat);
  }

  close(): Promise<void> {
    return this.#tensors.close();
  }

  /** A stored head beside a tied embedding must be the same matrix, else one of the two would be dropped silently. */
  async #checkTiedHead(table: ParameterTable, flat: Float32Array): Promise<void> {
    const { offset, length } = table.byName.get(embeddingName)!;
    const head = new Float32Array(length);
    await this.#tensors.readInto(headWeight, head);
    const index = head.findIndex((value, i) => value !== flat[offset + i]);
    if (index < 0) return;
    throw new CheckpointError({
      code: "E_CHECKPOINT_TENSORS",
      message: `${this.#tensors.origin}: config.json ties the head to the embedding, but ${headWeight} differs from ${embeddingName} (first at element ${index}).`,
      hint: 'set "tie_word_embeddings": false in config.json to use the stored head, or remove the tensor to use the embedding.',
      facts: { file: this.#tensors.origin, tensor: headWeight, index },
    });
  }
}

/** Config alone, for plans and reports. */
export async function readModelConfig(
  folder: string,
  options: Pick<OpenModelOptions, "contextLength"> = {},
): Promise<{ readonly config: DecoderConfig; readonly sourceConfig: Readonly<Record<string, unknown>> }> {
  const file = join(folder, "config.json");
  const sourceConfig = await readJsonFile(file);
  const config = parseConfig(sourceConfig, {
    file,
    ...(options.contextLength === undefined ? {} : { contextLength: options.contextLength }),
  });
  return { config, sourceConfig: sourceConfig as Record<string, unknown> };
}

export async function requireFolder(folder: string): Promise<void> {
  await recoverFolder(folder);
  const entry = await stat(folder).catch(() => undefined);
  if (entry?.isDirectory()) return;
  throw new CheckpointError({
    code: "E_CHECKPOINT_MISSING_FILE",
    message: entry ? `${folder} is a file, not a model folder.` : `There is no model folder ${folder}.`,
    hint: "give the folder that holds config.json; a model from the hub comes with `troupe pull <org/name>`.",
    facts: { folder },
  });
}

/** Another file of a checkpoint: tensors (optimiser state, value head) or JSON (trainer state). */
export type ExtraFile =
  | { readonly name: string; readonly tensors: readonly NamedTensor[] }
  | { readonly name: string; readonly json: unknown };

export interface SaveModelOptions extends AtomicFolderOptions {
  /** Default "F32": reloads bit-equal. */
  readonly format?: WeightFormat;
  /** Folder whose tokenizer, chat template, generation config and licence are copied. */
  readonly copyFrom?: string;
  readonly extra?: readonly ExtraFile[];
}

/** Writes a folder that transformers, vLLM and `ModelFolder` load. Atomic; see `writeFolder`. */
export async function saveModelFolder(
  target: string,
  model: {
    readonly config: DecoderConfig;
    /** The `config.json` that the model came with: fields that the engine does not know are kept. */
    readonly sourceConfig: Readonly<Record<string, unknown>>;
    readonly table: ParameterTable;
    readonly flat: Float32Array;
  },
  options: SaveModelOptions = {},
): Promise<Manifest> {
  const format = options.format ?? "F32";
  const tensors = namedTensors(decoderShapes(model.config), model.table, model.flat);
  return writeFolder(
    target,
    async (folder) => {
      await folder.json("config.json", savedConfig(model.config, model.sourceConfig, format));
      await folder.file("model.safetensors", (sink) => writeSafetensors(sink, tensors, { format }));
      if (options.copyFrom !== undefined) await copyCompanions(folder, options.copyFrom);
      await writeExtras(folder, options.extra ?? []);
    },
    options,
  );
}

/** Views of a flat buffer under their names; no copies. */
export function namedTensors(
  shapes: Shapes,
  table: ParameterTable,
  flat: Float32Array,
  nameOf: (name: string) => string = sameName,
): NamedTensor[] {
  return shapes.map(([name, shape]) => {
    const parameter = table.byName.get(name);
    if (!parameter) throw new RangeError(`The parameter table has no "${name}".`);
    return {
      name: nameOf(name),
      shape,
      data: flat.subarray(parameter.offset, parameter.offset + parameter.length),
    };
  });
}

export async function writeExtras(folder: FolderWriter, extras: readonly ExtraFile[]): Promise<void> {
  for (const extra of extras) {
    if ("tensors" in extra) await folder.file(extra.name, (sink) => writeSafetensors(sink, extra.tensors));
    else await folder.json(extra.name, extra.json);
  }
}

const formatNames: Readonly<Record<WeightFormat, string>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

/** Both names of the number format: `torch_dtype` for transformers 4 and most other tools, `dtype` for 5. */
function savedConfig(
  config: DecoderConfig,
  source: Readonly<Record<string, unknown>>,
  format: WeightFormat,
): Readonly<Record<string, unknown>> {
  return {
    ...source,
    architectures: [architectureClass[config.architecture]],
    model_type: config.architecture,
    tie_word_embeddings: config.tiedHead,
    torch_dtype: formatNames[format],
    dtype: formatNames[format],
  };
}

const companions = new Set([
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "chat_template.json",
  "generation_config.json",
  "LICENSE",
  "LICENSE.txt",
  "LICENSE.md",
  "NOTICE",
]);

/** A replaced target is still in place while the new folder is written, so it can be its own source. */
async function copyCompanions(folder: FolderWriter, from: string): Promise<void> {
  await requireFolder(from);
  for (const name of (await readdir(from)).sort()) {
    if (companions.has(name)) await folder.copy(name, join(from, name));
  }
}
