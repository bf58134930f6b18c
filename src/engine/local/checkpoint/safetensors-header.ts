/**
 * @file The header of a safetensors file, fully checked before any tensor is read.
 *
 * Format (github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON object
 * `{name: {dtype, shape, data_offsets: [begin, end]}, "__metadata__"?: {…}}` padded with spaces, then the data.
 * Spans are relative to the data, must follow each other without gap or overlap, and must fill the file.
 */

import type { FileHandle } from "node:fs/promises";
import { CheckpointError } from "./checkpoint-error.ts";

export interface TensorEntry {
  readonly name: string;
  /** "F32", "BF16", "I64", … */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly elements: number;
  /** First byte in the file. */
  readonly position: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  readonly file: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The reference implementation's limit. */
const largestHeader = 100_000_000;

const elementBytes: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
  C64: 8,
};

export async function readHeader(handle: FileHandle, file: string): Promise<SafetensorsHeader> {
  const fileBytes = (await handle.stat()).size;
  if (fileBytes < 8) throw damaged(file, `it has ${fileBytes} bytes; the header's length alone takes 8`);
  const prefix = await readExactly(handle, file, 8, 0);
  const headerBytes = Number(prefix.readBigUInt64LE());
  if (headerBytes > largestHeader) throw damaged(file, `its header would be ${headerBytes} bytes long`);
  if (8 + headerBytes > fileBytes) {
    throw damaged(file, `it ends within its header (${fileBytes} bytes of ${8 + headerBytes})`);
  }
  return parseHeader(await readExactly(handle, file, headerBytes, 8), file, fileBytes);
}

async function readExactly(
  handle: FileHandle,
  file: string,
  length: number,
  position: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw damaged(file, `it ends at byte ${position + done}`);
    done += bytesRead;
  }
  return bytes;
}

function parseHeader(text: Buffer, file: string, fileBytes: number): SafetensorsHeader {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (cause) {
    throw damaged(file, "its header is not JSON", undefined, cause);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw damaged(file, "its header is not a JSON object");
  }
  const dataPosition = 8 + text.length;
  const entries: TensorEntry[] = [];
  let metadata: Readonly<Record<string, string>> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") metadata = parseMetadata(value, file);
    else entries.push(parseEntry(name, value, file, dataPosition));
  }
  checkSpans(entries, file, dataPosition, fileBytes);
  return { file, tensors: new Map(entries.map((entry) => [entry.name, entry])), metadata };
}

function parseMetadata(value: unknown, file: string): Readonly<Record<string, string>> {
  const valid =
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every((item) => typeof item === "string");
  if (!valid) throw damaged(file, "its __metadata__ is not a map of strings");
  return value as Record<string, string>;
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function parseEntry(name: string, value: unknown, file: string, dataPosition: number): TensorEntry {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  const width =
    typeof dtype === "string" && Object.hasOwn(elementBytes, dtype) ? elementBytes[dtype] : undefined;
  if (width === undefined) throw damaged(file, `has the unknown dtype ${JSON.stringify(dtype)}`, name);
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw damaged(file, `has the shape ${JSON.stringify(shape)}, which is not a list of sizes`, name);
  }
  const [begin, end] = Array.isArray(offsets) && offsets.length === 2 ? offsets : [];
  if (!isSize(begin) || !isSize(end) || begin > end) {
    throw damaged(file, `has data_offsets ${JSON.stringify(offsets)}`, name);
  }
  const elements = shape.reduce((product: number, size: number) => product * size, 1);
  if (elements * width !== end - begin) {
    throw damaged(
      file,
      `has ${end - begin} bytes of data; ${dtype} ${JSON.stringify(shape)} takes ${elements * width}`,
      name,
    );
  }
  return {
    name,
    dtype: dtype as string,
    shape,
    elements,
    position: dataPosition + begin,
    bytes: end - begin,
  };
}

function checkSpans(
  entries: readonly TensorEntry[],
  file: string,
  dataPosition: number,
  fileBytes: number,
): void {
  let position = dataPosition;
  let previous: string | undefined;
  // Empty tensors sit at the begin of whatever follows them.
  for (const entry of entries.toSorted((a, b) => a.position - b.position || a.bytes - b.bytes)) {
    if (entry.position !== position) {
      const what = entry.position < position ? "overlaps" : "leaves a gap after";
      throw damaged(file, `${what} ${previous ? `tensor "${previous}"` : "the header"}`, entry.name);
    }
    position += entry.bytes;
    previous = entry.name;
  }
  if (position > fileBytes) {
    const cut = entries.find((entry) => entry.position + entry.bytes > fileBytes);
    throw damaged(file, `is cut off: the file has ${fileBytes} bytes of ${position}`, cut?.name);
  }
  if (position < fileBytes) throw damaged(file, `it has ${fileBytes - position} bytes after its last tensor`);
}

/** The file is truncated, tampered with, or something else. */
export function damaged(file: string, why: string, tensor?: string, cause?: unknown): CheckpointError {
  return new CheckpointError({
    code: "E_CHECKPOINT_FORMAT",
    message: `${file} is not a valid safetensors file: ${tensor === undefined ? why : `tensor "${tensor}" ${why}`}.`,
    hint: "it is truncated or was changed; download or copy it again, or fall back to an earlier checkpoint.",
    cause,
    facts: { file, ...(tensor === undefined ? {} : { tensor }) },
  });
}
