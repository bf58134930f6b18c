/** @file The self-tests pass on both bindings, and each of them notices a faulty kernel. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OrtBackend, OrtSession, OrtTensor } from "../../../../src/engine/local/ort/backend.ts";
import { openBackend } from "../../../../src/engine/local/ort/open.ts";
import { runSelfTests, selfTests } from "../../../../src/engine/local/ort/self-test.ts";

/** The backend with another `run` in the session that is created as number `index`. */
function withFault(
  backend: OrtBackend,
  index: number,
  run: (session: OrtSession, ...parameters: Parameters<OrtSession["run"]>) => OrtTensor[],
): OrtBackend {
  let created = 0;
  return {
    kind: backend.kind,
    version: backend.version,
    tensor: (data, dimensions) => backend.tensor(data, dimensions),
    dispose: () => undefined,
    createSession: async (model, options) => {
      const session = await backend.createSession(model, options);
      if (created++ !== index) return session;
      return {
        inputNames: session.inputNames,
        outputNames: session.outputNames,
        run: (inputs, outputs) => run(session, inputs, outputs),
        dispose: () => session.dispose(),
      };
    },
  };
}

describe.each(["ffi", "stock"] as const)("the self-tests of the %s binding", (kind) => {
  let backend: OrtBackend;
  beforeAll(async () => {
    backend = await openBackend({ backend: kind, threads: 2 });
  });
  afterAll(() => backend.dispose());

  it("pass", async () => {
    await runSelfTests(backend);
  });

  it.each(selfTests.map(({ kernel }, index) => ({ kernel, index })))(
    "notice a wrong $kernel",
    async ({ kernel, index }) => {
      const faulty = withFault(backend, index, (session, inputs, outputs) => {
        const results = session.run(inputs, outputs);
        const data = results.at(-1)!.data as Float32Array;
        data[0] = data[0]! + 0.001;
        return results;
      });
      await expect(runSelfTests(faulty)).rejects.toThrow(
        expect.objectContaining({ code: "E_ORT_SELF_TEST", message: expect.stringContaining(kernel) }),
      );
    },
  );

  it("notice a second output that was never written", async () => {
    const index = selfTests.findIndex(({ kernel }) => kernel === "SimplifiedLayerNormalization");
    const faulty = withFault(backend, index, (session, inputs, [y]) => session.run(inputs, [y!, null]));
    await expect(runSelfTests(faulty)).rejects.toThrow(/SimplifiedLayerNormalization.*inverse\[0\] is 0/);
  });

  it.each(
    selfTests.flatMap(({ kernel }, index) => (/in place|one cache/.test(kernel) ? [{ kernel, index }] : [])),
  )("notice that $kernel did not write there", async ({ kernel, index }) => {
    const faulty = withFault(backend, index, (session, inputs, outputs) =>
      session.run(
        inputs,
        outputs.map(() => null),
      ),
    );
    await expect(runSelfTests(faulty)).rejects.toThrow(
      expect.objectContaining({ code: "E_ORT_SELF_TEST", message: expect.stringContaining(kernel) }),
    );
  });
});
