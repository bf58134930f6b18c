/** @file Models of the AI SDK as participants, against objects of specification v3 as its providers make them. */

import { describe, expect, test } from "vitest";
import type { TextPolicy, TextRequest } from "../../../src/engine/policy.ts";
import { type AiSdkModel, aiSdk, type RemoteLimits } from "../../../src/engine/remote/index.ts";
import { key } from "../../../src/random/stream.ts";

const usage = {
  inputTokens: { total: 3, noCache: 3, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 10, text: 10, reasoning: undefined },
};
const said = (text: string) => ({
  content: [
    { type: "reasoning", text: "hm" },
    { type: "text", text },
  ],
  finishReason: { unified: "stop", raw: "stop" },
  usage,
  warnings: [],
});

interface Options {
  readonly prompt: readonly unknown[];
  readonly abortSignal: AbortSignal;
  readonly [name: string]: unknown;
}

function model(doGenerate: (options: Options, call: number) => unknown): AiSdkModel {
  let calls = 0;
  return {
    specificationVersion: "v3",
    provider: "test",
    modelId: "small",
    doGenerate: async (options: Options) => {
      calls += 1;
      return doGenerate(options, calls);
    },
  } as AiSdkModel;
}

const open = (from: AiSdkModel, limits: RemoteLimits = {}): Promise<TextPolicy> =>
  aiSdk(from, { firstWaitSeconds: 0.001, ...limits }).open({ name: "judge", seed: 0 });
const request = (more: Partial<TextRequest> = {}): TextRequest => ({
  messages: [{ role: "user", content: "Hi" }],
  maxTokens: 16,
  key: key("test"),
  ...more,
});

test("a request in the specification's terms, and its answer in ours", async () => {
  let seen: Options | undefined;
  const policy = await open(
    model((options) => {
      seen = options;
      return said("Hello");
    }),
    { prices: { prompt: 1, output: 1 } },
  );
  const result = await policy.generate(
    request({
      sampling: { temperature: 0, topP: 0.5 },
      stop: ["\n"],
      tools: [{ name: "search", description: "d", parameters: { type: "object" } }],
      messages: [
        { role: "system", content: "s" },
        { role: "user", content: "q" },
        {
          role: "assistant",
          content: "",
          toolCalls: [
            { name: "search", arguments: { a: 1 } },
            { name: "add", arguments: {} },
          ],
        },
        { role: "tool", name: "search", content: "1" },
        { role: "tool", name: "add", content: "2" },
      ],
    }),
  );
  expect(result).toEqual({
    text: "Hello",
    stopReason: "end",
    usage: { promptTokens: 3, outputTokens: 10 },
    cost: 13e-6,
  });
  const { abortSignal, ...options } = seen!;
  expect(abortSignal).toBeInstanceOf(AbortSignal);
  const toolResult = (toolCallId: string, toolName: string, value: string) => ({
    ...{ type: "tool-result", toolCallId, toolName },
    output: { type: "text", value },
  });
  expect(options).toEqual({
    prompt: [
      { role: "system", content: "s" },
      { role: "user", content: [{ type: "text", text: "q" }] },
      {
        role: "assistant",
        content: [
          { type: "tool-call", toolCallId: "call00001", toolName: "search", input: { a: 1 } },
          { type: "tool-call", toolCallId: "call00002", toolName: "add", input: {} },
        ],
      },
      {
        role: "tool",
        content: [toolResult("call00001", "search", "1"), toolResult("call00002", "add", "2")],
      },
    ],
    maxOutputTokens: 16,
    temperature: 0,
    topP: 0.5,
    stopSequences: ["\n"],
    tools: [{ type: "function", name: "search", description: "d", inputSchema: { type: "object" } }],
    toolChoice: { type: "auto" },
    seed: key("test")[0] & 0x7fffffff,
  });
});

test("tool calls come back; those that the provider ran itself do not", async () => {
  const call = { type: "tool-call", toolCallId: "x", toolName: "search", input: '{"query": "Peru"}' };
  const policy = await open(
    model(() => ({
      ...said(""),
      content: [call, { ...call, providerExecuted: true }],
      finishReason: "tool-calls",
    })),
  );
  expect(await policy.generate(request())).toMatchObject({
    stopReason: "end",
    toolCalls: [{ name: "search", arguments: { query: "Peru" } }],
  });
});

describe("failures", () => {
  const apiError = (more: object) => Object.assign(new Error("Overloaded"), { statusCode: 529, ...more });

  test("what the SDK calls retryable is tried again, after the time the service asks for", async () => {
    const policy = await open(
      model((_, call) => {
        if (call < 3) throw apiError({ isRetryable: true, responseHeaders: { "retry-after": "0.05" } });
        return said("ok");
      }),
    );
    const started = performance.now();
    expect((await policy.generate(request())).text).toBe("ok");
    expect(performance.now() - started).toBeGreaterThanOrEqual(99);
  });

  test("anything else fails at once, typed", async () => {
    let calls = 0;
    const policy = await open(
      model(() => {
        calls += 1;
        throw apiError({ statusCode: 401, isRetryable: false });
      }),
    );
    await expect(policy.generate(request())).rejects.toMatchObject({
      code: "E_REMOTE_STATUS",
      facts: { policy: "judge", status: 401 },
    });
    expect(calls).toBe(1);
  });

  test.each([
    ["a filtered answer", { ...said("x"), finishReason: { unified: "content-filter" } }, "E_REMOTE_FILTERED"],
    ["an error as the end", { ...said("x"), finishReason: { unified: "error" } }, "E_REMOTE_RESPONSE"],
    ["no counts", { ...said("x"), usage: { inputTokens: { total: undefined } } }, "E_REMOTE_RESPONSE"],
    ["nothing", undefined, "E_REMOTE_RESPONSE"],
  ])("%s", async (_, answer, code) => {
    await expect((await open(model(() => answer))).generate(request())).rejects.toMatchObject({ code });
  });

  test("a setting that the specification lacks is refused, not dropped", async () => {
    const policy = await open(model(() => said("x")));
    await expect(policy.generate(request({ sampling: { minP: 0.1 } }))).rejects.toMatchObject({
      code: "E_REMOTE_SETTINGS",
      message: expect.stringContaining("minP"),
    });
    expect((await policy.generate(request({ sampling: { minP: 0, repetitionPenalty: 1 } }))).text).toBe("x");
  });

  test("a setting that the provider drops is told once", async () => {
    const told: string[] = [];
    const listen = (warning: Error) => told.push(warning.message);
    process.on("warning", listen);
    const warnings = [
      { type: "unsupported", feature: "seed" },
      { type: "unsupported", feature: "temperature", details: "not for reasoning models" },
    ];
    const policy = await open(model(() => ({ ...said("x"), warnings })));
    await policy.generate(request());
    await policy.generate(request());
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    expect(told).toEqual([
      'Policy "judge": the provider reports unsupported temperature: not for reasoning models',
    ]);
  });

  test("what is no model of the specification is refused when the run is set up", () => {
    expect(() => aiSdk({ ...model(() => 0), specificationVersion: "v2" })).toThrow("v2");
    expect(aiSdk({ ...model(() => 0), specificationVersion: "v4" }).kind).toBe("ai-sdk");
    expect(() => aiSdk("gpt-5" as never)).toThrow(expect.objectContaining({ code: "E_REMOTE_SETTINGS" }));
  });
});
