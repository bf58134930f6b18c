/**
 * @file The thread of a worker group: receives calls, runs them in order of arrival, and gives every idle moment to
 * sampling. Between two sampling rounds it returns to its event loop, so that new requests join the batch and
 * cancellations take effect.
 */

import { availableParallelism } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { openBackend } from "../ort/open.ts";
import { runSelfTests } from "../ort/self-test.ts";
import { toTransferable } from "./errors.ts";
import { ModelHost } from "./model-host.ts";
import type { EngineCalls, EngineSettings, FromEngine, ToEngine } from "./protocol.ts";

const port = parentPort!;
const post = (message: FromEngine, transfer: readonly ArrayBuffer[] = []) =>
  port.postMessage(message, transfer);

async function start(settings: EngineSettings): Promise<ModelHost> {
  const backend = await openBackend(settings);
  try {
    await runSelfTests(backend);
  } catch (error) {
    backend.dispose();
    throw error;
  }
  return new ModelHost(backend, settings.threads ?? availableParallelism(), post);
}

const host = start(workerData as EngineSettings);
// A failed start is told to each caller; without this it would end the thread as an unhandled rejection first.
host.catch(() => undefined);

/** Calls run one after another even where opening a model awaits. */
let queue: Promise<void> = Promise.resolve();
let sampling = false;

async function sampleWhileThereIsWork(models: ModelHost): Promise<void> {
  if (sampling) return;
  sampling = true;
  try {
    while (models.sampleRound()) await new Promise<void>((resolve) => setImmediate(resolve));
  } finally {
    sampling = false;
  }
}

async function handle(message: ToEngine): Promise<void> {
  if (message.kind === "shut down") return shutDown();
  try {
    const models = await host;
    if (message.kind === "cancel") return models.cancel(message.id);
    if (message.method === "sample") {
      models.submit(message.id, message.parameters as Parameters<EngineCalls["sample"]>);
      void sampleWhileThereIsWork(models);
      return;
    }
    const value = await models.call(message.method, message.parameters);
    post({ kind: "result", id: message.id, value });
  } catch (error) {
    post({ kind: "error", id: message.id, error: toTransferable(error) });
  }
}

/** Frees sessions, tensors and this thread's share of the runtime; without listeners the thread ends by itself. */
async function shutDown(): Promise<void> {
  port.close();
  const models = await host.catch(() => undefined);
  models?.dispose();
}

port.on("message", (message: ToEngine) => {
  queue = queue.then(() => handle(message));
});
