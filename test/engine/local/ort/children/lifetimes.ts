/**
 * @file Programs that would crash a careless binding, one for each name on the command line. Run with --expose-gc;
 * each ends with the line "survived", or with an uncaught error, or (if the binding is at fault) with a signal.
 */

import { openBackend } from "../../../../../src/engine/local/ort/open.ts";
import { runSelfTests } from "../../../../../src/engine/local/ort/self-test.ts";
import { multiplication, negation } from "../graphs.ts";

const collect = (): void => {
  if (!globalThis.gc) throw new Error("This program needs --expose-gc.");
  globalThis.gc();
};
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const residentMegabytes = () => process.memoryUsage().rss / 1e6;

function expectSame(got: ArrayLike<number | bigint>, wanted: readonly number[]): void {
  if (Array.from(got).join() !== wanted.join())
    throw new Error(`Got ${Array.from(got)}, expected ${wanted}.`);
}

const programs: Readonly<Record<string, () => Promise<void>>> = {
  /** The library's handle, the sessions and the tensors outlive collections between all calls. */
  "collect-between-calls": async () => {
    const backend = await openBackend({ backend: "ffi", threads: 2 });
    const session = await backend.createSession(multiplication());
    const b = backend.tensor(Float32Array.of(1, 0, 0, 1, 2, 0), [3, 2]);
    for (let i = 0; i < 30; i++) {
      collect();
      const a = backend.tensor(Float32Array.of(i, 2, 3), [1, 3]);
      collect();
      const [y] = session.run([a, b], [null]);
      collect();
      expectSame(y!.data as Float32Array, [i + 6, 2]);
      if (i % 2) y!.dispose();
      if (i % 10 === 0) await turn();
    }
    await runSelfTests(backend);
  },

  /** The array below a tensor has no other reference than the tensor. */
  "arrays-of-forgotten-variables": async () => {
    const backend = await openBackend({ backend: "ffi", threads: 1 });
    const session = await backend.createSession(negation());
    const tensors = Array.from({ length: 200 }, (_, i) =>
      backend.tensor(new Float32Array(10_000).fill(i), [10_000]),
    );
    collect();
    await turn();
    const noise = Array.from({ length: 200 }, () => new Float32Array(10_000).fill(-1));
    for (const [i, tensor] of tensors.entries()) {
      const [y] = session.run([tensor], [null]);
      if (y!.data[9_999] !== -i) throw new Error(`Tensor ${i} changed to ${y!.data[9_999]}.`);
      y!.dispose();
    }
    if (noise.length !== 200) throw new Error("unreachable");
  },

  /** A view keeps the runtime's memory while its tensor is forgotten. */
  "view-outlives-tensor": async () => {
    const backend = await openBackend({ backend: "ffi", threads: 1 });
    const session = await backend.createSession(negation());
    const input = backend.tensor(
      Float32Array.from({ length: 5000 }, (_, i) => i),
      [5000],
    );
    const views: Float32Array[] = [];
    for (let i = 0; i < 50; i++) {
      views.push(session.run([input], [null])[0]!.data as Float32Array);
      collect();
      await turn();
    }
    const other = backend.tensor(new Float32Array(5000).fill(7), [5000]);
    for (let i = 0; i < 50; i++) session.run([other], [null]);
    for (const view of views) if (view[4999] !== -4999) throw new Error(`A view changed to ${view[4999]}.`);
  },

  /** A tensor laid over an output's memory knows when that memory went. */
  "tensor-over-disposed-output": async () => {
    const backend = await openBackend({ backend: "ffi", threads: 1 });
    const session = await backend.createSession(negation());
    const [y] = session.run([backend.tensor(new Float32Array(4_000_000), [4_000_000])], [null]);
    const part = backend.tensor(y!.data.subarray(5, 9) as Float32Array, [4]);
    session.run([part], [null]);
    y!.dispose();
    try {
      session.run([part], [null]);
    } catch (error) {
      if ((error as { code?: string }).code === "E_TENSOR_DISPOSED") return;
      throw error;
    }
    throw new Error("Freed memory was read.");
  },

  /** Forgotten outputs are freed by the collector: 200 of 16 MB do not add up. */
  "forgotten-outputs-are-freed": async () => {
    const backend = await openBackend({ backend: "ffi", threads: 1 });
    const session = await backend.createSession(negation());
    const input = backend.tensor(new Float32Array(4_000_000), [4_000_000]);
    for (let i = 0; i < 200; i++) {
      session.run([input], [null]);
      if (i % 5 === 0) {
        collect();
        await turn();
      }
    }
    if (residentMegabytes() > 1000) throw new Error(`${residentMegabytes()} MB are resident.`);
  },

  /** Runs, tensors, sessions and refused runs leave nothing behind. */
  plateau: async () => {
    const backend = await openBackend({ backend: "ffi", threads: 1 });
    const input = backend.tensor(new Float32Array(1000), [1000]);
    const wrong = backend.tensor(new Int32Array(1000), [1000]);
    const round = async () => {
      for (let n = 0; n < 150; n++) {
        const session = await backend.createSession(negation());
        for (let i = 0; i < 140; i++) {
          const tensor = backend.tensor(new Float32Array(4), [4]);
          for (const y of session.run([input], [null])) y.dispose();
          tensor.dispose();
        }
        try {
          session.run([wrong], [null]);
        } catch {
          // Asserted elsewhere; here only its memory counts.
        }
        session.dispose();
      }
      collect();
      await turn();
    };
    const native = () => residentMegabytes() - process.memoryUsage().heapTotal / 1e6;
    const rounds = async (count: number) => {
      for (let i = 0; i < count; i++) await round();
      return native();
    };
    const growth = -(await rounds(4)) + (await rounds(4));
    if (growth > 10) throw new Error(`${growth} MB grew in 84 000 runs of 600 sessions.`);
  },

  /** onnxruntime-node made the process's environment first, without a pool to share. */
  "stock-first": async () => {
    const stock = await openBackend({ backend: "stock", threads: 1 });
    const ffi = await openBackend({ backend: "ffi", threads: 2 });
    await runSelfTests(stock);
    await runSelfTests(ffi);
  },

  /** Backends with different pools, the first of which goes. */
  "many-backends": async () => {
    for (let round = 0; round < 3; round++) {
      const first = await openBackend({ backend: "ffi", threads: 2 });
      const second = await openBackend({ backend: "ffi", threads: 3, sharedArena: false, spinning: false });
      await runSelfTests(first);
      first.dispose();
      await runSelfTests(second);
      second.dispose();
    }
  },

  /** The first product of the process is a large one, on koffi's own stack. */
  "large-first-product": async () => {
    const backend = await openBackend({ backend: "ffi", threads: 2 });
    const session = await backend.createSession(multiplication());
    const a = backend.tensor(new Float32Array(300_000 * 3).fill(1), [300_000, 3]);
    const [y] = session.run([a, backend.tensor(new Float32Array(6).fill(2), [3, 2])], [null]);
    expectSame((y!.data as Float32Array).subarray(-2), [6, 6]);
  },

  "exit-without-dispose": async () => {
    const backend = await openBackend({ backend: "ffi", threads: 2 });
    const session = await backend.createSession(negation());
    session.run([backend.tensor(new Float32Array(1_000_000), [1_000_000])], [null]);
    console.log("survived");
    process.exit(0);
  },
};

const name = process.argv[2] ?? "";
const program = programs[name];
if (!program) throw new Error(`No program "${name}"; there are ${Object.keys(programs).join(", ")}.`);
await program();
console.log("survived");
