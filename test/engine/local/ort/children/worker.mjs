/**
 * @file Opens the runtime only in worker threads, one after another, and ends each in the middle of its runs: the
 * library must stay mapped for the pool's threads, and the next thread must find it in order. The main thread never
 * loads it.
 */

import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { createJiti } from "jiti";

if (isMainThread) {
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(new URL(import.meta.url));
    const answer = await new Promise((resolve, reject) => worker.on("message", resolve).on("error", reject));
    if (answer !== 512) throw new Error(`Thread ${round} answered ${answer}.`);
    await worker.terminate();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  console.log("survived");
} else {
  const jiti = createJiti(import.meta.url);
  const { openBackend } = await jiti.import("../../../../../src/engine/local/ort/open.ts");
  const { oneNode } = await jiti.import("../graphs.ts");
  const backend = await openBackend({ backend: "ffi", threads: 2 });
  const square = ["float32", [512, 512]];
  const session = await backend.createSession(oneNode("MatMul", [square, square], square));
  const memory = new Float32Array(new SharedArrayBuffer(4 * 512 * 512)).fill(1);
  const a = backend.tensor(memory, [512, 512]);
  const y = backend.tensor(new Float32Array(512 * 512), [512, 512]);
  session.run([a, a], [y]);
  parentPort.postMessage(y.data[512 * 512 - 1]);
  for (;;) {
    session.run([a, a], [y]);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
