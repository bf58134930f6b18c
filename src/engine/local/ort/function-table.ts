/**
 * @file The part of `struct OrtApi` that the engine calls: index and C signature of each function.
 * Source: onnxruntime_c_api.h. The struct is append-only, so an index holds for every version from the one that
 * introduced it; the newest used here dates from API version 8. Anchors for the count are in the tests.
 */

import koffi from "koffi";
import type { TensorArray } from "./backend.ts";

/** An address; koffi gives and takes pointers as bigints, and null for 0. */
export type Pointer = bigint;
/** A memory that C reads or writes in place: its address is taken by koffi for the time of the call. */
export type Memory = BigUint64Array | TensorArray;
/** `OrtStatus*`: null is success. */
export type Status = Pointer | null;

/** Handles are pointers to opaque structs, so that koffi refuses strings, objects and booleans in their place. */
const handle = () => koffi.pointer(koffi.opaque());
const status = handle();
const environment = handle();
const threading = handle();
const sessionOptions = handle();
const session = handle();
const runOptions = handle();
const memoryInfo = handle();
const allocator = handle();
const arenaConfiguration = handle();
const value = handle();
const typeInfo = handle();
const shapeInfo = handle();
/** Memory that C reads or writes; always a typed array or an address from the runtime, never a string. */
const memory = "void *";
const text = "const char *";
const size = "size_t";
const int = "int";

type Parameter = ReturnType<typeof handle> | string;
interface Entry {
  readonly index: number;
  readonly result: Parameter;
  readonly parameters: readonly Parameter[];
}
const call = (index: number, ...parameters: Parameter[]): Entry => ({ index, result: status, parameters });
const release = (index: number, parameter: Parameter): Entry => ({
  index,
  result: "void",
  parameters: [parameter],
});

export const functionTable = {
  GetErrorCode: { index: 1, result: int, parameters: [status] },
  GetErrorMessage: { index: 2, result: text, parameters: [status] },
  ReleaseStatus: release(93, status),

  CreateThreadingOptions: call(121, memory),
  SetGlobalIntraOpNumThreads: call(147, threading, int),
  SetGlobalInterOpNumThreads: call(148, threading, int),
  SetGlobalSpinControl: call(149, threading, int),
  ReleaseThreadingOptions: release(122, threading),
  CreateEnv: call(3, int, text, memory),
  CreateEnvWithGlobalThreadPools: call(119, int, text, threading, memory),
  ReleaseEnv: release(92, environment),

  CreateCpuMemoryInfo: call(69, int, int, memory),
  ReleaseMemoryInfo: release(94, memoryInfo),
  CreateArenaCfgV2: call(164, memory, memory, size, memory),
  ReleaseArenaCfg: release(157, arenaConfiguration),
  CreateAndRegisterAllocator: call(144, environment, memoryInfo, arenaConfiguration),
  GetAllocatorWithDefaultOptions: call(78, memory),
  AllocatorFree: call(76, allocator, memory),

  CreateSessionOptions: call(10, memory),
  ReleaseSessionOptions: release(100, sessionOptions),
  DisablePerSessionThreads: call(120, sessionOptions),
  DisableMemPattern: call(17, sessionOptions),
  SetSessionGraphOptimizationLevel: call(23, sessionOptions, int),
  SetIntraOpNumThreads: call(24, sessionOptions, int),
  SetInterOpNumThreads: call(25, sessionOptions, int),
  SetSessionLogSeverityLevel: call(22, sessionOptions, int),
  AddSessionConfigEntry: call(130, sessionOptions, text, text),

  CreateSessionFromArray: call(8, environment, memory, size, sessionOptions, memory),
  ReleaseSession: release(95, session),
  SessionGetInputCount: call(30, session, memory),
  SessionGetOutputCount: call(31, session, memory),
  SessionGetInputTypeInfo: call(33, session, size, memory),
  SessionGetOutputTypeInfo: call(34, session, size, memory),
  SessionGetInputName: call(36, session, size, allocator, memory),
  SessionGetOutputName: call(37, session, size, allocator, memory),
  CastTypeInfoToTensorInfo: call(55, typeInfo, memory),
  ReleaseTypeInfo: release(98, typeInfo),

  CreateRunOptions: call(39, memory),
  ReleaseRunOptions: release(97, runOptions),
  AddRunConfigEntry: call(165, runOptions, text, text),
  Run: call(9, session, runOptions, memory, memory, size, memory, size, memory),

  CreateTensorWithDataAsOrtValue: call(49, memoryInfo, memory, size, memory, size, int, memory),
  GetTensorMutableData: call(51, value, memory),
  GetTensorTypeAndShape: call(65, value, memory),
  GetTensorElementType: call(60, shapeInfo, memory),
  GetDimensionsCount: call(61, shapeInfo, memory),
  GetDimensions: call(62, shapeInfo, memory, size),
  ReleaseTensorTypeAndShapeInfo: release(99, shapeInfo),
  ReleaseValue: release(96, value),
} as const satisfies Record<string, Entry>;

type Argument = Pointer | Memory | number | string | null;

export type FunctionName = keyof typeof functionTable;
type Releases = Extract<FunctionName, `Release${string}`>;
type Statuses = Exclude<FunctionName, Releases | "GetErrorCode" | "GetErrorMessage">;

/** The functions of one loaded library. Argument kinds are koffi's to check; the callers here are few and tested. */
export type OrtFunctions = { readonly [name in Statuses]: (...values: Argument[]) => Status } & {
  readonly [name in Releases]: (handle: Pointer) => void;
} & {
  readonly GetErrorCode: (status: Pointer) => number;
  readonly GetErrorMessage: (status: Pointer) => string;
};

/** Binds each entry of the table at `api`, the address of a `struct OrtApi`. */
export function bindFunctions(api: Pointer): OrtFunctions {
  const entries = Object.entries<Entry>(functionTable);
  const length = 1 + Math.max(...entries.map(([, entry]) => entry.index));
  const addresses = koffi.decode(api, "void *", length) as (Pointer | null)[];
  const functions: Record<string, unknown> = {};
  for (const [name, { index, result, parameters }] of entries) {
    functions[name] = koffi.decode(addresses[index], koffi.proto(result, [...parameters]));
  }
  return functions as unknown as OrtFunctions;
}
