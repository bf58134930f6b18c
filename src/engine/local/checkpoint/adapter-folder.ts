/** @file Reads and writes PEFT LoRA adapters: `adapter_config.json` + `adapter_model.safetensors`. */

import { join } from "node:path";
import type { DecoderConfig } from "../model/config.ts";
import { adapterShapes, type LoraSettings, type ParameterTable } from "../model/parameters.ts";
import { parseAdapterConfig, writtenAdapterConfig } from "./adapter-config.ts";
import { type AtomicFolderOptions, writeFolder } from "./atomic-folder.ts";
import { readJsonFile } from "./json-file.ts";
import { type Manifest, verifyFolder } from "./manifest.ts";
import { type ExtraFile, namedTensors, requireFolder, writeExtras } from "./model-folder.ts";
import { type WeightFormat, writeSafetensors } from "./safetensors.ts";
import { TensorSet } from "./tensor-set.ts";

const configName = "adapter_config.json";
const weightsName = "adapter_model.safetensors";

/** PEFT wraps the model twice: `model.layers.0…` becomes `base_model.model.model.layers.0…`. */
const peftName = (name: string) => `base_model.model.${name}`;

/** An adapter whose settings and tensors are known to fit its base. Close it. */
export class AdapterFolder {
  readonly folder: string;
  readonly lora: LoraSettings;
  readonly baseModel: string | undefined;
  readonly manifest: Manifest | undefined;
  readonly #tensors: TensorSet;
  readonly #config: DecoderConfig;

  private constructor(
    parts: Pick<AdapterFolder, "folder" | "lora" | "baseModel" | "manifest">,
    tensors: TensorSet,
    config: DecoderConfig,
  ) {
    this.folder = parts.folder;
    this.lora = parts.lora;
    this.baseModel = parts.baseModel;
    this.manifest = parts.manifest;
    this.#tensors = tensors;
    this.#config = config;
  }

  /** `config` is that of the base model. */
  static async open(
    folder: string,
    config: DecoderConfig,
    options: { readonly verify?: boolean } = {},
  ): Promise<AdapterFolder> {
    await requireFolder(folder);
    const manifest = await verifyFolder(folder, { sizesOnly: options.verify === false });
    const json = await readJsonFile(join(folder, configName));
    const lora = parseAdapterConfig(json, join(folder, configName), config);
    const base = (json as { readonly base_model_name_or_path?: unknown }).base_model_name_or_path;
    const baseModel = typeof base === "string" ? base : undefined;
    const tensors = await TensorSet.openFile(join(folder, weightsName));
    try {
      tensors.check(adapterShapes(config, lora), peftName, () => false);
      return new AdapterFolder({ folder, lora, baseModel, manifest }, tensors, config);
    } catch (cause) {
      await tensors.close();
      throw cause;
    }
  }

  /** `table` has the shapes of `adapterShapes(config, lora)`. */
  readWeights(table: ParameterTable, flat: Float32Array): Promise<void> {
    return this.#tensors.readAll(adapterShapes(this.#config, this.lora), table, flat, peftName);
  }

  close(): Promise<void> {
    return this.#tensors.close();
  }
}

export interface SaveAdapterOptions extends AtomicFolderOptions {
  /** Default "F32": reloads bit-equal. */
  readonly format?: WeightFormat;
  /** What `base_model_name_or_path` says; PEFT's AutoPeftModel loads the base from it. */
  readonly baseModel: string;
  readonly extra?: readonly ExtraFile[];
}

/** Writes a folder that PEFT and vLLM load. Atomic; see `writeFolder`. */
export async function saveAdapterFolder(
  target: string,
  adapter: {
    readonly config: DecoderConfig;
    readonly lora: LoraSettings;
    readonly table: ParameterTable;
    readonly flat: Float32Array;
  },
  options: SaveAdapterOptions,
): Promise<Manifest> {
  const shapes = adapterShapes(adapter.config, adapter.lora);
  const tensors = namedTensors(shapes, adapter.table, adapter.flat, peftName);
  return writeFolder(
    target,
    async (folder) => {
      await folder.json(configName, writtenAdapterConfig(adapter.lora, options.baseModel));
      await folder.file(weightsName, (sink) =>
        writeSafetensors(sink, tensors, { format: options.format ?? "F32" }),
      );
      await writeExtras(folder, options.extra ?? []);
    },
    options,
  );
}
