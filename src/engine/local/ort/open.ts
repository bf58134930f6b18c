/** @file Opens ONNX Runtime: through the C API where that works, else through the stock binding, with the reason. */

import { availableParallelism } from "node:os";
import type { OrtBackend } from "./backend.ts";
import { FfiBackend } from "./ffi.ts";
import type { GraphOptimization } from "./ffi-session.ts";

export interface BackendOptions {
  /** Which binding. Default: "ffi", and "stock" with a warning where that cannot load. Naming one forbids the other. */
  readonly backend?: "ffi" | "stock";
  /** Kernel threads, the calling thread included. Default: the processors that this process may use. */
  readonly threads?: number;
  /** Whether idle kernel threads wait in a loop. Default true. */
  readonly spinning?: boolean;
  /** One memory arena for all sessions. Default true. */
  readonly sharedArena?: boolean;
  /** Default "disabled": graphs are emitted with fused operators already. */
  readonly graphOptimization?: GraphOptimization;
  /** Default: the library of onnxruntime-node, or the one that TROUPE_ORT_LIBRARY names. */
  readonly libraryPath?: string;
}

export async function openBackend(options: BackendOptions = {}): Promise<OrtBackend> {
  return new FfiBackend({
    threads: options.threads ?? availableParallelism(),
    spinning: options.spinning ?? true,
    sharedArena: options.sharedArena ?? true,
    graphOptimization: options.graphOptimization ?? "disabled",
    ...(options.libraryPath === undefined ? {} : { libraryPath: options.libraryPath }),
  });
}
