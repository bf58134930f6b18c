/** @file The function table against the header's order of functions, and the library against the handshake. */

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import koffi from "koffi";
import { describe, expect, it } from "vitest";
import { functionTable } from "../../../../src/engine/local/ort/function-table.ts";
import { loadLibrary } from "../../../../src/engine/local/ort/library.ts";
import { libraryPath } from "../../../../src/engine/local/ort/library-location.ts";

/** Names in the order of `struct OrtApi`, read from onnxruntime_c_api.h of API version 29. */
const names: readonly string[] = JSON.parse(
  readFileSync(new URL("fixtures/api-functions.json", import.meta.url), "utf8"),
);

/** Positions that ONNX Runtime asserts at compile time, or that other bindings publish. */
const anchors = {
  CreateEnv: 3,
  CreateSessionFromArray: 8,
  Run: 9,
  CreateTensorWithDataAsOrtValue: 49,
  GetTensorMutableData: 51,
  CreateMemoryInfo: 68,
  CreateAllocator: 131,
  RunWithBinding: 133,
  CreateIoBinding: 134,
  BindOutputToDevice: 138,
  SessionOptionsAppendExecutionProvider: 216,
  CopyTensors: 386,
  SessionReleaseCapturedGraph: 421,
  KernelContext_GetSyncStream: 423,
  SessionOptionsSetWeightlessSourceModelBuffer: 424,
} as const;

describe("the function table", () => {
  it("agrees with the published positions", () => {
    expect(names).toHaveLength(425);
    for (const [name, index] of Object.entries(anchors)) expect(names.indexOf(name), name).toBe(index);
  });

  it("has each function at its place in the header", () => {
    const places = Object.entries(functionTable).map(([name, { index }]) => [name, index] as const);
    expect(places).toEqual(places.map(([name]) => [name, names.indexOf(name)]));
  });

  it("asks for nothing newer than API version 8", () => {
    const newest = Math.max(...Object.values(functionTable).map(({ index }) => index));
    expect(names[newest]).toBe("AddRunConfigEntry");
  });
});

describe("the library", () => {
  it("is the version that the package pins, and keeps one table for all API versions", () => {
    const { version, path } = loadLibrary();
    expect(version).toBe("1.30.0");
    const base = koffi.load(path).func("OrtGetApiBase", "void *", [])() as bigint;
    const [getApi] = koffi.decode(base, "void *", 2) as bigint[];
    const apiOf = (api: number) =>
      koffi.call(getApi, koffi.proto("void *", ["uint32_t"]), api) as bigint | null;
    expect(apiOf(29)).toBe(apiOf(30));
    expect(apiOf(20)).toBe(apiOf(30));
  });

  it("is found in onnxruntime-node, or where the variable says", () => {
    expect(libraryPath({})).toMatch(/onnxruntime-node/);
    const chosen = resolve("libonnxruntime.so");
    expect(libraryPath({ TROUPE_ORT_LIBRARY: chosen })).toBe(chosen);
    expect(libraryPath({ TROUPE_ORT_LIBRARY: "libonnxruntime.so" })).toBe(chosen);
  });

  it("says which file is missing, and how to name another", () => {
    expect(() => loadLibrary("/nowhere/libonnxruntime.so.1")).toThrow(
      expect.objectContaining({
        code: "E_ORT_LIBRARY",
        message: expect.stringMatching(/\/nowhere\/.*\n.*TROUPE_ORT/),
      }),
    );
  });

  it("refuses files that are no library, and libraries that are something else", () => {
    const text = fileURLToPath(import.meta.url);
    expect(() => loadLibrary(text)).toThrow(
      expect.objectContaining({ code: "E_ORT_LIBRARY", message: expect.stringContaining(text) }),
    );
    const { sharedObjects } = process.report.getReport() as unknown as { sharedObjects: readonly string[] };
    const mathematics = sharedObjects.find((path) => /libm\.|libSystem\.|kernel32/i.test(path))!;
    expect(() => loadLibrary(mathematics)).toThrow(
      expect.objectContaining({ code: "E_ORT_LIBRARY", message: expect.stringContaining("OrtGetApiBase") }),
    );
  });
});
