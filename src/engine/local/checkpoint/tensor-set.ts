/**
 * @file The tensors of a model or adapter, in one file or in shards: found by name, compared with what the model
 * needs, and read into a flat buffer.
 */

import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { ParameterTable } from "../model/parameters.ts";
import { CheckpointError } from "./checkpoint-error.ts";
import { readOptionalJsonFile } from "./json-file.ts";
import { isPlainName } from "./manifest.ts";
import { SafetensorsFile, type TensorEntry } from "./safetensors.ts";

interface Place {
  readonly entry: TensorEntry;
  readonly shard: SafetensorsFile;
}

/** Shapes by name, as `decoderShapes` and `adapterShapes` give them. */
export type Shapes = readonly (readonly [name: string, shape: readonly number[]])[];

/** Open files and their tensors. Close it. */
export class TensorSet {
  /** Named in errors. */
  readonly origin: string;
  readonly #shards: readonly SafetensorsFile[];
  readonly #places: ReadonlyMap<string, Place>;

  private constructor(
    origin: string,
    shards: readonly SafetensorsFile[],
    places: ReadonlyMap<string, Place>,
  ) {
    this.origin = origin;
    this.#shards = shards;
    this.#places = places;
  }

  static async openFile(file: string): Promise<TensorSet> {
    const shard = await SafetensorsFile.open(file);
    return new TensorSet(
      file,
      [shard],
      new Map([...shard.tensors].map(([name, entry]) => [name, { entry, shard }])),
    );
  }

  /** `model.safetensors`, or the shards that `model.safetensors.index.json` names. */
  static async openModel(folder: string): Promise<TensorSet> {
    const indexFile = join(folder, "model.safetensors.index.json");
    const names = new Set(await readdir(folder));
    if (names.has("model.safetensors")) return TensorSet.openFile(join(folder, "model.safetensors"));
    const index = await readOptionalJsonFile(indexFile);
    if (index === undefined) throw noWeights(folder, names);
    return TensorSet.#openShards(folder, indexFile, shardNames(index, indexFile));
  }

  static async #openShards(
    folder: string,
    indexFile: string,
    weightMap: ReadonlyMap<string, string>,
  ): Promise<TensorSet> {
    const shards = new Map<string, SafetensorsFile>();
    try {
      for (const name of new Set(weightMap.values())) {
        shards.set(name, await SafetensorsFile.open(join(folder, name)));
      }
      return new TensorSet(indexFile, [...shards.values()], placesOf(weightMap, shards, indexFile));
    } catch (cause) {
      await Promise.all([...shards.values()].map((shard) => shard.close()));
      throw cause;
    }
  }

  get names(): readonly string[] {
    return [...this.#places.keys()];
  }

  /** Number formats in use, for reports. */
  get formats(): readonly string[] {
    return [...new Set([...this.#places.values()].map(({ entry }) => entry.dtype))].sort();
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /**
   * Reports every missing, unexpected and differently shaped tensor at once. `nameOf` turns the engine's name into
   * the file's; tensors for which `ignored` holds may be there.
   */
  check(shapes: Shapes, nameOf: (name: string) => string, ignored: (name: string) => boolean): void {
    const missing: string[] = [];
    const shaped: string[] = [];
    const expected = new Set<string>();
    for (const [name, shape] of shapes) {
      const stored = nameOf(name);
      expected.add(stored);
      const place = this.#places.get(stored);
      if (!place) missing.push(stored);
      else if (!sameShape(place.entry.shape, shape)) {
        shaped.push(`${stored} is [${place.entry.shape}] instead of [${shape}]`);
      }
    }
    const unexpected = this.names.filter((name) => !expected.has(name) && !ignored(name));
    if (missing.length + shaped.length + unexpected.length === 0) return;
    throw new CheckpointError({
      code: "E_CHECKPOINT_TENSORS",
      message: `${this.origin} does not fit its config: ${[
        list("missing", missing),
        list("of another shape", shaped),
        list("unexpected", unexpected),
      ]
        .filter(Boolean)
        .join("; ")}.`,
      hint: "check that config and weights belong together and that every shard is complete.",
      facts: { file: this.origin, missing, shaped, unexpected },
    });
  }

  /** Reads one tensor. */
  async readInto(name: string, target: Float32Array): Promise<void> {
    const place = this.#places.get(name);
    if (!place) throw new RangeError(`${this.origin} has no tensor "${name}".`);
    await place.shard.readInto(name, target);
  }

  /** Reads the tensors of `shapes` to where `table` has them; a table of another model is refused before. */
  async readAll(
    shapes: Shapes,
    table: ParameterTable,
    flat: Float32Array,
    nameOf: (name: string) => string,
  ): Promise<void> {
    const wrong = shapes.flatMap(([name, shape]) => {
      const place = table.byName.get(name);
      if (!place) return [`${name} has no place`];
      return sameShape(place.shape, shape)
        ? []
        : [`${name} is [${shape}] in the file and [${place.shape}] here`];
    });
    if (wrong.length > 0) {
      throw new CheckpointError({
        code: "E_CHECKPOINT_TENSORS",
        message: `${this.origin} is of another model than the one it is read into: ${sample(wrong)}.`,
        hint: "restore into a policy of the same base model and the same adapter settings.",
        facts: { file: this.origin, wrong },
      });
    }
    for (const [name] of shapes) {
      const { offset, length } = table.byName.get(name)!;
      await this.readInto(nameOf(name), flat.subarray(offset, offset + length));
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#shards.map((shard) => shard.close()));
  }
}

function shardNames(index: unknown, file: string): ReadonlyMap<string, string> {
  const map = (index as { readonly weight_map?: unknown } | null)?.weight_map;
  const entries = typeof map === "object" && map !== null ? Object.entries(map) : [];
  const valid = entries.every(([, shard]) => typeof shard === "string" && isPlainName(shard));
  if (entries.length === 0 || !valid) {
    throw new CheckpointError({
      code: "E_CHECKPOINT_FORMAT",
      message: `${file} has no usable weight_map (tensor name → file of the same folder).`,
      hint: "download the file again.",
      facts: { file },
    });
  }
  return new Map(entries as [string, string][]);
}

/** The index and the shards must agree: each tensor is where the index says, and nothing else is there. */
function placesOf(
  weightMap: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, SafetensorsFile>,
  indexFile: string,
): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  const wrong: string[] = [];
  for (const [name, shardName] of weightMap) {
    const shard = shards.get(shardName)!;
    const entry = shard.tensors.get(name);
    if (entry) places.set(name, { entry, shard });
    else wrong.push(`${name} is not in ${shardName}`);
  }
  for (const [shardName, shard] of shards) {
    for (const name of shard.tensors.keys()) {
      if (weightMap.get(name) !== shardName)
        wrong.push(`${shardName} has ${name}, which the index does not place there`);
    }
  }
  if (wrong.length === 0) return places;
  throw new CheckpointError({
    code: "E_CHECKPOINT_TENSORS",
    message: `${indexFile} and its shards disagree: ${sample(wrong)}.`,
    hint: "download index and shards again, from one revision.",
    facts: { file: indexFile, wrong },
  });
}

function noWeights(folder: string, names: ReadonlySet<string>): CheckpointError {
  const other = [...names].filter((name) => /\.(bin|gguf|pt|pth|h5|msgpack|onnx)$/.test(name));
  return new CheckpointError({
    code: "E_CHECKPOINT_MISSING_FILE",
    message: `${folder} has neither model.safetensors nor model.safetensors.index.json${other.length > 0 ? ` (only ${sample(other.map((name) => basename(name)))})` : ""}.`,
    hint:
      other.length > 0
        ? "choose a revision with safetensors, or convert: load it in transformers and call save_pretrained."
        : "check the path; a model from the hub comes with `troupe pull <org/name>`.",
    facts: { folder, other },
  });
}

const sameShape = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((size, i) => size === b[i]);

const list = (what: string, names: readonly string[]) =>
  names.length === 0 ? "" : `${names.length} ${what} (${sample(names)})`;

/** Enough names to see the pattern; the rest are in the error's facts. */
const sample = (names: readonly string[]) =>
  names.length <= 12 ? names.join(", ") : `${names.slice(0, 12).join(", ")} and ${names.length - 12} more`;
