/** @file Number formats by value, files by round trip, and headers that lie. */

import { readFileSync, writeFileSync } from "node:fs";
import { open, truncate } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { largest, narrow, widen } from "../../../../src/engine/local/checkpoint/number-formats.ts";
import {
  type ByteSink,
  type NamedTensor,
  SafetensorsFile,
  type WriteSafetensorsOptions,
  writeSafetensors,
} from "../../../../src/engine/local/checkpoint/safetensors.ts";
import { bits, fixture, temporaryFolder } from "./fixtures.ts";

const floatFromBits = (word: number) => new Float32Array(new Uint32Array([word]).buffer)[0]!;

function narrowed(format: "F16" | "BF16", values: readonly number[]): number[] {
  const target = new Uint16Array(values.length);
  narrow(format, Float32Array.from(values), target);
  return [...target];
}

function widened(format: "F16" | "BF16", words: readonly number[]): Float32Array {
  const target = new Float32Array(words.length);
  widen(format, Uint16Array.from(words), target);
  return target;
}

describe("16-bit formats", () => {
  test.each(["F16", "BF16"] as const)("%s: every value survives widening and narrowing", (format) => {
    const words = Array.from({ length: 65_536 }, (_, i) => i);
    const values = widened(format, words);
    const back = narrowed(format, [...values]);
    const wrong = words.filter((word) => back[word] !== word && !Number.isNaN(values[word]!));
    expect(wrong).toEqual([]);
  });

  // IEEE 754-2008, binary16.
  test.each([
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [3 * 2 ** -25, 0x0002],
    [1 / 3, 0x3555],
    [-0, 0x8000],
    [largest.F16, 0x7bff],
    [65520, 0x7c00],
  ])("F16 of %s is %i", (value, word) => {
    expect(narrowed("F16", [value])).toEqual([word]);
  });

  test.each([
    [1, 0x3f80],
    [1 + 2 ** -8, 0x3f80],
    [1 + 3 * 2 ** -8, 0x3f82],
    [3.3895313892515355e38, 0x7f7f],
    [largest.BF16, 0x7f7f],
    [floatFromBits(0x7f7f8000), 0x7f80],
  ])("BF16 of %s is %i", (value, word) => {
    expect(narrowed("BF16", [value])).toEqual([word]);
  });

  test.each(["F16", "BF16"] as const)("%s: narrowing gives the nearest value", (format) => {
    const step = format === "F16" ? 2 ** -11 : 2 ** -8;
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: Math.fround(-60000), max: 60000 }), (value) => {
        const result = widened(format, narrowed(format, [value]))[0]!;
        expect(Math.abs(result - value)).toBeLessThanOrEqual(Math.max(Math.abs(value) * step, 2 ** -25));
      }),
    );
  });
});

/** A sink that keeps the bytes. */
class Memory implements ByteSink {
  readonly file = "memory.safetensors";
  readonly chunks: Buffer[] = [];
  async write(bytes: Uint8Array): Promise<void> {
    this.chunks.push(Buffer.from(bytes));
  }
}

async function written(tensors: readonly NamedTensor[], options?: WriteSafetensorsOptions): Promise<string> {
  const sink = new Memory();
  await writeSafetensors(sink, tensors, options);
  const file = join(temporaryFolder(), "x.safetensors");
  writeFileSync(file, Buffer.concat(sink.chunks));
  return file;
}

async function read(file: string): Promise<NamedTensor[]> {
  const source = await SafetensorsFile.open(file);
  try {
    const tensors: NamedTensor[] = [];
    for (const { name, shape, elements } of source.tensors.values()) {
      const data = new Float32Array(elements);
      await source.readInto(name, data);
      tensors.push({ name, shape, data });
    }
    return tensors;
  } finally {
    await source.close();
  }
}

describe("files", () => {
  test("F32 round trip is bit-equal, whatever names and shapes", async () => {
    const tensor = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }).chain((shape) =>
      fc.record({
        shape: fc.constant(shape),
        data: fc.float32Array({
          noNaN: true,
          noDefaultInfinity: true,
          minLength: shape.reduce((a, b) => a * b, 1),
          maxLength: shape.reduce((a, b) => a * b, 1),
        }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(fc.string({ unit: "grapheme" }), tensor), {
          selector: ([name]) => name,
          maxLength: 6,
        }),
        async (entries) => {
          const tensors = entries
            .filter(([name]) => name !== "__metadata__")
            .map(([name, { shape, data }]) => ({ name, shape, data }));
          const again = new Map((await read(await written(tensors))).map((entry) => [entry.name, entry]));
          expect(again.size).toBe(tensors.length);
          for (const { name, shape, data } of tensors) {
            expect(again.get(name)!.shape).toEqual(shape);
            expect(bits(again.get(name)!.data)).toEqual(bits(data));
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test.each(["F32", "F16", "BF16"] as const)(
    "%s: a tensor larger than the staging buffer",
    async (format) => {
      // 2^22 + 3 elements: two full chunks of 16-bit values and a rest.
      const data = Float32Array.from({ length: (1 << 22) + 3 }, (_, i) => (i % 256) - 128);
      const file = await written([{ name: "big", shape: [data.length], data }], { format });
      const [again] = await read(file);
      expect(again!.data.length).toBe(data.length);
      // Not toEqual: it takes half a minute for so many elements.
      expect(Buffer.from(again!.data.buffer).equals(Buffer.from(data.buffer))).toBe(true);
    },
  );

  test("data begins at a multiple of 8 bytes", async () => {
    const file = await written([{ name: "odd-name", shape: [1], data: Float32Array.of(1) }]);
    expect(Number(readFileSync(file).readBigUInt64LE()) % 8).toBe(0);
  });

  test("subarrays of one flat buffer are read and written in place", async () => {
    const flat = new Float32Array(64).fill(7);
    const file = await written([{ name: "x", shape: [2, 8], data: flat.subarray(16, 32) }]);
    const target = new Float32Array(64);
    const source = await SafetensorsFile.open(file);
    await source.readInto("x", target.subarray(16, 32));
    await source.close();
    expect(target.filter((value) => value === 7)).toHaveLength(16);
    expect(target[15]! + target[32]!).toBe(0);
  });

  test("a dtype that is not read is refused by name", async () => {
    const file = await written([{ name: "x", shape: [2], data: Float32Array.of(1, 2) }]);
    writeFileSync(file, readFileSync(file).toString("latin1").replace('"F32"', '"I32"'), "latin1");
    await expect(read(file)).rejects.toMatchObject({
      code: "E_CHECKPOINT_UNSUPPORTED",
      message: expect.stringContaining('tensor "x" is stored as I32'),
    });
  });

  test("a file that becomes shorter while it is open", async () => {
    const file = await written([{ name: "x", shape: [1000], data: new Float32Array(1000).fill(1) }]);
    const source = await SafetensorsFile.open(file);
    await truncate(file, 3000);
    await expect(source.readInto("x", new Float32Array(1000))).rejects.toThrow(
      /tensor "x" ends after \d+ of 4000 bytes/,
    );
    await source.close();
  });
});

describe("headers that lie", () => {
  const entry = (begin: number, end: number, extra: object = {}) => ({
    dtype: "F32",
    shape: [(end - begin) / 4],
    data_offsets: [begin, end],
    ...extra,
  });

  async function opened(header: unknown, dataBytes: number, length?: bigint): Promise<void> {
    const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(length ?? BigInt(json.length));
    const file = join(temporaryFolder(), "lie.safetensors");
    writeFileSync(file, Buffer.concat([prefix, json, Buffer.alloc(dataBytes)]));
    await (await SafetensorsFile.open(file)).close();
  }

  test("the same helper accepts a true one", async () => {
    await opened({ a: entry(0, 8), b: entry(8, 8), c: entry(8, 12), __metadata__: { format: "pt" } }, 12);
  });

  test.each([
    ["cut off", { a: entry(0, 8) }, 7, /tensor "a" is cut off: the file has \d+ bytes of \d+/],
    ["bytes after the end", { a: entry(0, 8) }, 9, /it has 1 bytes after its last tensor/],
    ["a gap", { a: entry(0, 4), b: entry(8, 12) }, 12, /tensor "b" leaves a gap after tensor "a"/],
    ["a gap at the begin", { a: entry(4, 8) }, 8, /tensor "a" leaves a gap after the header/],
    ["an overlap", { a: entry(0, 8), b: entry(4, 12) }, 12, /tensor "b" overlaps tensor "a"/],
    [
      "a shape that is too large",
      { a: entry(0, 8, { shape: [3] }) },
      8,
      /tensor "a" has 8 bytes of data; F32 \[3\] takes 12/,
    ],
    ["a negative size", { a: entry(0, 8, { shape: [-2, -1] }) }, 8, /tensor "a" has the shape \[-2,-1\]/],
    ["a size beyond 2^53", { a: entry(0, 8, { shape: [2 ** 60, 0] }) }, 8, /tensor "a" has the shape/],
    [
      "offsets the wrong way round",
      { a: entry(8, 0, { shape: [0] }) },
      8,
      /tensor "a" has data_offsets \[8,0\]/,
    ],
    [
      "an unknown dtype",
      { a: entry(0, 8, { dtype: "toString" }) },
      8,
      /tensor "a" has the unknown dtype "toString"/,
    ],
    ["no entry at all", { a: null }, 0, /tensor "a" has the unknown dtype undefined/],
    ["metadata that is not text", { __metadata__: { a: 1 } }, 0, /__metadata__ is not a map of strings/],
    ["a list", "[]", 0, /its header is not a JSON object/],
    ["not JSON", "{", 0, /its header is not JSON/],
    [
      "the same name twice",
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
      8,
      /tensor "a" leaves a gap after the header/,
    ],
  ])("%s", async (_name, header, dataBytes, message) => {
    const opening = opened(header, dataBytes);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toMatchObject({
      code: "E_CHECKPOINT_FORMAT",
      message: expect.stringContaining("lie.safetensors is not a valid safetensors file"),
    });
  });

  test.each([
    ["longer than the file", 1000n, /it ends within its header \(10 bytes of 1008\)/],
    ["absurdly long", 2n ** 63n, /its header would be \d+ bytes long/],
  ])("a header length %s", async (_name, length, message) => {
    await expect(opened("{}", 0, length)).rejects.toThrow(message);
  });

  test("every truncation and every flipped byte of a header is refused or harmless", async () => {
    const bytes = readFileSync(fixture("adapters/llama-lora/adapter_model.safetensors"));
    const folder = temporaryFolder();
    const file = join(folder, "x.safetensors");
    const tryOpen = async (changed: Buffer): Promise<string> => {
      writeFileSync(file, changed);
      try {
        await (await SafetensorsFile.open(file)).close();
        return "opened";
      } catch (error) {
        return (error as { code?: string }).code ?? String(error);
      }
    };
    for (let length = 0; length < bytes.length; length += 97) {
      expect(await tryOpen(bytes.subarray(0, length))).toBe("E_CHECKPOINT_FORMAT");
    }
    const headerEnd = 8 + Number(bytes.readBigUInt64LE());
    for (let at = 0; at < headerEnd; at += 13) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 0x10;
      // A changed letter of a name is still a valid file; the comparison with the model's names finds it.
      expect(["opened", "E_CHECKPOINT_FORMAT"]).toContain(await tryOpen(changed));
    }
  });

  test("no file, and a folder in its place", async () => {
    await expect(SafetensorsFile.open("/nowhere/x.safetensors")).rejects.toMatchObject({
      code: "E_CHECKPOINT_MISSING_FILE",
    });
    await expect(SafetensorsFile.open(temporaryFolder())).rejects.toMatchObject({ name: "CheckpointError" });
  });

  test("handles are closed after a refusal", async () => {
    const file = fixture("models/llama/config.json");
    for (let i = 0; i < 50; i++)
      await expect(SafetensorsFile.open(file)).rejects.toThrow(/not a valid safetensors/);
    await (await open(file)).close();
  });
});
