/** @file The sampler as a whole: settings, endings, constraints, cancellation, reuse across weights, long runs. */

import { beforeAll, describe, expect, it } from "vitest";
import type { Sampler } from "../../../../src/engine/local/sampling/sampler.ts";
import type {
  SampledToken,
  SampleResult,
  SamplingSettings,
  TokenConstraint,
} from "../../../../src/engine/policy.ts";
import { tinyConfig } from "../model/fixtures.ts";
import {
  ask,
  logSoftmax,
  type Model,
  prompt,
  referenceLogits,
  sampleAll,
  tinyModel,
  worstLogprob,
} from "./setup.ts";

const config = tinyConfig("qwen3", { vocabularySize: 64, contextLength: 128 });
let model: Model;
beforeAll(async () => {
  model = await tinyModel(config, 5);
}, 60_000);

/** Steps one request to its end and returns how it ended. */
function outcome(sampler: Sampler, request: Parameters<Sampler["submit"]>[1]): SampleResult | unknown {
  let end: unknown;
  sampler.submit(0, request, {
    onDone: (result) => {
      end = result;
    },
    onError: (error) => {
      end = error;
    },
  });
  while (sampler.step());
  return end;
}

describe("settings", () => {
  it.each<SamplingSettings>([
    { temperature: 0.4 },
    { temperature: 2.5 },
    { topK: 5 },
    { topP: 0.6, temperature: 0.7 },
    { minP: 0.3 },
    { repetitionPenalty: 1.5, presencePenalty: 2 },
    { logitBias: { 3: 4, 5: -50 } },
  ])("%j: recorded log-probs are those of the distribution that was sampled from", (sampling) => {
    const p = prompt(config, 9);
    const requests = Array.from({ length: 6 }, (_, i) => ask({ prompt: p, sampling, maxTokens: 12 }, i));
    for (const result of sampleAll(model.sampler(), requests)) {
      expect(worstLogprob(model, p, result)).toBeLessThan(2e-5);
      const all = Int32Array.from([...p, ...result.tokens]);
      const logits = referenceLogits(model, all);
      for (const [i, token] of result.tokens.entries()) {
        const allowed = reshaped(logits[p.length + i - 1]!, sampling, [...all.slice(0, p.length + i)], i);
        expect(allowed[token]).toBeCloseTo(result.logprobs[i]!, 4);
      }
    }
  });

  /** Log-probs after the setting of one test case; each case uses few settings, so order does not matter here. */
  function reshaped(
    logits: Float64Array,
    sampling: SamplingSettings,
    before: readonly number[],
    produced: number,
  ): Float64Array {
    const { repetitionPenalty: r = 1, presencePenalty = 0, temperature = 1 } = sampling;
    const z = logits.map((v, id) => {
      let score = v + (sampling.logitBias?.[id] ?? 0);
      if (before.includes(id)) score = score > 0 ? score / r : score * r;
      return before.slice(before.length - produced).includes(id) ? score - presencePenalty : score;
    });
    const logprobs = logSoftmax(z, temperature);
    const order = [...logprobs].map((_, id) => id).sort((a, b) => logprobs[b]! - logprobs[a]!);
    let mass = 0;
    const kept = order.filter((id, rank) => {
      const inside =
        mass < (sampling.topP ?? 1) &&
        (!sampling.topK || rank < sampling.topK) &&
        Math.exp(logprobs[id]! - logprobs[order[0]!]!) >= (sampling.minP ?? 0);
      mass += Math.exp(logprobs[id]!);
      return inside;
    });
    const total = Math.log(kept.reduce((sum, id) => sum + Math.exp(logprobs[id]!), 0));
    return logprobs.map((v, id) => (kept.includes(id) ? v - total : Number.NEGATIVE_INFINITY));
  }

  it("greedy takes the largest logit, whatever the key", () => {
    const p = prompt(config, 5);
    const requests = [1, 2].map((i) => ask({ prompt: p, sampling: { temperature: 0 }, maxTokens: 10 }, i));
    const [a, b] = sampleAll(model.sampler(), requests) as [SampleResult, SampleResult];
    expect(a).toEqual({ ...b, sharedPromptTokens: 0 });
    expect([...a.logprobs]).toEqual(Array.from({ length: 10 }, () => 0));
    const logits = referenceLogits(model, Int32Array.from([...p, ...a.tokens]));
    for (const [i, token] of a.tokens.entries()) {
      const row = logits[p.length + i - 1]!;
      expect(row[token]).toBeCloseTo(Math.max(...row), 5);
    }
  });

  it("samples with the frequencies of the distribution", () => {
    const p = prompt(config, 4);
    const requests = Array.from({ length: 4000 }, (_, i) => ask({ prompt: p, maxTokens: 1 }, i));
    const counts = new Float64Array(config.vocabularySize);
    for (const { tokens } of sampleAll(model.sampler({ slots: 200 }), requests)) counts[tokens[0]!]!++;
    const expected = logSoftmax(referenceLogits(model, p).at(-1)!).map((v) => Math.exp(v) * requests.length);
    let chiSquare = 0;
    for (const [id, n] of counts.entries()) chiSquare += (n - expected[id]!) ** 2 / expected[id]!;
    // 63 degrees of freedom: mean 63, standard deviation 11.2.
    expect(chiSquare).toBeLessThan(63 + 5 * 11.2);
  });

  it.each([
    [{ temperature: -1 }, "temperature"],
    [{ temperature: Number.NaN }, "temperature"],
    [{ topP: 0 }, "topP"],
    [{ topK: 1.5 }, "topK"],
    [{ minP: 2 }, "minP"],
    [{ repetitionPenalty: 0 }, "repetitionPenalty"],
    [{ logitBias: { 64: 1 } }, "logitBias"],
  ])("refuses %j by name", (sampling, field) => {
    const sampler = model.sampler();
    expect(() => outcome(sampler, ask({ prompt: prompt(config, 3), sampling }))).toThrow(
      expect.objectContaining({ code: "E_SAMPLE_REQUEST", message: expect.stringContaining(field) }),
    );
    expect(sampler.inFlight).toBe(0);
  });
});

describe("endings", () => {
  const p = prompt(config, 6);
  const free = () => sampleAll(model.sampler(), [ask({ prompt: p, maxTokens: 20 })])[0]!;

  it("ends with the end token and leaves it out of the text", () => {
    const full = free();
    const end = full.tokens[7]!;
    const at = full.tokens.indexOf(end);
    const [result] = sampleAll(model.sampler({ endTokens: [end] }), [ask({ prompt: p, maxTokens: 20 })]);
    expect(result).toMatchObject({
      tokens: full.tokens.slice(0, at + 1),
      text: full.text.slice(0, at),
      stopReason: "end",
    });
    const [stopped] = sampleAll(model.sampler(), [ask({ prompt: p, maxTokens: 20, stopTokens: [end] })]);
    expect(stopped).toEqual({ ...result, stopReason: "stop" });
  });

  it("ends before a stop string, keeps its tokens, and streams only certain text", () => {
    const full = free();
    const stop = full.text.slice(5, 8);
    const streamed: SampledToken[] = [];
    const request = ask({
      prompt: p,
      maxTokens: 20,
      stop: [stop, "not there"],
      onToken: (t) => streamed.push(t),
    });
    const [result] = sampleAll(model.sampler(), [request]);
    const at = full.text.indexOf(stop);
    expect(result).toMatchObject({ text: full.text.slice(0, at), stopReason: "stop" });
    expect(result!.tokens).toEqual(full.tokens.slice(0, at + 3));
    expect(streamed.map(({ text }) => text).join("")).toBe(result!.text);
    expect(streamed.map(({ token }) => token)).toEqual([...result!.tokens]);
    expect(streamed.map(({ logprob }) => Math.fround(logprob))).toEqual([...result!.logprobs]);
  });

  it("ends at maxTokens, and at the context window", () => {
    expect(free()).toMatchObject({ stopReason: "length" });
    const long = prompt(config, 120);
    const [result] = sampleAll(model.sampler(), [ask({ prompt: long, maxTokens: 50 })]);
    expect(result).toMatchObject({ stopReason: "context" });
    expect(result!.tokens).toHaveLength(8);
    expect(worstLogprob(model, long, result!)).toBeLessThan(2e-5);
    const [last] = sampleAll(model.sampler(), [ask({ prompt: prompt(config, 127), maxTokens: 50 })]);
    expect(last!.tokens).toHaveLength(1);
  });

  it.each([
    [{ prompt: new Int32Array(0) }, "E_SAMPLE_REQUEST", "no tokens"],
    [{ prompt: Int32Array.of(64) }, "E_SAMPLE_REQUEST", "prompt[0] is 64"],
    [
      { prompt: new Int32Array(100_000) },
      "E_CONTEXT_LENGTH",
      "100000 tokens; prompt and output together may have 128",
    ],
    [{ maxTokens: 0 }, "E_SAMPLE_REQUEST", "maxTokens is 0"],
    [{ stop: ["ok", ""] }, "E_SAMPLE_REQUEST", "stop[1] is empty"],
    [{ stopTokens: [-1] }, "E_SAMPLE_REQUEST", "stopTokens[0] is -1"],
    [{ allowedTokens: new Int32Array(0) }, "E_SAMPLE_REQUEST", "allowedTokens is empty"],
  ])("refuses request %# with its numbers", (change, code, message) => {
    const sampler = model.sampler();
    expect(() => outcome(sampler, ask({ prompt: p, ...change }))).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
    expect(sampler.inFlight).toBe(0);
  });
});

describe("constraints", () => {
  it("samples only from a fixed set, renormalised", () => {
    const allowedTokens = Int32Array.of(40, 3, 3, 17);
    const requests = Array.from({ length: 8 }, (_, i) =>
      ask({ prompt: prompt(config, 5), allowedTokens, maxTokens: 9 }, i),
    );
    for (const { tokens, logprobs, plainLogprobs } of sampleAll(model.sampler(), requests)) {
      expect(tokens.every((token) => allowedTokens.includes(token))).toBe(true);
      for (const [i, logprob] of logprobs.entries()) expect(logprob).toBeGreaterThan(plainLogprobs[i]!);
    }
  });

  /** 7 (1 2)* 9, written with unsorted lists. */
  const automaton: TokenConstraint = {
    start: 0,
    states: [
      { tokens: Int32Array.of(7), next: Int32Array.of(1) },
      { tokens: Int32Array.of(9, 1), next: Int32Array.of(3, 2) },
      { tokens: Int32Array.of(2), next: Int32Array.of(1) },
      { tokens: new Int32Array(0), next: new Int32Array(0) },
    ],
  };

  it("walks an automaton to its end", () => {
    const requests = Array.from({ length: 30 }, (_, i) =>
      ask({ prompt: prompt(config, 5), allowedTokens: automaton, maxTokens: 12 }, i),
    );
    const results = sampleAll(model.sampler(), requests);
    for (const { tokens, stopReason } of results) {
      expect(tokens.join(" ")).toMatch(stopReason === "constraint" ? /^7( 1 2)* 9$/ : /^7( 1 2)*( 1)?$/);
      if (stopReason === "length") expect(tokens).toHaveLength(12);
    }
    expect(new Set(results.map(({ tokens }) => tokens.length)).size).toBeGreaterThan(2);
  });

  it("ends at once where the start allows nothing, and refuses broken automata", () => {
    const nothing = outcome(
      model.sampler(),
      ask({ prompt: prompt(config, 5), allowedTokens: { ...automaton, start: 3 } }),
    );
    expect(nothing).toMatchObject({ tokens: new Int32Array(0), text: "", stopReason: "constraint" });
    const broken = (states: TokenConstraint["states"]) =>
      outcome(model.sampler(), ask({ prompt: prompt(config, 5), allowedTokens: { start: 0, states } }));
    expect(broken([{ tokens: Int32Array.of(1), next: Int32Array.of(5) }])).toMatchObject({
      code: "E_SAMPLE_REQUEST",
      message: expect.stringContaining("leads to state 5"),
    });
    expect(() => broken([{ tokens: Int32Array.of(1, 1), next: Int32Array.of(0, 0) }])).toThrow(
      "names a token twice",
    );
    expect(() => broken([{ tokens: Int32Array.of(1), next: new Int32Array(0) }])).toThrow("0 next states");
  });
});

describe("leaving early", () => {
  it("ends with E_SAMPLE_ABORTED by cancel or signal, wherever the request is, and leaves the others alone", () => {
    const sampler = model.sampler({ slots: 2 });
    const others = Array.from({ length: 3 }, (_, i) =>
      ask({ prompt: prompt(config, 8, i), maxTokens: 10 }, i),
    );
    const expected = sampleAll(model.sampler(), others);
    const stop = new AbortController();
    const ends: unknown[] = [];
    const callbacks = (id: number) => ({
      onDone: (result: SampleResult) => {
        ends[id] = result;
      },
      onError: (error: unknown) => {
        ends[id] = error;
      },
    });
    sampler.submit(0, others[0]!, callbacks(0));
    sampler.submit(1, ask({ prompt: prompt(config, 9), maxTokens: 100, signal: stop.signal }), callbacks(1));
    sampler.submit(2, others[1]!, callbacks(2));
    sampler.submit(3, ask({ prompt: prompt(config, 9), maxTokens: 100 }), callbacks(3));
    sampler.submit(4, others[2]!, callbacks(4));
    for (let i = 0; i < 3; i++) sampler.step();
    stop.abort(new Error("enough"));
    expect(sampler.cancel(3)).toBe(true);
    expect(sampler.cancel(99)).toBe(false);
    while (sampler.step());
    expect([ends[0], ends[2], ends[4]]).toEqual(expected);
    expect(ends[1]).toMatchObject({ code: "E_SAMPLE_ABORTED", cause: new Error("enough") });
    expect(ends[3]).toMatchObject({
      code: "E_SAMPLE_ABORTED",
      message: expect.stringContaining("after 0 tokens"),
    });
    expect(sampler.inFlight).toBe(0);
  });

  it("drops a long prompt while it is prefilled in pieces", () => {
    const sampler = model.sampler({ prefillTokens: 16 });
    const ends: unknown[] = [];
    sampler.submit(1, ask({ prompt: prompt(config, 100) }), {
      onDone: () => {},
      onError: (e) => ends.push(e),
    });
    sampler.step();
    sampler.step();
    sampler.cancel(1);
    expect(sampler.step()).toBe(false);
    expect(ends).toMatchObject([{ code: "E_SAMPLE_ABORTED" }]);
    const request = ask({ prompt: prompt(config, 100) });
    expect(sampleAll(sampler, [request])).toEqual(sampleAll(model.sampler(), [request]));
  });

  it("fails a request whose onToken throws, and only that", () => {
    const thrown = new Error("a listener's own");
    const onToken = () => {
      throw thrown;
    };
    const sampler = model.sampler();
    const request = ask({ prompt: prompt(config, 8) }, 2);
    const ends: unknown[] = [];
    sampler.submit(7, ask({ prompt: prompt(config, 8), onToken }), {
      onDone: () => {},
      onError: (e) => ends.push(e),
    });
    expect(sampleAll(sampler, [request])[0]!.tokens).toEqual(
      sampleAll(model.sampler(), [request])[0]!.tokens,
    );
    expect(ends).toEqual([thrown]);
  });
});

describe("reuse", () => {
  it("continues a conversation from the kept prompt", () => {
    const sampler = model.sampler();
    const first = prompt(config, 50);
    const [answer] = sampleAll(sampler, [ask({ prompt: first, maxTokens: 10 })]);
    const second = Int32Array.from([...first, ...answer!.tokens, ...prompt(config, 20)]);
    const request = ask({ prompt: second, maxTokens: 10 }, 3);
    const [next] = sampleAll(sampler, [request]);
    expect(next!.sharedPromptTokens).toBe(50);
    expect({ ...next, sharedPromptTokens: 0 }).toEqual(sampleAll(model.sampler(), [request])[0]);
    expect(worstLogprob(model, second, next!)).toBeLessThan(2e-5);
  });

  it("prefills what several new prompts share once", () => {
    const sampler = model.sampler();
    const header = prompt(config, 60);
    const requests = Array.from({ length: 5 }, (_, i) =>
      ask({ prompt: Int32Array.from([...header, ...prompt(config, 10 + i, i)]) }, i),
    );
    const results = sampleAll(sampler, requests);
    expect(results.map((r) => r.sharedPromptTokens)).toEqual([0, 60, 60, 60, 60]);
    expect(sampler.stats.promptTokens).toBe(70 + 11 + 12 + 13 + 14);
  });

  it("forgets keys and values when weights change, and refuses a change under half-sampled sequences", async () => {
    const own = await tinyModel(config, 6);
    const sampler = own.sampler({ version: 3 });
    const request = ask({ prompt: prompt(config, 60), maxTokens: 10 });
    const [before] = sampleAll(sampler, [request]);
    expect(before!.version).toBe(3);
    expect(sampler.stats.kept).toBe(1);

    sampler.submit(5, request, { onDone: () => {}, onError: () => {} });
    sampler.step();
    expect(() => sampler.weightsChanged(4)).toThrow(expect.objectContaining({ code: "E_SAMPLER_BUSY" }));
    while (sampler.step());

    for (let i = 0; i < own.weights.flat.length; i++) own.weights.flat[i]! *= 1.05;
    sampler.weightsChanged(4);
    const [after] = sampleAll(sampler, [request]);
    expect(after).toMatchObject({ version: 4, sharedPromptTokens: 0 });
    expect(worstLogprob(own, request.prompt, after!)).toBeLessThan(2e-5);
    expect(worstLogprob(own, request.prompt, before!)).toBeGreaterThan(1e-3);
  });
});

describe("faults", () => {
  it("answers NaN weights with an error and recovers when they are mended", async () => {
    const own = await tinyModel(config, 7);
    const sampler = own.sampler();
    const request = ask({ prompt: prompt(config, 40), maxTokens: 4 });
    const good = sampleAll(sampler, [request])[0]!;
    const norm = own.weights.view("model.norm.weight");
    const saved = norm[0]!;
    norm[0] = Number.NaN;
    sampler.weightsChanged(1);
    for (const sampling of [{}, { topK: 3 }])
      expect(outcome(sampler, { ...request, sampling })).toMatchObject({ code: "E_LOGITS_NOT_FINITE" });
    norm[0] = saved;
    sampler.weightsChanged(0);
    expect(sampleAll(sampler, [request])[0]).toEqual(good);
  });
});

describe("adapters", () => {
  it("samples with low-rank adapters as the reference does", async () => {
    for (const architecture of ["llama", "qwen2"] as const) {
      const lora = { rank: 4, alpha: 6, targets: ["q_proj", "v_proj", "down_proj", "gate_proj"] } as const;
      const base = tinyConfig(architecture, { hiddenSize: 160, intermediateSize: 144 });
      const adapted = await tinyModel(base, 9, lora, 0.3);
      const p = prompt(base, 12);
      const [result] = sampleAll(adapted.sampler(), [ask({ prompt: p, maxTokens: 12 })]);
      expect(worstLogprob(adapted, p, result!)).toBeLessThan(3e-5);
      const plain = { ...adapted, adapter: undefined };
      expect(worstLogprob(plain, p, result!)).toBeGreaterThan(1e-3);
    }
  });
});

describe("a long run", () => {
  it("ends every request exactly once and keeps no more rows than it has", () => {
    const sampler = model.sampler({ slots: 9, prefillTokens: 64 });
    const ends = new Map<number, number>();
    const kept: [Parameters<Sampler["submit"]>[1], SampleResult][] = [];
    const total = 300;
    for (let id = 0; id < total; id++) {
      const length = 1 + ((id * 29) % 110);
      const request = ask(
        {
          // Many repeat or extend an earlier prompt; many are longer than one prefill run.
          prompt: prompt(config, 110, id % 6).slice(0, length),
          maxTokens: 1 + ((id * 17) % 23),
          sampling: id % 4 === 1 ? { topP: 0.8 } : {},
        },
        id,
      );
      const count = () => ends.set(id, (ends.get(id) ?? 0) + 1);
      const onDone = (result: SampleResult) => {
        count();
        if (id % 10 === 0) kept.push([request, result]);
      };
      sampler.submit(id, request, { onDone, onError: count });
      if (id % 11 === 3) sampler.cancel(id - (id % 3));
      if (id % 3 === 0) sampler.step();
      expect(sampler.stats.active).toBeLessThanOrEqual(9);
      expect(sampler.stats.kept).toBeLessThanOrEqual(11);
    }
    while (sampler.step());
    expect(sampler.stats.sharedPromptTokens).toBeGreaterThan(1000);
    expect(ends.size).toBe(total);
    expect([...ends.values()].every((n) => n === 1)).toBe(true);
    expect(sampler.stats).toMatchObject({ queued: 0, active: 0 });
    expect(sampler.inFlight).toBe(0);
    expect(kept.length).toBeGreaterThan(20);
    for (const [request, result] of kept) {
      const [alone] = sampleAll(model.sampler(), [request]);
      expect({ ...result, sharedPromptTokens: 0 }).toEqual(alone);
    }
  });
});
