/** @file The sandbox: programs that models wrote, run apart from everything. */

export { SandboxError } from "./errors.ts";
export { JavaScriptSandbox } from "./javascript-sandbox.ts";
export type { SandboxLimits } from "./limits.ts";
export { type JsonValue, type ProgramResult, sameJson } from "./program-result.ts";
export { type ProgramTest, runTests, type TestReport, type TestResult } from "./run-tests.ts";
