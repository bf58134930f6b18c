/**
 * @file The process-wide OrtEnv: one thread pool and one memory arena for all sessions, so that several sessions
 * neither fight for cores nor hoard memory of their own.
 *
 * ONNX Runtime keeps one OrtEnv for a process: whoever creates it first (also onnxruntime-node, also another thread)
 * decides its pool. It is counted: each backend, session and tensor holds one reference, the last one frees it.
 */

import type { OrtFunctions, Pointer } from "./function-table.ts";
import type { OrtLibrary } from "./library.ts";
import { check, take } from "./status.ts";

export interface EnvironmentSettings {
  /** Kernel threads, the calling thread included. */
  readonly threads: number;
  /** Whether idle kernel threads wait in a loop: quicker starts, but they burn the cores that JavaScript needs. */
  readonly spinning: boolean;
  /** One arena for all sessions instead of one each. */
  readonly sharedArena: boolean;
}

/** ORT_LOGGING_LEVEL_FATAL: a failed kernel's text is in its status already. */
const logLevel = 4;
/** OrtDeviceAllocator/OrtArenaAllocator and OrtMemTypeDefault of the header. */
const deviceAllocator = 0;
const arenaAllocator = 1;
const defaultMemoryType = 0;

export class OrtEnvironment {
  readonly functions: OrtFunctions;
  readonly handle: Pointer;
  /** Memory that JavaScript owns: plain CPU addresses. */
  readonly memoryInfo: Pointer;
  /** The runtime's malloc, for names that it returns. Owned by the runtime. */
  readonly allocator: Pointer;
  readonly settings: EnvironmentSettings;
  #references = 1;

  private constructor(library: OrtLibrary, settings: EnvironmentSettings) {
    const { functions } = library;
    this.functions = functions;
    this.settings = settings;
    this.handle = createEnvironment(functions, settings);
    this.memoryInfo = take(functions, "describe CPU memory", (out) =>
      functions.CreateCpuMemoryInfo(deviceAllocator, defaultMemoryType, out),
    );
    this.allocator = take(functions, "get its allocator", (out) =>
      functions.GetAllocatorWithDefaultOptions(out),
    );
    if (settings.sharedArena) registerArena(functions, this.handle);
  }

  static create(library: OrtLibrary, settings: EnvironmentSettings): OrtEnvironment {
    return new OrtEnvironment(library, settings);
  }

  retain(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references > 0) return;
    this.functions.ReleaseMemoryInfo(this.memoryInfo);
    this.functions.ReleaseEnv(this.handle);
  }
}

function createEnvironment(functions: OrtFunctions, { threads, spinning }: EnvironmentSettings): Pointer {
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
    const none = new BigUint64Array(1);
    const configuration = take(functions, "configure the arena", (out) =>
      functions.CreateArenaCfgV2(none, none, 0, out),
    );
    try {
      const status = functions.CreateAndRegisterAllocator(environment, info, configuration);
      check(functions, status, "share one arena");
    } finally {
      functions.ReleaseArenaCfg(configuration);
    }
  } finally {
    functions.ReleaseMemoryInfo(info);
  }
}
