/** @file Opens ONNX Runtime: through the C API where that works, else through the stock binding, with the reason. */

import { availableParallelism } from "node:os";
import type { OrtBackend } from "./backend.ts";
import { OrtUsageError } from "./errors.ts";
import type { GraphOptimization } from "./graph-optimization.ts";
import { libraryVariable } from "./library-location.ts";
import type { StockSettings } from "./stock.ts";

export interface BackendOptions {
  /** Which binding. Default: "ffi", and "stock" with a warning where that cannot load. Naming one forbids the other. */
  readonly backend?: "ffi" | "stock";
  /** Kernel threads, the calling thread included. Default: the processors that this process may use. */
  readonly threads?: number;
  /**
   * Whether idle kernel threads wait in a loop. Default false: on two cores with other work beside, a decode-like
   * step took 2.2 ms instead of 14 (median) and half the processor time. On an idle machine spinning starts tiny
   * kernels sooner (12 products of one row: 0.14 ms instead of 0.27).
   */
  readonly spinning?: boolean;
  /** One memory arena for all sessions. Default true: four chains of products peaked at 228 MB instead of 360–405. */
  readonly sharedArena?: boolean;
  /** Default "disabled": graphs are emitted with fused operators already, and load in a third of the time of "basic". */
  readonly graphOptimization?: GraphOptimization;
  /** Default: the library of onnxruntime-node, or the one that TROUPE_ORT_LIBRARY names. */
  readonly libraryPath?: string;
}

/** One warning a thread: each further backend of it would fall back for the same reason. */
let warned = false;

export async function openBackend(options: BackendOptions = {}): Promise<OrtBackend> {
  const settings = {
    threads: requireThreads(options.threads ?? availableParallelism()),
    spinning: options.spinning ?? false,
    sharedArena: options.sharedArena ?? true,
    graphOptimization: options.graphOptimization ?? "disabled",
  } as const;
  if (options.backend === "stock") return openStock(settings);
  try {
    // Imported here, so that a missing koffi binary is a reason to fall back and not a crash at start-up.
    const { FfiBackend } = await import("./ffi.ts");
    const { libraryPath } = options;
    return new FfiBackend(libraryPath === undefined ? settings : { ...settings, libraryPath });
  } catch (reason) {
    if (options.backend === "ffi" || options.libraryPath !== undefined || process.env[libraryVariable])
      throw reason;
    const backend = await openStock(settings);
    if (!warned) warn(reason);
    warned = true;
    return backend;
  }
}

async function openStock(settings: StockSettings): Promise<OrtBackend> {
  const { StockBackend } = await import("./stock.ts");
  return new StockBackend(settings);
}

function warn(reason: unknown): void {
  process.emitWarning(
    `ONNX Runtime is used through onnxruntime-node, which copies every output: ${(reason as Error).message}`,
    { code: "TROUPE_ORT_FALLBACK" },
  );
}

function requireThreads(threads: number): number {
  if (Number.isInteger(threads) && threads >= 1) return threads;
  throw new OrtUsageError({
    code: "E_ORT_THREADS",
    message: `A backend needs at least one kernel thread; got ${threads}.`,
    hint: "leave `threads` out to use every processor.",
    facts: { threads },
  });
}
