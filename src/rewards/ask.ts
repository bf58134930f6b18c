/**
 * @file Asks a policy for a verdict: keyed, cached, limited in number, and again under another key where the answer cannot
 * be read. The key follows from the run's seed and the prompt alone, so neither caches nor order change a verdict.
 */

import { createHash } from "node:crypto";
import type { AnyPolicy, SampleResult, SamplingSettings, TextResult } from "../engine/policy.ts";
import { isTextPolicy } from "../engine/policy-spec.ts";
import { type Key, key } from "../random/stream.ts";
import { Gate } from "../workflow/gate.ts";
import type { Prompt } from "../workflow/trajectory.ts";
import { underDeadline } from "./failures.ts";
import type { RewardContext } from "./reward.ts";
import { RewardDefinitionError } from "./reward.ts";
import { checkName } from "./terms.ts";
import { JudgeError, VerdictCache, type VerdictCacheOptions } from "./verdict-cache.ts";

export interface JudgeSettings {
  /** Name of a policy of the run, or an opened one. */
  readonly policy: string | AnyPolicy;
  /** Of the verdict. Default 256. */
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
  /** Of the first attempt. Default temperature 0. */
  readonly sampling?: SamplingSettings;
  /** Of the next ones: greedily the same answer would come again. Default temperature 0.7 (CHOSEN). */
  readonly retrySampling?: SamplingSettings;
  /** How often a judge is asked for an answer that can be read. Default 2. */
  readonly attempts?: number;
  /** Requests of this judge at once. Default 16. */
  readonly concurrency?: number;
  /** Default: 10,000 verdicts in memory. Caches may be shared; false asks every time. */
  readonly cache?: VerdictCache | VerdictCacheOptions | false;
}

interface Question {
  readonly policy: AnyPolicy;
  readonly prompt: Prompt;
  /** Names what is asked, of whom and how. */
  readonly hash: string;
}

/** One judge: its policy, its cache, its queue. */
export class Asker {
  readonly name: string;
  readonly #settings: JudgeSettings;
  readonly #attempts: number;
  readonly #cache: VerdictCache | undefined;
  readonly #gate: Gate;
  readonly #open = new Map<string, Promise<string>>();
  readonly #usage = {
    verdicts: 0,
    cached: 0,
    requests: 0,
    unreadable: 0,
    promptTokens: 0,
    outputTokens: 0,
    cost: 0,
  };

  constructor(name: string, settings: JudgeSettings) {
    checkName(name);
    const { attempts = 2, concurrency = 16, maxTokens = 256, cache = {} } = settings;
    for (const [what, value] of Object.entries({ attempts, concurrency, maxTokens })) {
      if (Number.isInteger(value) && value >= 1) continue;
      throw new RewardDefinitionError({
        code: "E_REWARD_RANGE",
        message: `Judge "${name}" has ${what} ${value}; it must be an integer of at least 1.`,
      });
    }
    this.name = name;
    this.#settings = settings;
    this.#attempts = attempts;
    this.#gate = new Gate(`judge "${name}"`, concurrency);
    this.#cache =
      cache === false ? undefined : cache instanceof VerdictCache ? cache : new VerdictCache(cache);
  }

  /** Of the run's policies, those that it asks. */
  get needs(): { readonly policies: readonly string[] } {
    const { policy } = this.#settings;
    return { policies: typeof policy === "string" ? [policy] : [] };
  }

  usage(): Readonly<Record<string, number>> {
    return { ...this.#usage };
  }

  /**
   * What the judge says to a prompt, read.
   * @throws JudgeError if it cannot be asked, or if no attempt gave something that `read` takes.
   */
  async ask<Verdict>(
    prompt: Prompt,
    read: (text: string) => Verdict,
    context: RewardContext,
  ): Promise<Verdict> {
    const question = this.#question(prompt, context);
    this.#usage.verdicts++;
    const known = await this.#cache?.get(question.hash);
    if (known !== undefined) {
      // The reader may be another one than when the text was kept.
      const verdict = readable(known, read);
      if (verdict.ok) {
        this.#usage.cached++;
        return verdict.value;
      }
    }
    let open = this.#cache === undefined ? undefined : this.#open.get(question.hash);
    if (open !== undefined) this.#usage.cached++;
    else {
      open = this.#attempt(question, read, context).finally(() => this.#open.delete(question.hash));
      this.#open.set(question.hash, open);
    }
    return read(await open);
  }

  /** The first text that can be read. */
  async #attempt<Verdict>(
    question: Question,
    read: (text: string) => Verdict,
    context: RewardContext,
  ): Promise<string> {
    let text = "";
    let reason = "";
    for (let attempt = 0; attempt < this.#attempts; attempt++) {
      text = await this.#request(question, attempt, context);
      const verdict = readable(text, read);
      if (verdict.ok) {
        const { name, version } = question.policy;
        await this.#cache?.put(question.hash, text, { policy: name, version });
        return text;
      }
      this.#usage.unreadable++;
      reason = verdict.reason;
    }
    throw new JudgeError({
      code: "E_JUDGE_UNREADABLE",
      message: `judge "${this.name}" (policy "${question.policy.name}") gave no verdict that can be read in ${this.#attempts} attempts: ${reason} (text: ${JSON.stringify(text.slice(0, 120))})`,
      hint: "say in the prompt exactly how to answer, allow more tokens, or use a judge that keeps to it.",
    });
  }

  async #request(
    { policy, prompt, hash }: Question,
    attempt: number,
    context: RewardContext,
  ): Promise<string> {
    const {
      maxTokens = 256,
      stop,
      sampling = { temperature: 0 },
      retrySampling = { temperature: 0.7 },
    } = this.#settings;
    const stopping = new AbortController();
    const shared = {
      maxTokens,
      sampling: attempt === 0 ? sampling : retrySampling,
      key: key(context.seed, "judge", hash, attempt),
      signal: stopping.signal,
      ...(stop === undefined ? {} : { stop }),
    };
    const work = () =>
      underDeadline<SampleResult | TextResult>(context, () =>
        isTextPolicy(policy)
          ? policy.generate({ ...shared, messages: messagesOf(prompt) })
          : policy.sample({ ...shared, prompt: this.#encode(policy, prompt) }),
      );
    const runGate = context.gates?.policy(policy.name);
    this.#usage.requests++;
    try {
      const result = await inside(this.#gate, () => (runGate === undefined ? work() : inside(runGate, work)));
      if (!("tokens" in result)) {
        this.#usage.promptTokens += result.usage.promptTokens;
        this.#usage.outputTokens += result.usage.outputTokens;
        this.#usage.cost += result.cost ?? 0;
      } else this.#usage.outputTokens += result.tokens.length;
      return result.text;
    } catch (error) {
      if (error instanceof JudgeError || context.signal?.aborted === true) throw error;
      throw new JudgeError({
        code: "E_JUDGE_CALL",
        message: `judge "${this.name}" could not ask policy "${policy.name}": ${error instanceof Error ? error.message : String(error)}`,
        cause: error,
      });
    } finally {
      // A late answer is of no use to anybody.
      stopping.abort();
    }
  }

  #encode(policy: Exclude<AnyPolicy, { generate: unknown }>, prompt: Prompt): Int32Array {
    const tokens =
      typeof prompt === "string"
        ? policy.tokenizer.encode(prompt)
        : policy.tokenizer.encodeChat(prompt, { addGenerationPrompt: true });
    if (tokens.length > 0 && tokens.length < policy.contextLength) {
      this.#usage.promptTokens += tokens.length;
      return tokens;
    }
    throw new JudgeError({
      code: "E_JUDGE_PROMPT",
      message: `the prompt of judge "${this.name}" has ${tokens.length} tokens; policy "${policy.name}" takes 1 to ${policy.contextLength - 1}`,
      hint: "shorten what the judge is shown; nothing is cut silently.",
    });
  }

  #question(prompt: Prompt, context: RewardContext): Question {
    const { policy: asked, maxTokens, stop, sampling, retrySampling } = this.#settings;
    const policy = typeof asked === "string" ? context.policies?.get(asked) : asked;
    if (policy === undefined) {
      const names = [...(context.policies?.keys() ?? [])];
      throw new JudgeError({
        code: "E_JUDGE_POLICY",
        message: `judge "${this.name}" asks policy "${String(asked)}", and the run has ${names.length === 0 ? "none" : `only ${names.join(", ")}`}`,
        hint: "add it to `policies` of the run.",
      });
    }
    const given = JSON.stringify([
      policy.name,
      policy.version,
      prompt,
      maxTokens,
      stop,
      sampling,
      retrySampling,
    ]);
    return { policy, prompt, hash: createHash("sha256").update(given).digest("hex") };
  }
}

/** A key for choices about a prompt that do not depend on anything else, such as an order. */
export const keyOf = (seed: number, purpose: string, ...texts: readonly string[]): Key =>
  key(seed, purpose, createHash("sha256").update(JSON.stringify(texts)).digest("hex"));

const messagesOf = (prompt: Prompt) =>
  typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;

function readable<Verdict>(
  text: string,
  read: (text: string) => Verdict,
): { readonly ok: true; readonly value: Verdict } | { readonly ok: false; readonly reason: string } {
  try {
    return { ok: true, value: read(text) };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

function inside<Value>(gate: Gate, work: () => Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    gate.enter(() => {
      work()
        .then(resolve, reject)
        .finally(() => gate.leave());
    });
  });
}
