/** @file Remote policies against a real server on this machine that fails in every way it is told to. */

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { TextPolicy, TextRequest } from "../../../src/engine/policy.ts";
import { isTextPolicy, isTrainable } from "../../../src/engine/policy-spec.ts";
import { type RemoteOptions, remote } from "../../../src/engine/remote/index.ts";
import { key } from "../../../src/random/stream.ts";
import {
  completion,
  failure,
  halfJson,
  json,
  never,
  reset,
  type Service,
  slow,
  startService,
  truncated,
  usage,
} from "./service.ts";

const secret = "sk-test-0123456789";
let service: Service;
let policy: TextPolicy;
beforeAll(async () => {
  vi.stubEnv("TEST_REMOTE_KEY", secret);
  service = await startService();
  policy = await open();
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await service.close();
});
afterEach(() => service.next());

function open(more: Partial<RemoteOptions> = {}): Promise<TextPolicy> {
  return remote({
    baseUrl: service.baseUrl,
    model: "small",
    apiKey: "TEST_REMOTE_KEY",
    firstWaitSeconds: 0.001,
    longestWaitSeconds: 0.002,
    ...more,
  }).open({ name: "critic", seed: 0 });
}

const request = (more: Partial<TextRequest> = {}): TextRequest => ({
  messages: [{ role: "user", content: "Hi" }],
  maxTokens: 16,
  key: key("test"),
  ...more,
});

describe("a call", () => {
  test("sends what was asked, and gives text, stop reason, usage and cost", async () => {
    const priced = await open({ prices: { prompt: 1, output: 10 }, headers: { "x-team": "red" } });
    service.next(completion("Hello"));
    expect(
      await priced.generate(
        request({
          sampling: { temperature: 0.5, topP: 0.9, topK: 5, minP: 0.1, presencePenalty: 0.2 },
          stop: ["\n"],
        }),
      ),
    ).toEqual({
      text: "Hello",
      stopReason: "end",
      usage: { promptTokens: 12, outputTokens: 5 },
      cost: (12 + 50) / 1e6,
    });
    const [{ path, headers, body }] = service.received as [(typeof service.received)[0]];
    expect(path).toBe("/v1/chat/completions");
    expect(headers.authorization).toBe(`Bearer ${secret}`);
    expect(headers["x-team"]).toBe("red");
    expect(body).toEqual({
      model: "small",
      messages: [{ role: "user", content: "Hi" }],
      max_tokens: 16,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 5,
      min_p: 0.1,
      presence_penalty: 0.2,
      stop: ["\n"],
      seed: key("test")[0] & 0x7fffffff,
    });
    expect(isTextPolicy(priced)).toBe(true);
    expect(isTrainable(priced)).toBe(false);
  });

  test("neutral settings are not sent; further fields are", async () => {
    const other = await open({
      body: { reasoning_effort: "low" },
      maxTokensField: "max_completion_tokens",
      seed: false,
    });
    await other.generate(request({ sampling: { topK: 0, minP: 0, topP: 1, repetitionPenalty: 1 } }));
    expect(service.received[0]!.body).toEqual({
      model: "small",
      messages: [{ role: "user", content: "Hi" }],
      max_completion_tokens: 16,
      temperature: 1,
      reasoning_effort: "low",
    });
  });

  test("tools: definitions and earlier calls go out, calls come back", async () => {
    const call = { id: "x", type: "function", function: { name: "search", arguments: '{"query": "Peru"}' } };
    service.next(completion(null, { tool_calls: [call] }, { finish_reason: "tool_calls" }));
    const result = await policy.generate(
      request({
        tools: [{ name: "search", description: "d", parameters: { type: "object" } }],
        messages: [
          { role: "user", content: "q" },
          { role: "assistant", content: "", toolCalls: [{ name: "search", arguments: { query: "x" } }] },
          { role: "tool", name: "search", content: "found" },
        ],
      }),
    );
    expect(result).toMatchObject({
      text: "",
      stopReason: "end",
      toolCalls: [{ name: "search", arguments: { query: "Peru" } }],
    });
    const { tools, messages } = service.received[0]!.body as {
      tools: unknown;
      messages: Record<string, unknown>[];
    };
    expect(tools).toEqual([
      { type: "function", function: { name: "search", description: "d", parameters: { type: "object" } } },
    ]);
    expect(messages[1]).toEqual({
      role: "assistant",
      content: null,
      tool_calls: [
        { id: "call00001", type: "function", function: { name: "search", arguments: '{"query":"x"}' } },
      ],
    });
    expect(messages[2]).toEqual({
      role: "tool",
      name: "search",
      content: "found",
      tool_call_id: "call00001",
    });
  });

  test.each([
    ["length", { finish_reason: "length" }, "length"],
    ["a stop string that vLLM names", { finish_reason: "stop", stop_reason: "\n" }, "stop"],
  ])("ends by %s", async (_, choice, stopReason) => {
    service.next(completion("a", {}, choice));
    expect((await policy.generate(request())).stopReason).toBe(stopReason);
  });
});

describe("what another attempt cures", () => {
  test.each([
    ["429", failure(429)],
    ["500", failure(500)],
    ["503", failure(503)],
    ["a truncated answer", truncated],
    ["an answer that is half JSON", halfJson],
    ["a reset connection", reset],
  ])("%s, then an answer", async (_, fault) => {
    service.next(fault, fault);
    expect((await policy.generate(request())).text).toBe("ok");
    expect(service.received).toHaveLength(3);
  });

  test("an attempt that takes too long", async () => {
    const impatient = await open({ attemptSeconds: 0.1 });
    service.next(never);
    expect((await impatient.generate(request())).text).toBe("ok");
    expect(service.received).toHaveLength(2);
  });

  test("Retry-After is waited for, in seconds and as a date of the service's clock", async () => {
    service.next(failure(429, { "retry-after": "0.15" }));
    let started = performance.now();
    await policy.generate(request());
    expect(performance.now() - started).toBeGreaterThanOrEqual(149);
    const date = "Sat, 21 Nov 2026 06:00:00 GMT";
    service.next(failure(503, { date, "retry-after": "Sat, 21 Nov 2026 06:00:01 GMT" }));
    started = performance.now();
    await policy.generate(request());
    expect(performance.now() - started).toBeGreaterThanOrEqual(999);
  });
});

describe("what no attempt cures", () => {
  test.each([400, 401, 403, 404, 422, 301])(
    "status %d fails at once, with status and excerpt",
    async (status) => {
      service.next(failure(status));
      await expect(policy.generate(request())).rejects.toMatchObject({
        name: "RemoteError",
        code: "E_REMOTE_STATUS",
        message: expect.stringMatching(
          new RegExp(`"critic" \\(small\\) with status ${status}: .*status ${status} as told`),
        ),
        facts: { policy: "critic", status },
      });
      expect(service.received).toHaveLength(1);
    },
  );

  test("an account without credit, though it gets 429", async () => {
    service.next(json({ error: { code: "insufficient_quota" } }, 429));
    await expect(policy.generate(request())).rejects.toMatchObject({ facts: { status: 429 } });
    expect(service.received).toHaveLength(1);
  });

  test("no error holds the key, also where the service repeats it", async () => {
    service.next(json({ error: { message: `Incorrect API key provided: ${secret}` } }, 401));
    const error = await policy.generate(request()).catch((caught: unknown) => caught as Error);
    expect(error).toMatchObject({ code: "E_REMOTE_STATUS", hint: expect.stringContaining("key") });
    const everything = JSON.stringify([
      error,
      { ...(error as Error) },
      String(error),
      (error as Error).stack,
    ]);
    expect(everything).toContain("[key]");
    expect(everything).not.toContain(secret);
  });

  test.each([
    ["no choices", json({ usage })],
    ["an error with status 200", json({ error: { message: "no" } })],
    ["no usage", json({ choices: [{ message: { content: "x" }, finish_reason: "stop" }] })],
    ["no finish reason", completion("x", {}, { finish_reason: null })],
    [
      "no content",
      json({
        choices: [{ message: { content: null }, finish_reason: "stop" }],
        usage: { prompt_tokens: 1, completion_tokens: 0 },
      }),
    ],
  ])("an answer with %s", async (_, answer) => {
    service.next(answer);
    await expect(policy.generate(request())).rejects.toMatchObject({ code: "E_REMOTE_RESPONSE" });
    expect(service.received).toHaveLength(1);
  });

  test("a filtered or refused answer is no empty text", async () => {
    service.next(completion("", {}, { finish_reason: "content_filter" }));
    await expect(policy.generate(request())).rejects.toMatchObject({ code: "E_REMOTE_FILTERED" });
    service.next(completion(null, { refusal: "I cannot" }));
    await expect(policy.generate(request())).rejects.toThrow("I cannot");
  });

  test("a tool call whose arguments are no object", async () => {
    const call = { function: { name: "search", arguments: '{"query": ' } };
    service.next(completion(null, { tool_calls: [call] }, { finish_reason: "tool_calls" }));
    await expect(policy.generate(request())).rejects.toMatchObject({
      code: "E_REMOTE_TOOL_CALL",
      facts: { tool: "search" },
    });
  });

  test("attempts that run out give the last failure; a deadline says what failed last", async () => {
    const three = await open({ attempts: 3 });
    service.next(failure(500), failure(500), failure(502));
    await expect(three.generate(request())).rejects.toMatchObject({ facts: { status: 502 } });
    expect(service.received).toHaveLength(3);

    const hasty = await open({ deadlineSeconds: 0.3 });
    service.next(failure(429, { "retry-after": "5" }));
    const started = performance.now();
    await expect(hasty.generate(request())).rejects.toMatchObject({
      code: "E_REMOTE_DEADLINE",
      message: expect.stringContaining("status 429"),
      facts: { last: "E_REMOTE_STATUS", status: 429, attempts: 1 },
    });
    expect(performance.now() - started).toBeLessThan(250);

    service.next(never, never);
    await expect(hasty.generate(request())).rejects.toMatchObject({ code: "E_REMOTE_DEADLINE" });
  });

  test("nothing that listens", async () => {
    const gone = await startService();
    await gone.close();
    const nobody = await open({ baseUrl: gone.baseUrl, attempts: 2 });
    await expect(nobody.generate(request())).rejects.toMatchObject({
      code: "E_REMOTE_NETWORK",
      message: expect.stringMatching(/ECONNREFUSED/),
    });
  });
});

describe("stopping", () => {
  test("a signal stops a request, a wait and a place in the queue, with its reason", async () => {
    const narrow = await open({ concurrency: 1, firstWaitSeconds: 60, longestWaitSeconds: 60 });
    for (const answers of [[never], [failure(500)]]) {
      service.next(...answers);
      const stop = new AbortController();
      const running = narrow.generate(request({ signal: stop.signal }));
      const queued = narrow.generate(request({ signal: stop.signal }));
      const refused = Promise.all([
        expect(running).rejects.toThrow("enough"),
        expect(queued).rejects.toThrow("enough"),
      ]);
      setTimeout(() => stop.abort(new Error("enough")), 60);
      await refused;
      expect(service.received).toHaveLength(1);
    }
    service.next();
    expect((await narrow.generate(request())).text).toBe("ok");
    await expect(
      narrow.generate(request({ signal: AbortSignal.abort(new Error("before")) })),
    ).rejects.toThrow("before");
  });

  test("close ends what is in flight, and later calls say so", async () => {
    const closing = await open();
    service.next(never);
    const running = closing.generate(request());
    setTimeout(() => void closing.close(), 30);
    await expect(running).rejects.toMatchObject({ code: "E_POLICY_CLOSED" });
    await expect(closing.generate(request())).rejects.toMatchObject({ code: "E_POLICY_CLOSED" });
  });

  test("no more requests at once than `concurrency`", async () => {
    const two = await open({ concurrency: 2 });
    let inside = 0;
    let most = 0;
    const counting = slow(10, (response, received) => {
      inside -= 1;
      completion("ok")(response, received);
    });
    service.next(
      ...Array.from({ length: 9 }, () => (...parameters: Parameters<typeof counting>) => {
        inside += 1;
        most = Math.max(most, inside);
        counting(...parameters);
      }),
    );
    await Promise.all(Array.from({ length: 9 }, () => two.generate(request())));
    expect(most).toBe(2);
  });
});

describe("setting up", () => {
  const spec = (more: Partial<RemoteOptions>) => () =>
    remote({ baseUrl: "https://example.test/v1", model: "m", ...more });

  test.each([
    ["no URL", { baseUrl: "example" }, "baseUrl"],
    ["another protocol", { baseUrl: "ftp://example.test" }, "https://"],
    ["a password in the URL", { baseUrl: "https://a:b@example.test" }, "password"],
    ["no model", { model: "" }, "model"],
    ["no concurrency", { concurrency: 0 }, "concurrency"],
    ["half an attempt", { attempts: 1.5 }, "attempts"],
    ["a deadline that is no number", { deadlineSeconds: Number.NaN }, "deadlineSeconds"],
    ["a negative price", { prices: { prompt: -1, output: 1 } }, "prices.prompt"],
  ])("%s is refused", (_, more, message) => {
    expect(spec(more)).toThrow(expect.objectContaining({ code: "E_REMOTE_SETTINGS" }));
    expect(spec(more)).toThrow(message);
  });

  test("a key in the place of a variable's name is refused and not repeated", () => {
    try {
      spec({ apiKey: secret })();
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "E_REMOTE_SETTINGS" });
      expect(String(error)).not.toContain(secret);
    }
  });

  test("a missing key is told when the policy is opened; this machine needs none", async () => {
    await expect(
      spec({ apiKey: "TEST_MISSING_KEY" })().open({ name: "critic", seed: 0 }),
    ).rejects.toMatchObject({ code: "E_REMOTE_KEY", message: expect.stringContaining("TEST_MISSING_KEY") });
    await spec({ apiKey: null })().open({ name: "critic", seed: 0 });
    const without = await open({ apiKey: "TEST_MISSING_KEY" });
    await without.generate(request());
    expect(service.received[0]!.headers.authorization).toBeUndefined();
  });

  test("a key does not go over plain http to another machine", async () => {
    await expect(
      spec({ baseUrl: "http://example.test/v1", apiKey: "TEST_REMOTE_KEY" })().open({ name: "c", seed: 0 }),
    ).rejects.toMatchObject({ code: "E_REMOTE_SETTINGS", message: expect.stringContaining("plain http") });
  });

  test("the record holds names, not secrets", () => {
    const { settings } = spec({ headers: { "x-key": secret }, apiKey: "TEST_REMOTE_KEY" })();
    expect(settings).toMatchObject({ apiKey: "TEST_REMOTE_KEY", headers: ["x-key"], model: "m" });
    expect(JSON.stringify(settings)).not.toContain(secret);
  });
});
