/**
 * @file The process-wide OrtEnv: one thread pool and one memory arena for all sessions, so that several sessions
 * neither fight for cores nor hoard memory of their own.
 *
 * ONNX Runtime keeps one OrtEnv for a process: whoever creates it first (also onnxruntime-node, also another thread)
 * decides its pool. Within a thread this module knows that pool, and gives a backend that wants another one pools per
 * session instead. Backends in different threads of one process must ask for equal thread counts; nothing in the
 * C API tells a thread what another asked for.
 *
 * References are counted: each backend, session and tensor holds one, and the last one frees the environment.
 */

import { OrtStatusError } from "./errors.ts";
import type { OrtFunctions, Pointer } from "./function-table.ts";
import type { OrtLibrary } from "./library.ts";
import { check, take } from "./status.ts";

export interface PoolSettings {
  /** Kernel threads, the calling thread included. */
  readonly threads: number;
  /** Whether idle kernel threads wait in a loop: quicker starts, but they burn the cores that JavaScript needs. */
  readonly spinning: boolean;
}

/** ORT_LOGGING_LEVEL_FATAL: a failed kernel's text is in its status already. */
const logLevel = 4;
/** OrtDeviceAllocator, OrtArenaAllocator and OrtMemTypeDefault of the header. */
const deviceAllocator = 0;
const arenaAllocator = 1;
const defaultMemoryType = 0;

/** This thread's environments, one for a library. */
const opened = new Map<OrtLibrary, OrtEnvironment>();

export class OrtEnvironment {
  readonly functions: OrtFunctions;
  readonly handle: Pointer;
  /** Memory that JavaScript owns: plain CPU addresses. */
  readonly memoryInfo: Pointer;
  /** The runtime's malloc, for names that it returns. Owned by the runtime. */
  readonly allocator: Pointer;
  readonly #library: OrtLibrary;
  readonly #pool: PoolSettings;
  #hasArena = false;
  #references = 0;

  private constructor(library: OrtLibrary, pool: PoolSettings) {
    const { functions } = library;
    this.#library = library;
    this.#pool = pool;
    this.functions = functions;
    this.handle = createEnvironment(functions, pool);
    this.memoryInfo = take(functions, "describe CPU memory", (out) =>
      functions.CreateCpuMemoryInfo(deviceAllocator, defaultMemoryType, out),
    );
    this.allocator = take(functions, "get its allocator", (out) =>
      functions.GetAllocatorWithDefaultOptions(out),
    );
  }

  /** Returns this thread's environment, and makes it with `pool` if there is none. The caller holds a reference. */
  static open(library: OrtLibrary, pool: PoolSettings): OrtEnvironment {
    let environment = opened.get(library);
    if (!environment) {
      environment = new OrtEnvironment(library, pool);
      opened.set(library, environment);
    }
    environment.retain();
    return environment;
  }

  /** Whether the shared pool is what these settings ask for. */
  hasPool({ threads, spinning }: PoolSettings): boolean {
    return this.#pool.threads === threads && this.#pool.spinning === spinning;
  }

  /** Makes the shared arena, once. */
  shareArena(): void {
    if (this.#hasArena) return;
    registerArena(this.functions, this.handle);
    this.#hasArena = true;
  }

  retain(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references > 0) return;
    opened.delete(this.#library);
    this.functions.ReleaseMemoryInfo(this.memoryInfo);
    this.functions.ReleaseEnv(this.handle);
  }
}

function createEnvironment(functions: OrtFunctions, { threads, spinning }: PoolSettings): Pointer {
  const options = take(functions, "create threading options", (out) => functions.CreateThreadingOptions(out));
  try {
    check(functions, functions.SetGlobalIntraOpNumThreads(options, threads), `use ${threads} threads`);
    // Nodes of a graph run one after another; the pool between nodes stays unused.
    check(functions, functions.SetGlobalInterOpNumThreads(options, 1), "run nodes in order");
    check(functions, functions.SetGlobalSpinControl(options, spinning ? 1 : 0), "set spinning");
    return take(functions, "create its environment", (out) =>
      functions.CreateEnvWithGlobalThreadPools(logLevel, "troupe", options, out),
    );
  } finally {
    functions.ReleaseThreadingOptions(options);
  }
}

function registerArena(functions: OrtFunctions, environment: Pointer): void {
  const info = take(functions, "describe arena memory", (out) =>
    functions.CreateCpuMemoryInfo(arenaAllocator, defaultMemoryType, out),
  );
  try {
    const configuration = take(functions, "configure the arena", (out) =>
      functions.CreateArenaCfgV2(new BigUint64Array(1), new BigUint64Array(1), 0, out),
    );
    try {
      const status = functions.CreateAndRegisterAllocator(environment, info, configuration);
      check(functions, status, "share one arena");
    } catch (error) {
      // Another thread of this process was first; its arena serves as well.
      if (!(error instanceof OrtStatusError && /already been registered/.test(error.message))) throw error;
    } finally {
      functions.ReleaseArenaCfg(configuration);
    }
  } finally {
    functions.ReleaseMemoryInfo(info);
  }
}
