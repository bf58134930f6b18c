/** @file Which binding a backend gets, and why. */

import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

const source = "../../../../src/engine/local/ort";

describe("opening a backend", () => {
  beforeEach(() => {
    vi.resetModules();
  });
  afterEach(() => {
    vi.doUnmock(`${source}/ffi.ts`);
    vi.unstubAllEnvs();
  });

  const openWithoutKoffi = async () => {
    vi.doMock(`${source}/ffi.ts`, () => ({
      FfiBackend: class {
        constructor() {
          throw new Error("no koffi for this platform");
        }
      },
    }));
    return (await import("../../../../src/engine/local/ort/open.ts")).openBackend;
  };

  it("takes the C API by default", async () => {
    const { openBackend } = await import("../../../../src/engine/local/ort/open.ts");
    const backend = await openBackend();
    expect(backend.kind).toBe("ffi");
    backend.dispose();
  });

  it("falls back to the stock binding, with the reason as a warning", async () => {
    const openBackend = await openWithoutKoffi();
    const warned = once(process, "warning");
    const backend = await openBackend({ threads: 1 });
    expect(backend.kind).toBe("stock");
    const [warning] = (await warned) as [Error & { code: string }];
    expect([warning.code, warning.message]).toEqual([
      "TROUPE_ORT_FALLBACK",
      expect.stringMatching(/onnxruntime-node.*no koffi for this platform/),
    ]);
  });

  it("does not fall back from a binding that was named, nor from a library that was named", async () => {
    const openBackend = await openWithoutKoffi();
    await expect(openBackend({ backend: "ffi" })).rejects.toThrow("no koffi for this platform");
    await expect(openBackend({ libraryPath: "/opt/other.so" })).rejects.toThrow("no koffi for this platform");
    vi.stubEnv("TROUPE_ORT_LIBRARY", "/opt/other.so");
    await expect(openBackend()).rejects.toThrow("no koffi for this platform");
  });

  it("names a missing library", async () => {
    vi.stubEnv("TROUPE_ORT_LIBRARY", "/nowhere/libonnxruntime.so.1");
    const { openBackend } = await import("../../../../src/engine/local/ort/open.ts");
    await expect(openBackend()).rejects.toThrow(/no file \/nowhere\/libonnxruntime\.so\.1/);
  });
});
