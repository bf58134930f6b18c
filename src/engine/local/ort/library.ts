/**
 * @file Loads and pins the ONNX Runtime shared library, and shakes hands with it before anything trusts the function
 * table.
 */

import { existsSync } from "node:fs";
import koffi, { type LibraryHandle } from "koffi";
import { OrtLibraryError } from "./errors.ts";
import { bindFunctions, type OrtFunctions, type Pointer } from "./function-table.ts";
import { apiVersion, libraryPath, missing } from "./library-location.ts";

/** The most that koffi allows; mapped lazily. MLAS needs about 96 KiB, a cold GPU pipeline about 1 MiB. */
const stackBytes = 16 * 1024 * 1024;
const smallestUsableStack = 1024 * 1024;

export interface OrtLibrary {
  readonly path: string;
  readonly version: string;
  readonly functions: OrtFunctions;
}

/**
 * Loaded libraries by path, kept for the life of the thread. koffi unloads a library when its handle is collected,
 * and functions decoded from a table do not keep the handle: without this map a later call jumps into unmapped code.
 */
const loaded = new Map<string, { readonly handle: LibraryHandle; readonly library: OrtLibrary }>();

export function loadLibrary(path = libraryPath()): OrtLibrary {
  const known = loaded.get(path);
  if (known) return known.library;
  widenStacks();
  if (!existsSync(path)) throw missing(`no file ${path}`, path);
  let handle: LibraryHandle;
  try {
    handle = koffi.load(path);
  } catch (cause) {
    throw missing(`${path}: ${(cause as Error).message}`, path, cause);
  }
  pin(path);
  const library = shakeHands(handle, path);
  loaded.set(path, { handle, library });
  return library;
}

/** koffi runs C on a stack of its own, too small by default, and refuses to change it after the first load. */
function widenStacks(): void {
  try {
    koffi.config({ sync_stack_size: stackBytes, async_stack_size: stackBytes });
  } catch {
    const size = koffi.config().sync_stack_size ?? 0;
    if (size >= smallestUsableStack) return;
    throw new OrtLibraryError({
      code: "E_ORT_LIBRARY",
      message: `koffi was loaded earlier in this process with a C stack of ${size} bytes; kernels would overflow it.`,
      hint: `import troupe before other users of koffi, or call koffi.config({ sync_stack_size: ${stackBytes} }) first.`,
      facts: { size },
    });
  }
}

/**
 * Opens the library once more without ever closing it. koffi closes its own handle when the thread ends, while the
 * runtime's pool threads (one pool for the process) still wait in the library's code.
 */
function pin(path: string): void {
  if (process.platform === "win32") {
    // GET_MODULE_HANDLE_EX_FLAG_PIN
    const kernel = koffi.load("kernel32.dll");
    kernel.func("bool __stdcall GetModuleHandleExW(uint32_t flags, str16 name, void *module)")(
      1,
      path,
      new BigUint64Array(1),
    );
    return;
  }
  // RTLD_NOW, never paired with dlclose
  koffi.load(null).func("void *dlopen(const char *path, int mode)")(path, 2);
}

function shakeHands(handle: LibraryHandle, path: string): OrtLibrary {
  let base: Pointer;
  try {
    base = handle.func("OrtGetApiBase", "void *", [])() as Pointer;
  } catch (cause) {
    throw missing(`${path} exports no OrtGetApiBase`, path, cause);
  }
  // struct OrtApiBase { const OrtApi* (*GetApi)(uint32_t); const char* (*GetVersionString)(void); }
  const [getApi, getVersion] = koffi.decode(base, "void *", 2) as [Pointer, Pointer];
  const version = koffi.call(getVersion, koffi.proto("const char *", [])) as string;
  const [major, minor] = version.split(".").map(Number);
  if (major !== 1 || !(minor! >= apiVersion)) throw missing(`${path} is version ${version}`, path);
  const api = koffi.call(getApi, koffi.proto("void *", ["uint32_t"]), apiVersion) as Pointer | null;
  if (!api) throw missing(`${path} (version ${version}) offers no API version ${apiVersion}`, path);
  return { path, version, functions: bindFunctions(api) };
}
