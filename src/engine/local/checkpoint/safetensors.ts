/**
 * @file Reads tensors of a safetensors file straight into their place in a flat `Float32Array`, and writes them from
 * there. The file is never in memory as a whole; 16-bit formats pass through one small staging buffer.
 */

import { type FileHandle, open } from "node:fs/promises";
import { endianness } from "node:os";
import { CheckpointError, readError } from "./checkpoint-error.ts";
import { largest, narrow, type WeightFormat, widen } from "./number-formats.ts";
import { damaged, readHeader, type SafetensorsHeader, type TensorEntry } from "./safetensors-header.ts";

export type { WeightFormat } from "./number-formats.ts";
export type { SafetensorsHeader, TensorEntry } from "./safetensors-header.ts";

/** Bytes read or converted at a time. */
const chunkBytes = 4 << 20;

/** An open file whose header is known to be valid. Close it. */
export class SafetensorsFile {
  readonly header: SafetensorsHeader;
  readonly #handle: FileHandle;
  #staging: Uint16Array | undefined;

  private constructor(handle: FileHandle, header: SafetensorsHeader) {
    this.#handle = handle;
    this.header = header;
  }

  static async open(file: string): Promise<SafetensorsFile> {
    requireLittleEndian();
    const handle = await open(file, "r").catch((cause) => {
      throw readError(cause, file);
    });
    try {
      return new SafetensorsFile(handle, await readHeader(handle, file));
    } catch (cause) {
      await handle.close();
      throw readError(cause, file);
    }
  }

  get file(): string {
    return this.header.file;
  }

  get tensors(): ReadonlyMap<string, TensorEntry> {
    return this.header.tensors;
  }

  /** Fills `target`, which must have the tensor's number of elements. NaN and infinity are errors. */
  async readInto(name: string, target: Float32Array): Promise<void> {
    const entry = this.header.tensors.get(name);
    if (!entry) throw damaged(this.file, "is missing", name);
    if (entry.elements !== target.length) {
      throw new RangeError(
        `Tensor "${name}" has ${entry.elements} elements; its place has ${target.length}.`,
      );
    }
    if (entry.dtype === "F32") {
      await this.#readBytes(entry, 0, new Uint8Array(target.buffer, target.byteOffset, target.byteLength));
    } else if (entry.dtype === "F16" || entry.dtype === "BF16") {
      this.#staging ??= new Uint16Array(chunkBytes / 2);
      for (let from = 0; from < target.length; from += this.#staging.length) {
        const part = target.subarray(from, from + this.#staging.length);
        const raw = this.#staging.subarray(0, part.length);
        await this.#readBytes(entry, from * 2, new Uint8Array(raw.buffer, 0, raw.byteLength));
        widen(entry.dtype, raw, part);
      }
    } else {
      throw new CheckpointError({
        code: "E_CHECKPOINT_UNSUPPORTED",
        message: `${this.file}: tensor "${name}" is stored as ${entry.dtype}; F32, F16 and BF16 are read.`,
        hint: "convert the checkpoint to BF16 or F32 (quantised checkpoints cannot be trained).",
        facts: { file: this.file, tensor: name, dtype: entry.dtype },
      });
    }
    requireFinite(target, name, this.file);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #readBytes(entry: TensorEntry, from: number, target: Uint8Array): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const length = Math.min(target.length - done, chunkBytes);
      const { bytesRead } = await this.#handle.read(target, done, length, entry.position + from + done);
      // The header was checked against the file's size, so the file became shorter since.
      if (bytesRead === 0)
        throw damaged(this.file, `ends after ${from + done} of ${entry.bytes} bytes`, entry.name);
      done += bytesRead;
    }
  }
}

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Where bytes go: a file of an {@link AtomicFolder}, or anything that keeps their order. */
export interface ByteSink {
  /** Named in errors. */
  readonly file: string;
  /** The bytes may be reused by the caller once the promise resolves. `part` says in errors what they were. */
  write(bytes: Uint8Array, part?: string): Promise<void>;
}

export interface WriteSafetensorsOptions {
  /** Default "F32". */
  readonly format?: WeightFormat;
  /** Default `{ format: "pt" }`, which transformers asks for. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Writes the tensors in the given order. NaN, infinity and values beyond the format's range are errors. */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: readonly NamedTensor[],
  { format = "F32", metadata = { format: "pt" } }: WriteSafetensorsOptions = {},
): Promise<void> {
  requireLittleEndian();
  for (const { name, data } of tensors) requireFinite(data, name, sink.file, format);
  await sink.write(headerBytes(tensors, format, metadata), "the header");
  const staging = format === "F32" ? undefined : new Uint16Array(chunkBytes / 2);
  for (const { name, data } of tensors) {
    const part = `tensor "${name}"`;
    const step = staging?.length ?? chunkBytes / 4;
    for (let from = 0; from < data.length; from += step) {
      const values = data.subarray(from, from + step);
      if (format === "F32" || !staging) {
        await sink.write(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), part);
      } else {
        narrow(format, values, staging);
        await sink.write(new Uint8Array(staging.buffer, 0, values.length * 2), part);
      }
    }
  }
}

function headerBytes(
  tensors: readonly NamedTensor[],
  format: WeightFormat,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const width = format === "F32" ? 4 : 2;
  let offset = 0;
  const entries: [string, unknown][] = [["__metadata__", metadata]];
  const names = new Set<string>();
  for (const { name, shape, data } of tensors) {
    const elements = shape.reduce((a, b) => a * b, 1);
    if (elements !== data.length || names.has(name) || name === "__metadata__") {
      throw new RangeError(
        `Tensor "${name}" of shape [${shape}] with ${data.length} elements cannot be written.`,
      );
    }
    names.add(name);
    const end = offset + elements * width;
    entries.push([name, { dtype: format, shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  // Data begins at a multiple of 8 bytes, so that readers can map it.
  const bytes = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, " ");
  bytes.writeBigUInt64LE(BigInt(bytes.length - 8));
  bytes.set(json, 8);
  return bytes;
}

/** float32 values sum in float64 without overflow, so the sum is finite exactly if every value is. */
function requireFinite(data: Float32Array, tensor: string, file: string, format: WeightFormat = "F32"): void {
  const limit = largest[format];
  let sum = 0;
  let peak = 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    sum += value;
    if (format !== "F32") peak = Math.max(peak, Math.abs(value));
  }
  if (Number.isFinite(sum) && peak <= limit) return;
  const index = data.findIndex((value) => !(Math.abs(value) <= limit));
  const value = data[index];
  const overflow = Number.isFinite(value);
  throw new CheckpointError({
    code: "E_CHECKPOINT_VALUES",
    message: `${file}: tensor "${tensor}" holds ${value} at element ${index} of ${data.length}${overflow ? `, which ${format} cannot hold` : ""}.`,
    hint: overflow
      ? "save in F32 or BF16."
      : "training diverged or the file is damaged; go back to an earlier checkpoint, and lower the learning rate or clip gradients.",
    facts: { file, tensor, index, value: String(value) },
  });
}

function requireLittleEndian(): void {
  if (endianness() === "LE") return;
  throw new CheckpointError({
    code: "E_CHECKPOINT_UNSUPPORTED",
    message: "Checkpoints are little-endian and this processor is big-endian.",
    hint: "run on x86-64 or arm64.",
  });
}
