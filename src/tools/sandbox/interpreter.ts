/**
 * @file One QuickJS compiled to WebAssembly, for the sandbox's thread: each program gets an interpreter of its own, with
 * bounds on steps, memory, stack and output, and sees JSON alone.
 *
 * The bound on steps is a count of QuickJS's interrupts (one in about ten thousand steps), so that what passes does not
 * depend on how busy the machine is; time is the second bound. Neither ends a single step that takes long (filling a huge
 * array): that is for whoever owns the thread.
 */

import type { QuickJSContext, QuickJSWASMModule } from "quickjs-emscripten";
import type { SandboxLimits } from "./limits.ts";
import type { JsonValue, ProgramResult } from "./program-result.ts";

/**
 * What reads arguments and writes results inside. It is made before the program, of functions that the program cannot reach.
 * Numbers that JSON has not are strings in there that no JSON number is.
 */
const harness = `(() => {
  const { parse, stringify } = JSON;
  const { isArray } = Array;
  const finite = Number.isFinite;
  const apply = Reflect.apply;
  const plain = (key, value) => {
    if (typeof value === "number" && !finite(value)) return { "not a number": value + "" };
    if (typeof value === "bigint") return { bigint: value + "" };
    return value;
  };
  return (program, text) => stringify(apply(program, undefined, parse(text)), plain);
})()`;

/**
 * A program gives the same whenever and wherever it runs: chance is a fixed sequence (Park and Miller's minimal standard
 * generator, 1988), and it is always the first instant of 1970. The real clock is in no program's reach.
 */
const steady = `(() => {
  let state = 1;
  Math.random = () => (state = (state * 16807) % 2147483647) / 2147483647;
  const Clock = Date;
  const { construct } = Reflect;
  const FixedDate = new Proxy(Clock, {
    construct: (target, values, made) => construct(target, values.length === 0 ? [0] : values, made),
    apply: () => new Clock(0).toString(),
  });
  Clock.now = () => 0;
  Clock.prototype.constructor = FixedDate;
  globalThis.Date = FixedDate;
  delete globalThis.performance;
})()`;

export class Interpreter {
  readonly #limits: Required<SandboxLimits>;
  #module: QuickJSWASMModule;

  private constructor(module: QuickJSWASMModule, limits: Required<SandboxLimits>) {
    this.#module = module;
    this.#limits = limits;
  }

  static async load(limits: Required<SandboxLimits>): Promise<Interpreter> {
    return new Interpreter(await loadModule(), limits);
  }

  /**
   * Calls a program with each list of arguments in turn. The calls see the same interpreter, and no other program does.
   *
   * @param program A JavaScript expression that gives a function.
   * @param calls [calls] arguments, as JSON values.
   * @returns [calls] what became of each.
   */
  async run(program: string, calls: readonly (readonly JsonValue[])[]): Promise<readonly ProgramResult[]> {
    try {
      return this.#run(program, calls);
    } catch (error) {
      // The interpreter itself gave way (a trap of WebAssembly): it is thrown away with the program that did it.
      this.#module = await loadModule();
      const result = trapResult(error);
      return calls.map(() => result);
    }
  }

  #run(program: string, calls: readonly (readonly JsonValue[])[]): readonly ProgramResult[] {
    const { memory, stack } = this.#limits;
    const runtime = this.#module.newRuntime();
    const budget = new Budget(this.#limits);
    try {
      runtime.setMemoryLimit(memory);
      runtime.setMaxStackSize(stack);
      runtime.setInterruptHandler(() => budget.spent());
      const context = runtime.newContext();
      try {
        return callAll(context, program, calls, budget, this.#limits.output);
      } finally {
        context.dispose();
      }
    } finally {
      runtime.dispose();
    }
  }
}

/** Of one call. */
class Budget {
  readonly #limits: Required<SandboxLimits>;
  #interrupts = 0;
  #ends = 0;
  over = false;

  constructor(limits: Required<SandboxLimits>) {
    this.#limits = limits;
    this.renew();
  }

  renew(): void {
    this.#interrupts = 0;
    this.#ends = performance.now() + this.#limits.milliseconds;
    this.over = false;
  }

  spent(): boolean {
    this.over ||= ++this.#interrupts > this.#limits.interrupts || performance.now() > this.#ends;
    return this.over;
  }
}

function callAll(
  context: QuickJSContext,
  program: string,
  calls: readonly (readonly JsonValue[])[],
  budget: Budget,
  most: number,
): readonly ProgramResult[] {
  context.unwrapResult(context.evalCode(steady, "steady.js")).dispose();
  const prepared = context.unwrapResult(context.evalCode(harness, "harness.js"));
  try {
    const made = context.evalCode(`(${program}\n)`, "program.js");
    if (made.error !== undefined) {
      const result = errorResult(context, made.error, budget);
      return calls.map(() => result);
    }
    try {
      if (context.typeof(made.value) !== "function") {
        const message = "it is not a function";
        return calls.map(() => ({ status: "error", type: "TypeError", message }) as const);
      }
      return calls.map((values) => {
        budget.renew();
        return callOnce(context, prepared, made.value, values, budget, most);
      });
    } finally {
      made.value.dispose();
    }
  } finally {
    prepared.dispose();
  }
}

type Handle = ReturnType<QuickJSContext["newString"]>;

function callOnce(
  context: QuickJSContext,
  prepared: Handle,
  program: Handle,
  values: readonly JsonValue[],
  budget: Budget,
  most: number,
): ProgramResult {
  const text = context.newString(JSON.stringify(values));
  try {
    const called = context.callFunction(prepared, context.undefined, program, text);
    if (called.error !== undefined) return errorResult(context, called.error, budget);
    try {
      if (context.typeof(called.value) !== "string") return { status: "value" };
      // Its length is read before the text is copied out.
      const length = context.getProp(called.value, "length").consume((handle) => context.getNumber(handle));
      if (length > most) return { status: "output", characters: length };
      return { status: "value", value: JSON.parse(context.getString(called.value)) as JsonValue };
    } finally {
      called.value.dispose();
    }
  } finally {
    text.dispose();
  }
}

/** What was thrown. Reading it may run the program's own code again, so it is within the budget, too. */
function errorResult(context: QuickJSContext, error: Handle, budget: Budget): ProgramResult {
  try {
    if (budget.over) return { status: "timeout" };
    const part = (name: string): string => {
      const value = context.getProp(error, name);
      try {
        return context.typeof(value) === "string" ? context.getString(value).slice(0, 200) : "";
      } finally {
        value.dispose();
      }
    };
    const isObject = context.typeof(error) === "object" || context.typeof(error) === "function";
    const [type, message] = isObject ? [part("name"), part("message")] : ["thrown", shown(context, error)];
    if (budget.over) return { status: "timeout" };
    if (type === "InternalError" && message === "out of memory") return { status: "memory" };
    return { status: "error", type: type === "" ? "Error" : type, message };
  } finally {
    error.dispose();
  }
}

function shown(context: QuickJSContext, value: Handle): string {
  const kind = context.typeof(value);
  return kind === "string" || kind === "number" || kind === "boolean"
    ? String(context.dump(value)).slice(0, 200)
    : kind;
}

/** A program that broke the interpreter wanted more than there is. */
function trapResult(error: unknown): ProgramResult {
  const message = error instanceof Error ? error.message : String(error);
  return /memory|alloc/i.test(message)
    ? { status: "memory" }
    : { status: "error", type: "InternalError", message: message.slice(0, 200) };
}

async function loadModule(): Promise<QuickJSWASMModule> {
  const { newQuickJSWASMModule } = await import("quickjs-emscripten");
  return newQuickJSWASMModule();
}
