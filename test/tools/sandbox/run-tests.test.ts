/** Tests of programs: what passes, what is told, and that what is expected stays outside. */

import { expect, test } from "vitest";
import { JavaScriptSandbox, runTests } from "../../../src/tools/sandbox/index.ts";

const sandbox = await JavaScriptSandbox.load();
const tests = [
  { input: [[1, 2]], output: 3 },
  { input: [[]], output: 0 },
  { input: [[5]], output: 5 },
];

test("counts what passes, and says of the rest what it was", async () => {
  expect(await runTests(sandbox, "x => x.reduce((a, b) => a + b)", tests)).toEqual({
    passed: 2,
    total: 3,
    passRate: 2 / 3,
    results: [
      { status: "passed" },
      { status: "error", type: "TypeError", message: expect.any(String) },
      { status: "passed" },
    ],
  });
  expect((await runTests(sandbox, "x => x.length", tests)).results).toEqual([
    { status: "wrong", actual: 2 },
    { status: "passed" },
    { status: "wrong", actual: 1 },
  ]);
});

test("nothing that JSON has is wrong, and NaN is not null", async () => {
  expect((await runTests(sandbox, "() => undefined", tests)).results[0]).toEqual({ status: "wrong" });
  const [result] = (await runTests(sandbox, "() => NaN", [{ input: [], output: null }])).results;
  expect(result).toEqual({ status: "wrong", actual: { "not a number": "NaN" } });
});

test("a program cannot read what it is expected to give", async () => {
  const spy =
    "() => Object.getOwnPropertyNames(globalThis).concat(Object.keys(new Error().stack ?? ''), (function f() { return f.caller === null ? [] : ['caller'] })())";
  const { results } = await runTests(sandbox, spy, [{ input: [], output: "a very secret answer" }]);
  expect(JSON.stringify(results)).not.toContain("secret");
});

test("without tests everything passes", async () => {
  expect(await runTests(sandbox, "() => 1", [])).toEqual({ passed: 0, total: 0, passRate: 1, results: [] });
});
