/**
 * @file Runs JavaScript that a model wrote: in QuickJS compiled to WebAssembly, in a thread of its own. Nothing of Node is
 * in there, a program gets JSON in and gives JSON out, and one that cannot be interrupted is ended with its thread, so that
 * it never holds up the event loop.
 */

import { Worker } from "node:worker_threads";
import { SandboxError } from "./errors.ts";
import { limitsOf, type SandboxLimits } from "./limits.ts";
import type { JsonValue, ProgramResult } from "./program-result.ts";
import type { FromSandbox, ProgramOrder } from "./sandbox-thread.ts";

/** Compiled beside this file; under a TypeScript loader the thread still needs the built JavaScript. */
function threadUrl(): URL {
  const url = new URL("./sandbox-thread.js", import.meta.url);
  if (import.meta.url.endsWith(".ts")) url.pathname = url.pathname.replace("/src/tools/", "/dist/tools/");
  return url;
}

interface Waiting extends ProgramOrder {
  readonly resolve: (results: readonly ProgramResult[]) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A sandbox for programs. It holds no state of any program; an idle one does not keep the process alive.
 *
 * @example
 * const sandbox = await JavaScriptSandbox.load();
 * await sandbox.run("(a, b) => a + b", [[1, 2]]); // [{ status: "value", value: 3 }]
 */
export class JavaScriptSandbox {
  readonly #limits: Required<SandboxLimits>;
  readonly #queue: Waiting[] = [];
  #thread: Promise<Worker>;
  #current: Waiting | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #nextId = 1;
  #closed = false;

  private constructor(thread: Worker, limits: Required<SandboxLimits>) {
    this.#limits = limits;
    this.#thread = Promise.resolve(thread);
    this.#listen(thread);
  }

  /** @throws SandboxError E_SANDBOX_LIMIT, E_SANDBOX_MISSING */
  static async load(limits: SandboxLimits = {}): Promise<JavaScriptSandbox> {
    const all = limitsOf(limits);
    return new JavaScriptSandbox(await startThread(all), all);
  }

  /**
   * Calls a program with each list of arguments in turn. The calls see the same interpreter, and no other program does.
   *
   * @param program A JavaScript expression that gives a function.
   * @param calls [calls] arguments, as JSON values.
   * @returns [calls] what became of each; all "timeout" where the program had to be ended with its thread.
   * @throws SandboxError E_SANDBOX_CLOSED
   */
  run(program: string, calls: readonly (readonly JsonValue[])[]): Promise<readonly ProgramResult[]> {
    if (this.#closed) return Promise.reject(closed());
    if (calls.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      this.#queue.push({ id: this.#nextId++, program, calls, resolve, reject });
      void this.#next();
    });
  }

  /** Ends the thread; what waits is refused. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#deadline);
    for (const waiting of [...(this.#current === undefined ? [] : [this.#current]), ...this.#queue.splice(0)])
      waiting.reject(closed());
    this.#current = undefined;
    await this.#thread.then(
      (thread) => thread.terminate(),
      () => undefined,
    );
  }

  async #next(): Promise<void> {
    if (this.#current !== undefined) return;
    const order = this.#queue.shift();
    if (order === undefined) return;
    this.#current = order;
    let thread: Worker;
    try {
      thread = await this.#thread;
    } catch (error) {
      this.#settle(order.id)?.reject(error);
      return;
    }
    thread.ref();
    const { id, program, calls } = order;
    // Twice what a program may take in all, and what a busy machine adds.
    const most = 2 * calls.length * this.#limits.milliseconds + 1000;
    this.#deadline = setTimeout(() => this.#end(order), most);
    thread.postMessage({ id, program, calls } satisfies ProgramOrder);
  }

  /** Ends the thread with the program in it, and begins another thread for the next. */
  #end(order: Waiting): void {
    const before = this.#thread;
    this.#thread = before.then(async (thread) => {
      thread.removeAllListeners();
      await thread.terminate();
      const next = await startThread(this.#limits);
      this.#listen(next);
      return next;
    });
    this.#thread.catch(() => {});
    this.#settle(order.id)?.resolve(order.calls.map(() => ({ status: "timeout" })));
  }

  #listen(thread: Worker): void {
    thread.unref();
    thread.on("message", (message: FromSandbox) => {
      if (message.kind !== "results") return;
      const waiting = this.#settle(message.id);
      if (this.#current === undefined) thread.unref();
      waiting?.resolve(message.results);
    });
    // The interpreter's own memory is all that can break the thread: the program in it wanted more than there is.
    const broke = () => {
      const order = this.#current;
      if (this.#closed || order === undefined) return;
      this.#end(order);
    };
    thread.on("error", broke);
  }

  #settle(id: number): Waiting | undefined {
    const order = this.#current;
    if (order?.id !== id) return undefined;
    clearTimeout(this.#deadline);
    this.#current = undefined;
    void this.#next();
    return order;
  }
}

function closed(): SandboxError {
  return new SandboxError({
    code: "E_SANDBOX_CLOSED",
    message: "The sandbox was closed.",
    hint: "load another one.",
  });
}

/** A thread whose interpreter is loaded. */
async function startThread(limits: Required<SandboxLimits>): Promise<Worker> {
  const thread = new Worker(threadUrl(), {
    workerData: limits,
    name: "troupe-sandbox",
    // What the interpreter says when a program breaks it is told as that program's result.
    stderr: true,
    // A program's way into the thread, if there were one, finds no settings of the process.
    env: {},
    execArgv: process.execArgv.filter((argument) => !argument.startsWith("--input-type")),
  });
  return new Promise((resolve, reject) => {
    const failed = (message: string, cause?: unknown) =>
      reject(
        new SandboxError({
          code: "E_SANDBOX_MISSING",
          message: `QuickJS could not be loaded: ${message}`,
          hint: "install quickjs-emscripten next to troupe.",
          cause,
        }),
      );
    const onError = (error: Error) => failed(error.message, error);
    thread.once("error", onError);
    thread.once("message", (message: FromSandbox) => {
      thread.off("error", onError);
      if (message.kind === "failed") failed(message.message);
      else resolve(thread);
    });
  });
}
