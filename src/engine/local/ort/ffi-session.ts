/**
 * @file A session over the C API. `run` costs a few stores and one call: names and pointer arrays are laid out once,
 * handles are kept by the tensors.
 */

import type { OrtSession, OrtTensor } from "./backend.ts";
import type { OrtEnvironment, PoolSettings } from "./environment.ts";
import { sessionArity, sessionDisposed, statusError, tensorForeign } from "./errors.ts";
import { FfiTensor } from "./ffi-tensor.ts";
import type { OrtFunctions, Pointer } from "./function-table.ts";
import { type GraphOptimization, optimizationLevels } from "./graph-optimization.ts";
import { nameTable, readInterface, type SessionInterface } from "./session-interface.ts";
import { check, take, takeStatus } from "./status.ts";

export interface FfiSessionSettings {
  readonly graphOptimization: GraphOptimization;
  readonly sharedArena: boolean;
  /** Threads of this session alone; null: the environment's. */
  readonly ownPool: PoolSettings | null;
  readonly shrinkArena: boolean;
}

/** Frees the handles of a forgotten session. */
interface Lifetime {
  readonly environment: OrtEnvironment;
  readonly session: Pointer;
  readonly runOptions: Pointer | null;
  alive: boolean;
}

function end(lifetime: Lifetime): void {
  if (!lifetime.alive) return;
  lifetime.alive = false;
  const { functions } = lifetime.environment;
  if (lifetime.runOptions) functions.ReleaseRunOptions(lifetime.runOptions);
  functions.ReleaseSession(lifetime.session);
  lifetime.environment.release();
}

/** Roots a run's tensors, and through them their arrays, while C reads and writes them: koffi and C do not. */
const rooted: (readonly (OrtTensor | null)[])[] = [];

const forgotten = new FinalizationRegistry<Lifetime>(end);

export class FfiSession implements OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly #environment: OrtEnvironment;
  readonly #lifetime: Lifetime;
  readonly #interface: SessionInterface;
  readonly #inputNameTable: BigUint64Array;
  readonly #outputNameTable: BigUint64Array;
  readonly #inputs: BigUint64Array;
  readonly #outputs: BigUint64Array;

  constructor(environment: OrtEnvironment, model: Uint8Array, settings: FfiSessionSettings) {
    const { functions } = environment;
    const session = createSession(environment, model, settings);
    environment.retain();
    const runOptions = settings.shrinkArena ? shrinkingRunOptions(functions) : null;
    this.#environment = environment;
    this.#lifetime = { environment, session, runOptions, alive: true };
    forgotten.register(this, this.#lifetime, this);
    try {
      this.#interface = readInterface(environment, session);
    } catch (error) {
      this.dispose();
      throw error;
    }
    this.inputNames = this.#interface.inputs.map((input) => input.name);
    this.outputNames = this.#interface.outputs.map((output) => output.name);
    this.#inputNameTable = nameTable(this.inputNames);
    this.#outputNameTable = nameTable(this.outputNames);
    this.#inputs = new BigUint64Array(Math.max(1, this.inputNames.length));
    this.#outputs = new BigUint64Array(Math.max(1, this.outputNames.length));
  }

  run(inputs: readonly OrtTensor[], outputs: readonly (OrtTensor | null)[]): OrtTensor[] {
    if (!this.#lifetime.alive) throw sessionDisposed();
    const { inputNames, outputNames } = this;
    if (inputs.length !== inputNames.length) throw sessionArity("inputs", inputs.length, inputNames);
    if (outputs.length !== outputNames.length) throw sessionArity("outputs", outputs.length, outputNames);
    rooted.push(inputs, outputs);
    try {
      for (let i = 0; i < inputs.length; i++) {
        const tensor = inputs[i];
        if (!(tensor instanceof FfiTensor)) throw tensorForeign(`Input "${inputNames[i]}"`);
        this.#inputs[i] = tensor.handleFor("Input", inputNames[i]!);
      }
      for (let i = 0; i < outputs.length; i++) {
        const tensor = outputs[i]!;
        if (tensor === null) this.#outputs[i] = 0n;
        else if (!(tensor instanceof FfiTensor)) throw tensorForeign(`Output "${outputNames[i]}"`);
        else this.#outputs[i] = tensor.handleFor("Output", outputNames[i]!);
      }
      const status = this.#environment.functions.Run(
        this.#lifetime.session,
        this.#lifetime.runOptions,
        this.#inputNameTable,
        this.#inputs,
        inputs.length,
        this.#outputNameTable,
        outputs.length,
        this.#outputs,
      );
      if (status !== null) throw this.#failure(status, inputs, outputs);
      return this.#collect(outputs);
    } finally {
      rooted.length -= 2;
    }
  }

  dispose(): void {
    if (!this.#lifetime.alive) return;
    forgotten.unregister(this);
    end(this.#lifetime);
  }

  /** The caller's own tensors where it gave some; for the others, owners of what the runtime allocated. */
  #collect(outputs: readonly (OrtTensor | null)[]): OrtTensor[] {
    const { outputs: declared } = this.#interface;
    return outputs.map(
      (tensor, i) =>
        tensor ?? FfiTensor.adopt(this.#environment, this.#outputs[i]!, declared[i]!.elementType),
    );
  }

  /** The runtime's text often leaves out which tensor is at fault; the declared types tell. */
  #failure(status: Pointer, inputs: readonly OrtTensor[], outputs: readonly (OrtTensor | null)[]): Error {
    const { code, text } = takeStatus(this.#environment.functions, status);
    const wrong: string[] = [];
    const compare = (
      side: string,
      tensor: OrtTensor | null,
      declared: SessionInterface["inputs"][number],
    ) => {
      if (!(tensor instanceof FfiTensor) || tensor.elementType === declared.elementType) return;
      const wanted = declared.elementType.name;
      wrong.push(`${side} "${declared.name}" is ${tensor.elementType.name}, the graph declares ${wanted}`);
    };
    inputs.forEach((tensor, i) => {
      compare("input", tensor, this.#interface.inputs[i]!);
    });
    outputs.forEach((tensor, i) => {
      compare("output", tensor, this.#interface.outputs[i]!);
    });
    return statusError("run a graph", code, text, wrong.length > 0 ? `\n  ${wrong.join("; ")}.` : "");
  }
}

function createSession(
  environment: OrtEnvironment,
  model: Uint8Array,
  { graphOptimization, sharedArena, ownPool }: FfiSessionSettings,
): Pointer {
  const { functions } = environment;
  const handle = take(functions, "create session options", (out) => functions.CreateSessionOptions(out));
  const set = (status: Pointer | null) => check(functions, status, "take a session option");
  try {
    if (ownPool === null) {
      set(functions.DisablePerSessionThreads(handle));
    } else {
      set(functions.SetIntraOpNumThreads(handle, ownPool.threads));
      set(
        functions.AddSessionConfigEntry(
          handle,
          "session.intra_op.allow_spinning",
          ownPool.spinning ? "1" : "0",
        ),
      );
    }
    if (sharedArena) set(functions.AddSessionConfigEntry(handle, "session.use_env_allocators", "1"));
    // One block for a whole run, sized by the first shapes seen, keeps dead activations alive.
    set(functions.DisableMemPattern(handle));
    set(functions.SetSessionGraphOptimizationLevel(handle, optimizationLevels[graphOptimization]));
    return take(functions, "load a graph", (out) =>
      functions.CreateSessionFromArray(environment.handle, model, model.byteLength, handle, out),
    );
  } finally {
    functions.ReleaseSessionOptions(handle);
  }
}

function shrinkingRunOptions(functions: OrtFunctions): Pointer {
  const options = take(functions, "create run options", (out) => functions.CreateRunOptions(out));
  const status = functions.AddRunConfigEntry(options, "memory.enable_memory_arena_shrinkage", "cpu:0");
  check(functions, status, "shrink its arena");
  return options;
}
