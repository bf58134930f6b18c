/** @file Where the ONNX Runtime shared library lies: in the onnxruntime-node package, or where the user says. */

import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { OrtLibraryError } from "./errors.ts";

/** The environment variable that names another build of the library, for example one with a GPU provider. */
export const libraryVariable = "TROUPE_ORT_LIBRARY";

/** The oldest API that the graphs need: opset 21 with IR version 10, and GroupQueryAttention over shared buffers. */
export const apiVersion = 20;

/** File names as the onnxruntime-node package ships them. */
const fileNames: Partial<Record<NodeJS.Platform, string>> = {
  linux: "libonnxruntime.so.1",
  darwin: "libonnxruntime.1.dylib",
  win32: "onnxruntime.dll",
};

export function libraryPath(environment: NodeJS.ProcessEnv = process.env): string {
  const chosen = environment[libraryVariable];
  if (chosen) return resolve(chosen);
  const { platform, arch } = process;
  const fileName = fileNames[platform];
  if (!fileName) throw missing(`onnxruntime-node ships no library for ${platform}-${arch}`, "");
  const require = createRequire(import.meta.url);
  let root: string;
  try {
    root = dirname(require.resolve("onnxruntime-node/package.json"));
  } catch (cause) {
    throw missing("the package onnxruntime-node is not installed", "", cause);
  }
  return join(root, "bin", "napi-v6", platform, arch, fileName);
}

export function missing(reason: string, path: string, cause?: unknown): OrtLibraryError {
  return new OrtLibraryError({
    code: "E_ORT_LIBRARY",
    message: `ONNX Runtime could not be loaded: ${reason}.`,
    hint: `reinstall onnxruntime-node, or name a library of version 1.${apiVersion} or newer in ${libraryVariable}.`,
    facts: { path },
    ...(cause === undefined ? {} : { cause }),
  });
}
