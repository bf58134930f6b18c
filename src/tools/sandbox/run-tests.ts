/** @file Tests of a program: arguments and what it must give. What it must give never enters the sandbox. */

import type { JavaScriptSandbox } from "./javascript-sandbox.ts";
import { type JsonValue, type ProgramResult, sameJson } from "./program-result.ts";

export interface ProgramTest {
  /** Arguments. */
  readonly input: readonly JsonValue[];
  readonly output: JsonValue;
}

export type TestResult =
  | { readonly status: "passed" }
  /** `actual` is absent where it gave nothing that JSON has. */
  | { readonly status: "wrong"; readonly actual?: JsonValue }
  | Exclude<ProgramResult, { status: "value" }>;

export interface TestReport {
  readonly passed: number;
  readonly total: number;
  /** passed ÷ total; 1 without tests. */
  readonly passRate: number;
  /** [tests] */
  readonly results: readonly TestResult[];
}

/** Runs one program on tests. Plain data comes out, so it can be a workflow's tool. */
export async function runTests(
  sandbox: JavaScriptSandbox,
  program: string,
  tests: readonly ProgramTest[],
): Promise<TestReport> {
  const outcomes = await sandbox.run(
    program,
    tests.map(({ input }) => input),
  );
  const results = outcomes.map((outcome, i): TestResult => {
    if (outcome.status !== "value") return outcome;
    const { value } = outcome;
    if (value !== undefined && sameJson(value, tests[i]!.output)) return { status: "passed" };
    return value === undefined ? { status: "wrong" } : { status: "wrong", actual: value };
  });
  const passed = results.filter(({ status }) => status === "passed").length;
  const total = results.length;
  return { passed, total, passRate: total === 0 ? 1 : passed / total, results };
}
