/** @file The sandbox's thread: programs one after the other, each answered under its number. */

import { parentPort, workerData } from "node:worker_threads";
import { Interpreter } from "./interpreter.ts";
import type { SandboxLimits } from "./limits.ts";
import type { JsonValue, ProgramResult } from "./program-result.ts";

export interface ProgramOrder {
  readonly id: number;
  readonly program: string;
  readonly calls: readonly (readonly JsonValue[])[];
}

/** "ready" once, or why not; then an answer for each order. */
export type FromSandbox =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "results"; readonly id: number; readonly results: readonly ProgramResult[] };

const port = parentPort!;
const post = (message: FromSandbox) => port.postMessage(message);

try {
  const interpreter = await Interpreter.load(workerData as Required<SandboxLimits>);
  let queue: Promise<void> = Promise.resolve();
  port.on("message", ({ id, program, calls }: ProgramOrder) => {
    queue = queue.then(async () =>
      post({ kind: "results", id, results: await interpreter.run(program, calls) }),
    );
  });
  post({ kind: "ready" });
} catch (error) {
  post({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
}
