/**
 * @file Workflows of any shape, drawn by fast-check: sequences, parallel branches, races, children, loops, conditions that
 * depend on outputs, tools that fail and are caught, memory, random numbers and times. One workflow function interprets
 * them. Outputs depend on the random key, so another key is another answer; answers come after any number of turns of the
 * event loop.
 */

import fc from "fast-check";
import type { Policy } from "../../src/engine/policy.ts";
import { uniformAt } from "../../src/random/stream.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { agent } from "../../src/workflow/agent.ts";
import { ToolError } from "../../src/workflow/errors.ts";
import { taskOf } from "../../src/workflow/task-schema.ts";
import { type AnyWorkflow, workflow } from "../../src/workflow/workflow.ts";

export type Shape =
  | { readonly kind: "call"; readonly agent: "one" | "two"; readonly prompt: number }
  | { readonly kind: "tool"; readonly input: number; readonly fails: boolean }
  | { readonly kind: "random" }
  | { readonly kind: "now" }
  | { readonly kind: "remember"; readonly key: "k" | "l" }
  | { readonly kind: "recall"; readonly key: "k" | "l" }
  | { readonly kind: "sequence"; readonly parts: readonly Shape[] }
  | { readonly kind: "parallel"; readonly parts: readonly Shape[] }
  | { readonly kind: "race"; readonly parts: readonly Shape[] }
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

/** Outputs of the tool are a function of its input, and late. */
const look = async ({ input, text, fails }: { input: number; text: string; fails: boolean }) => {
  await turns(text.length % 3);
  if (fails) throw new Error(`no ${input}`);
  return { found: [`${input}:${text.length}`, text.slice(0, 6)] };
};

type Context = Parameters<AnyWorkflow["run"]>[0];

/** The text that a shape comes to, given the text before it. */
async function interpret(shape: Shape, before: string, context: Context): Promise<string> {
  const { agents, tools, memory } = context as never as {
    agents: Record<"one" | "two", (v: { text: string }) => Promise<{ text: string }>>;
    tools: { look: typeof look };
    memory: Context["memory"];
  };
  switch (shape.kind) {
    case "call":
      return (await agents[shape.agent]({ text: `${shape.prompt} ${before}` })).text;
    case "tool":
      try {
        const { found } = await tools.look({ input: shape.input, text: before, fails: shape.fails });
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
  { agents: { one, two }, tools: { look }, task: taskOf<ShapeTask>(), limits: { depth: 20 } },
  async (context) => {
    const { shape, before } = context.task;
    const text = await interpret(shape, before, context as never as Context);
    context.reward(text.length % 5, { name: context.scope === "" ? "whole" : "part" });
    return text.slice(0, 60);
  },
);

/** Six letters that depend on the key alone, after as many turns as the key says. */
export async function keyedPolicy(onSample: () => void = () => {}): Promise<Policy> {
  return scriptedPolicy({
    answer: async (_, { key }) => {
      onSample();
      await turns(Math.floor(uniformAt(key, 9) * 4));
      return Array.from({ length: 6 }, (__, i) => "abcdefgh"[Math.floor(uniformAt(key, i) * 8)]).join("");
    },
  }).open({ name: "keyed", seed: 0 });
}

const leaf = [
  fc.record({
    kind: fc.constant("call" as const),
    agent: fc.constantFrom("one" as const, "two" as const),
    prompt: fc.integer({ min: 0, max: 1 }),
  }),
  fc.record({
    kind: fc.constant("tool" as const),
    input: fc.integer({ min: 0, max: 3 }),
    fails: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("random" as const) }),
  fc.record({ kind: fc.constant("now" as const) }),
] as const;

/** Shapes whose outcome does not depend on who is faster: no races, no memory that branches write at the same time. */
export const steadyShape: fc.Arbitrary<Shape> = shapes(false);
export const anyShape: fc.Arbitrary<Shape> = shapes(true);

function shapes(timed: boolean): fc.Arbitrary<Shape> {
  const key = fc.constantFrom("k" as const, "l" as const);
  return fc.letrec<{ shape: Shape }>((tie) => {
    const parts = fc.array(tie("shape"), { minLength: 1, maxLength: 4 });
    const inner: fc.Arbitrary<Shape>[] = [
      fc.record({ kind: fc.constant("sequence" as const), parts }),
      fc.record({ kind: fc.constant("parallel" as const), parts }),
      fc.record({
        kind: fc.constant("loop" as const),
        times: fc.integer({ min: 1, max: 3 }),
        part: tie("shape"),
      }),
      fc.record({ kind: fc.constant("if" as const), part: tie("shape") }),
      fc.record({ kind: fc.constant("child" as const), part: tie("shape") }),
      ...(timed
        ? [
            fc.record({ kind: fc.constant("race" as const), parts }),
            fc.record({ kind: fc.constant("remember" as const), key }),
            fc.record({ kind: fc.constant("recall" as const), key }),
          ]
        : []),
    ];
    return { shape: fc.oneof({ maxDepth: 4, depthSize: "small" }, ...leaf, ...inner) };
  }).shape;
}
