/** Programs in the sandbox: values, faults, bounds, attempts to get out, and that none sees another. */

import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { JavaScriptSandbox, type JsonValue, sameJson } from "../../../src/tools/sandbox/index.ts";

const sandbox = await JavaScriptSandbox.load();
afterAll(() => sandbox.close());
const one = async (program: string, values: readonly JsonValue[] = []) =>
  (await sandbox.run(program, [values]))[0];

describe("values", () => {
  test("JSON goes in and comes out", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.jsonValue({ maxDepth: 3 }), { maxLength: 4 }), async (values) => {
        const given = JSON.parse(JSON.stringify(values)) as readonly JsonValue[];
        const result = await one("(...all) => all", given);
        expect(result).toEqual({ status: "value", value: given });
      }),
      { numRuns: 100 },
    );
  });

  test("each call gets arguments of its own, and changing them changes nothing outside", async () => {
    const values = [[[3, 1, 2]], [[9, 8]]];
    expect(await sandbox.run("x => x.sort((a, b) => a - b)", values)).toEqual([
      { status: "value", value: [1, 2, 3] },
      { status: "value", value: [8, 9] },
    ]);
    expect(values).toEqual([[[3, 1, 2]], [[9, 8]]]);
  });

  test.each([
    ["() => undefined", { status: "value" }],
    ["() => () => 1", { status: "value" }],
    ["() => NaN", { status: "value", value: { "not a number": "NaN" } }],
    ["() => [1 / 0]", { status: "value", value: [{ "not a number": "Infinity" }] }],
    ["() => 10n", { status: "value", value: { bigint: "10" } }],
    ["() => new Map([[1, 2]])", { status: "value", value: {} }],
    ["() => ({ toJSON: () => 5 })", { status: "value", value: 5 }],
  ])("%s", async (program, result) => {
    expect(await one(program)).toEqual(result);
  });
});

describe("faults are data", () => {
  test.each([
    ["x => x.nothing.at", "TypeError"],
    ["() => missing", "ReferenceError"],
    ["() => {", "SyntaxError"],
    ["1 +", "SyntaxError"],
    ["5", "TypeError"],
    ["() => { throw new RangeError('no') }", "RangeError"],
    ["() => { throw 'a word' }", "thrown"],
    ["() => { throw null }", "Error"],
    ["() => { const a = []; a.push(a); return a; }", "TypeError"],
    ["() => { throw { get name() { throw 1 } } }", "Error"],
    ["", "SyntaxError"],
    ["() => 1) + (", "SyntaxError"],
  ])("%s: %s", async (program, type) => {
    expect(await one(program)).toMatchObject({ status: "error", type });
  });

  test("a message is cut", async () => {
    const result = await one("() => { throw new Error('x'.repeat(5000)) }");
    expect((result as { message: string }).message).toHaveLength(200);
  });
});

describe("bounds", () => {
  // Fewer than by default, so that the tests are quick.
  const small = JavaScriptSandbox.load({ interrupts: 20, milliseconds: 300 });
  const bounded = async (program: string) => (await (await small).run(program, [[]]))[0];

  test.each([
    "() => { for (;;); }",
    "() => { while (true) try { for (;;); } catch {} }",
    "() => { throw { get name() { for (;;); } } }",
    "() => ({ toJSON() { for (;;); } })",
    "() => new Proxy([], { get() { for (;;); } })",
    "function f() { return /^(a+)+$/.test('a'.repeat(40) + 'b') }",
  ])("%s ends", async (program) => {
    const began = performance.now();
    expect(await bounded(program)).toEqual({ status: "timeout" });
    expect(performance.now() - began).toBeLessThan(5000);
  });

  test("a program that never becomes a function ends, too", async () => {
    expect(await bounded("(() => { for (;;); })()")).toEqual({ status: "timeout" });
  });

  test("what passes is a matter of steps, and each call has its own", async () => {
    const tight = await JavaScriptSandbox.load({ interrupts: 5 });
    const program = "n => { let s = 0; for (let i = 0; i < n; i++) s += i; return s; }";
    const results = await tight.run(program, [[100], [1e7], [100]]);
    expect(results.map((result) => result.status)).toEqual(["value", "timeout", "value"]);
  });

  test.each([
    "() => { const a = []; for (;;) a.push(new Array(1e5).fill(1)); }",
    "() => 'x'.repeat(2 ** 28)",
  ])("%s is stopped for its memory", async (program) => {
    // Allocating may take longer than running out of memory.
    expect(["memory", "timeout"]).toContain((await bounded(program))?.status);
    expect(await bounded("() => 1")).toEqual({ status: "value", value: 1 });
  });

  test("a step that cannot be interrupted is ended with its thread, and does not hold up this one", async () => {
    let ticks = 0;
    const ticking = setInterval(() => ticks++, 20);
    const began = performance.now();
    const results = await (await small).run("n => n === 1 ? 1 : new Array(4e9 - n).fill(1)", [[1], [2]]);
    clearInterval(ticking);
    expect(["timeout", "memory"]).toContain(results[1]!.status);
    expect(performance.now() - began).toBeLessThan(8000);
    expect(ticks).toBeGreaterThan((performance.now() - began) / 20 / 3);
    expect(await bounded("() => 1")).toEqual({ status: "value", value: 1 });
  });

  test("programs that are asked for at once are run one after the other, whatever becomes of them", async () => {
    const programs = ["() => 1", "() => { for (;;); }", "() => 2", "nonsense", "() => 3"];
    const results = await Promise.all(programs.map(bounded));
    expect(results.map((result) => result?.status)).toEqual(["value", "timeout", "value", "error", "value"]);
  });

  test("a closed sandbox refuses", async () => {
    const other = await JavaScriptSandbox.load();
    const running = other.run("() => { for (;;); }", [[]]);
    const refused = expect(running).rejects.toMatchObject({ code: "E_SANDBOX_CLOSED" });
    await other.close();
    await refused;
    await expect(other.run("() => 1", [[]])).rejects.toMatchObject({ code: "E_SANDBOX_CLOSED" });
  });

  test("endless recursion is an error of the program", async () => {
    expect(await one("function f() { return f() + 1 }")).toMatchObject({ status: "error" });
    expect(await one("() => { let s = '['.repeat(1e5); return JSON.parse(s) }")).toMatchObject({
      status: "error",
    });
    expect(await one("() => 1")).toEqual({ status: "value", value: 1 });
  });

  test("a result that is too long does not come out", async () => {
    expect(await one("() => 'x'.repeat(30000)")).toEqual({ status: "output", characters: 30002 });
  });

  test.each([{ interrupts: 0 }, { memory: Number.NaN }, { milliseconds: -1 }])(
    "limits %j are refused",
    async (limits) => {
      await expect(JavaScriptSandbox.load(limits)).rejects.toMatchObject({ code: "E_SANDBOX_LIMIT" });
    },
  );
});

describe("there is no way out", () => {
  test.each([
    "process",
    "require",
    "module",
    "fetch",
    "console",
    "setTimeout",
    "WebAssembly",
    "Deno",
    "std",
    "os",
    "print",
    "Buffer",
  ])("no %s, by name or through the global object or a constructor", async (name) => {
    const result = await one(
      `() => [typeof ${name}, typeof globalThis["${name}"], typeof (() => {}).constructor("return this")()["${name}"], typeof [].constructor.constructor("return typeof ${name} === 'undefined' ? undefined : ${name}")()]`,
    );
    expect(result).toEqual({ status: "value", value: Array(4).fill("undefined") });
  });

  test("import gives nothing", async () => {
    const result = await one("() => { import('node:fs'); return import.meta.url }");
    expect(result?.status).toBe("error");
    // A promise is never waited for.
    expect(await one("async () => (await import('node:fs')).readFileSync('/etc/passwd')")).toEqual({
      status: "value",
      value: {},
    });
  });

  test("what a program changes is changed for itself alone, and does not change how it is judged", async () => {
    const spoil =
      "(x) => { JSON.stringify = () => '42'; JSON.parse = () => [0]; Array.prototype.map = () => 'mine'; Object.prototype.polluted = 1; Reflect.apply = () => 7; globalThis.kept = (globalThis.kept ?? 0) + 1; return [globalThis.kept, x]; }";
    expect(await sandbox.run(spoil, [[5], [6]])).toEqual([
      { status: "value", value: [1, 5] },
      { status: "value", value: [2, 6] },
    ]);
    expect(
      await one("x => [typeof kept, typeof ({}).polluted, x.map(a => a + 1), JSON.stringify(x)]", [[1]]),
    ).toEqual({
      status: "value",
      value: ["undefined", "undefined", [2], "[1]"],
    });
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test("__proto__ in a result is a name like any other", async () => {
    const result = await one(`() => JSON.parse('{"__proto__": {"polluted": 1}}')`);
    expect(result?.status).toBe("value");
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test("the source cannot end the expression that it is put in", async () => {
    expect(await one("() => 1); globalThis.kept = 9; (() => 2")).toMatchObject({ status: "value", value: 2 });
    expect(await one("() => typeof kept")).toEqual({ status: "value", value: "undefined" });
  });
});

test("hundreds of programs leave nothing behind", async () => {
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 300; i++)
    expect(await one(`x => x + ${i}`, [1])).toEqual({ status: "value", value: i + 1 });
  expect(process.memoryUsage().rss - before).toBeLessThan(80 * 2 ** 20);
});

describe("a program gives the same whenever it runs", () => {
  test("chance is a fixed sequence that begins anew for each program", async () => {
    const program = "() => [Math.random(), Math.random(), [3, 1, 2].sort(() => Math.random() - 0.5)]";
    const first = await sandbox.run(program, [[], []]);
    expect(await sandbox.run(program, [[], []])).toEqual(first);
    expect(first[0]).not.toEqual(first[1]);
    const many = await one("() => Array.from({ length: 1000 }, () => Math.random())");
    const draws = many?.status === "value" ? (many.value as readonly number[]) : [];
    expect(draws).toHaveLength(1000);
    expect(draws.every((draw) => draw > 0 && draw < 1)).toBe(true);
    expect(draws.reduce((sum, draw) => sum + draw, 0) / 1000).toBeCloseTo(0.5, 1);
  });

  test.each([
    "Date.now()",
    "new Date().getTime()",
    "new (new Date(5).constructor)().getTime()",
    "new (Object.getPrototypeOf(new Date(5)).constructor)().getTime()",
    "Date.parse(Date())",
    "Reflect.construct(Date, []).getTime()",
    "+new (class extends Date {})()",
    "(typeof performance === 'undefined' ? 0 : performance.now())",
  ])("%s is 0: there is no clock", async (code) => {
    expect(await one(`() => ${code}`)).toEqual({ status: "value", value: 0 });
  });

  test("dates that are named are as ever", async () => {
    const dates =
      "() => [new Date(2020, 1, 29).getDate(), new Date('2020-02-29T12:00:00Z').toISOString(), new Date(0) instanceof Date]";
    expect(await one(dates)).toEqual({ status: "value", value: [29, "2020-02-29T12:00:00.000Z", true] });
  });
});

test("equality of JSON values", () => {
  expect(sameJson([1, { a: 2, b: [3] }], [1, { b: [3], a: 2 }])).toBe(true);
  expect(sameJson({ a: 1 }, { a: 1, b: 2 })).toBe(false);
  expect(sameJson([1], { 0: 1 })).toBe(false);
  expect(sameJson({ toString: 1 }, { valueOf: 1 })).toBe(false);
  expect(sameJson(null, {})).toBe(false);
  expect(sameJson(0, -0)).toBe(true);
  expect(sameJson("1", 1)).toBe(false);
});
