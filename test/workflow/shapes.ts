/**
 * @file Workflows of any shape, drawn by fast-check: sequences, parallel branches, races, children, loops, conditions that
 * depend on outputs, equal prompts asked at once, models, tools, prompts and memories that fail and are caught, losers that
 * are stopped, early ends, random numbers and times. One workflow function interprets them. Outputs depend on the random
 * key, so another key is another answer; answers come after any number of turns of the event loop.
 */

import fc from "fast-check";
import type { Policy } from "../../src/engine/policy.ts";
import { uniformAt } from "../../src/random/stream.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { agent, type CallOptions } from "../../src/workflow/agent.ts";
import { ModelCallError, type PromptError, ToolError } from "../../src/workflow/errors.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { type AnyWorkflow, workflow } from "../../src/workflow/workflow.ts";

export type Shape =
  | {
      readonly kind: "call";
      readonly agent: "one" | "two";
      readonly prompt: number;
      readonly fails?: boolean;
    }
  /** The same request several times at once. */
  | { readonly kind: "twins"; readonly agent: "one" | "two"; readonly times: number }
  | { readonly kind: "tool"; readonly input: number; readonly fails: boolean; readonly atOnce: boolean }
  | { readonly kind: "random" }
  | { readonly kind: "now" }
  /** Whether time has passed by the meter. */
  | { readonly kind: "meter" }
  | { readonly kind: "too long" }
  | { readonly kind: "bad memory" }
  | { readonly kind: "remember"; readonly key: "k" | "l" }
  | { readonly kind: "recall"; readonly key: "k" | "l" }
  | { readonly kind: "sequence"; readonly parts: readonly Shape[] }
  | { readonly kind: "parallel"; readonly parts: readonly Shape[] }
  | { readonly kind: "race"; readonly parts: readonly Shape[] }
  /** The first answer of several calls stops the others, and waits until they have stopped. */
  | { readonly kind: "first"; readonly prompts: readonly number[] }
  | { readonly kind: "all settled"; readonly parts: readonly Shape[] }
  /** Ends the workflow at once, whatever else is under way. */
  | { readonly kind: "stop" }
  | { readonly kind: "loop"; readonly times: number; readonly part: Shape }
  | { readonly kind: "if"; readonly part: Shape }
  | { readonly kind: "child"; readonly part: Shape };

const turns = (count: number) =>
  Array.from({ length: count }).reduce<Promise<void>>(
    (before) => before.then(() => new Promise<void>((go) => setImmediate(go))),
    Promise.resolve(),
  );

const one = agent("one", { prompt: (v: { text: string }) => `one ${v.text}`, maxTokens: 40 });
const two = agent("two", {
  prompt: (v: { text: string }) => [{ role: "user", content: `two ${v.text}` }],
  maxTokens: 40,
});

interface LookInput {
  readonly input: number;
  readonly text: string;
  readonly fails: boolean;
}

/** A function of its input. */
const glance = ({ input, text, fails }: LookInput) => {
  if (fails) throw new Error(`no ${input}`);
  return { found: [`${input}:${text.length}`, text.slice(0, 6)] };
};

/** The same, late. */
const look = async (given: LookInput) => {
  await turns(given.text.length % 3);
  return glance(given);
};

class EarlyStop extends Error {}

const longPrompt = "long ".repeat(100_000);

const failing = "[fail]";

type Context = Parameters<AnyWorkflow["run"]>[0];

/** The text that a shape comes to, given the text before it. */
async function interpret(shape: Shape, before: string, context: Context): Promise<string> {
  const { agents, tools, memory } = context as never as {
    agents: Record<"one" | "two", (v: { text: string }, options?: CallOptions) => Promise<{ text: string }>>;
    tools: { look: typeof look; glance: typeof look };
    memory: Context["memory"];
  };
  switch (shape.kind) {
    case "call":
      try {
        const text = `${shape.fails ? failing : ""}${shape.prompt} ${before}`;
        return (await agents[shape.agent]({ text })).text;
      } catch (error) {
        if (error instanceof ModelCallError) return `caught ${(error.cause as Error).message}`;
        throw error;
      }
    case "twins":
      return (
        await Promise.all(
          Array.from({ length: shape.times }, () => agents[shape.agent]({ text: `twin ${before}` })),
        )
      )
        .map(({ text }) => text)
        .join("/");
    case "too long":
      return agents.one({ text: longPrompt }).then(
        ({ text }) => text,
        (error: Error) => `caught ${(error as PromptError).code}`,
      );
    case "bad memory":
      return memory.put("k", Number.NaN).then(
        () => before,
        (error: Error) => `caught ${(error as ToolError).code}`,
      );
    case "first": {
      const stop = new AbortController();
      const calls = shape.prompts.map((prompt) =>
        agents.one({ text: `first ${prompt} ${before}` }, { signal: stop.signal }),
      );
      const { text } = await Promise.race(calls);
      stop.abort(new Error("not needed"));
      const ends = await Promise.allSettled(calls);
      return `${text}${ends.map(({ status }) => status[0]).join("")}`;
    }
    case "all settled":
      return (
        await Promise.allSettled(shape.parts.map((part, i) => interpret(part, `${before}${i}`, context)))
      )
        .map((end) => {
          if (end.status === "fulfilled") return end.value;
          if (end.reason instanceof EarlyStop) return end.reason.message;
          throw end.reason;
        })
        .join("&");
    case "stop":
      throw new EarlyStop(`stopped ${before}`);
    case "meter":
      return `${before}${context.meter().seconds > 0 ? "+" : ""}${context.meter().outputTokens}`;
    case "tool":
      try {
        const tool = shape.atOnce ? tools.glance : tools.look;
        const { found } = await tool({ input: shape.input, text: before, fails: shape.fails });
        return found.join(",");
      } catch (error) {
        if (error instanceof ToolError) return `caught ${(error.cause as Error).message}`;
        throw error;
      }
    case "random":
      return `${before}${context.random.integer(10)}`;
    case "now":
      return `${before}${context.now() % 7}`;
    case "remember":
      await memory.put(shape.key, before);
      return before;
    case "recall":
      return `${before}+${String(await memory.get(shape.key))}`;
    case "sequence": {
      let text = before;
      for (const part of shape.parts) text = await interpret(part, text, context);
      return text;
    }
    case "parallel":
      return (
        await Promise.all(shape.parts.map((part, i) => interpret(part, `${before}${i}`, context)))
      ).join("|");
    case "race":
      return Promise.race(shape.parts.map((part, i) => interpret(part, `${before}${i}`, context)));
    case "loop": {
      let text = before;
      for (let i = 0; i < shape.times; i++) text = await interpret(shape.part, text, context);
      return text;
    }
    case "if":
      return before.length % 2 === 0 ? interpret(shape.part, before, context) : `${before}-`;
    case "child":
      return String(await context.spawn(shaped, { shape: shape.part, before }));
  }
}

export interface ShapeTask {
  readonly shape: Shape;
  readonly before: string;
}

export const shaped: AnyWorkflow = workflow(
  "shaped",
  { agents: { one, two }, tools: { look, glance }, task: taskOf<ShapeTask>(), limits: { depth: 20 } },
  async (context) => {
    const { shape, before } = context.task;
    const text = await interpret(shape, before, context as never as Context).catch((error: unknown) => {
      if (error instanceof EarlyStop) return error.message;
      throw error;
    });
    context.reward(text.length % 5, { name: context.scope === "" ? "whole" : "part" });
    return text.slice(0, 60);
  },
);

/** Six letters that depend on the key alone, after as many turns as the key and `pace` say. */
export async function keyedPolicy(onSample: () => void = () => {}, pace = 9): Promise<Policy> {
  return scriptedPolicy({
    answer: async (prompt, { key, signal }) => {
      onSample();
      await turns(Math.floor(uniformAt(key, pace) * 4));
      signal?.throwIfAborted();
      if (prompt.includes(failing)) throw new Error("the model is down");
      return Array.from({ length: 6 }, (__, i) => "abcdefgh"[Math.floor(uniformAt(key, i) * 8)]).join("");
    },
  }).open({ name: "keyed", seed: 0 });
}

const agentName = fc.constantFrom("one" as const, "two" as const);

/** Calls and tools: what comes of them does not depend on who is faster. */
const leaves: readonly fc.Arbitrary<Shape>[] = [
  fc.record({
    kind: fc.constant("call" as const),
    agent: agentName,
    prompt: fc.integer({ min: 0, max: 1 }),
    fails: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
  }),
  fc.record({
    kind: fc.constant("twins" as const),
    agent: agentName,
    times: fc.integer({ min: 2, max: 3 }),
  }),
  fc.record({
    kind: fc.constant("tool" as const),
    input: fc.integer({ min: 0, max: 3 }),
    fails: fc.boolean(),
    atOnce: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("too long" as const) }),
];

const key = fc.constantFrom("k" as const, "l" as const);

/** Streams, the clock, the memory and the numbers of children are shared: branches get them in the order of asking. */
const shared: readonly fc.Arbitrary<Shape>[] = [
  fc.record({ kind: fc.constant("random" as const) }),
  fc.record({ kind: fc.constant("now" as const) }),
  fc.record({ kind: fc.constant("remember" as const), key }),
  fc.record({ kind: fc.constant("recall" as const), key }),
  fc.record({ kind: fc.constant("bad memory" as const) }),
];

const timed: readonly fc.Arbitrary<Shape>[] = [
  fc.record({ kind: fc.constant("meter" as const) }),
  fc.record({ kind: fc.constant("stop" as const) }),
  fc.record({
    kind: fc.constant("first" as const),
    prompts: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 3 }),
  }),
];

/** `part` in every way that keeps the order of what happens. */
function inOrder(part: fc.Arbitrary<Shape>): fc.Arbitrary<Shape>[] {
  return [
    fc.record({
      kind: fc.constant("sequence" as const),
      parts: fc.array(part, { minLength: 1, maxLength: 4 }),
    }),
    fc.record({ kind: fc.constant("loop" as const), times: fc.integer({ min: 1, max: 3 }), part }),
    fc.record({ kind: fc.constant("if" as const), part }),
  ];
}

const together = (kind: "parallel" | "race" | "all settled", part: fc.Arbitrary<Shape>) =>
  fc.record({ kind: fc.constant(kind), parts: fc.array(part, { minLength: 1, maxLength: 4 }) });

const child = (part: fc.Arbitrary<Shape>) => fc.record({ kind: fc.constant("child" as const), part });

const depth = { maxDepth: 4, depthSize: "small" } as const;

export const anyShape: fc.Arbitrary<Shape> = fc.letrec<{ shape: Shape }>((tie) => {
  const part = tie("shape");
  return {
    shape: fc.oneof(
      depth,
      ...leaves,
      ...shared,
      ...timed,
      ...inOrder(part),
      together("parallel", part),
      together("race", part),
      together("all settled", part),
      child(part),
    ),
  };
}).shape;

/** Shapes whose outcome does not depend on who is faster. */
export const steadyShape: fc.Arbitrary<Shape> = fc.letrec<{ shape: Shape; branch: Shape }>((tie) => {
  const [shape, branch] = [tie("shape"), tie("branch")];
  const parallel = [together("parallel", branch), together("all settled", branch)];
  return {
    shape: fc.oneof(depth, ...leaves, ...shared, ...inOrder(shape), ...parallel, child(shape)),
    branch: fc.oneof(depth, ...leaves, ...inOrder(branch), ...parallel),
  };
}).shape;
