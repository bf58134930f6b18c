/** @file What all text policies have in common: slots, attempts, cost, an end. */

import type { Key } from "../../random/stream.ts";
import type { TextPolicy, TextRequest, TextResult } from "../policy.ts";
import { type AttemptSettings, attemptDefaults, tryRepeatedly } from "./attempts.ts";
import { RemoteError } from "./errors.ts";
import { Slots } from "./slots.ts";

/** US dollars a million tokens. */
export interface Prices {
  readonly prompt: number;
  readonly output: number;
}

export interface RemoteLimits extends AttemptSettings {
  /** Requests at once. Default 16. */
  readonly concurrency?: number;
  /** With them, every call records what it cost. */
  readonly prices?: Prices;
}

/** One attempt at a request. Throws `Retryable` where another may succeed. */
export type Attempt = (request: TextRequest, signal: AbortSignal) => Promise<Omit<TextResult, "cost">>;

/** @throws RemoteError E_REMOTE_SETTINGS naming the setting */
export function checkLimits(limits: RemoteLimits): void {
  const { concurrency = 16, prices, ...attempts } = limits;
  const positive = { concurrency, ...attempts };
  for (const [name, value] of Object.entries(positive)) {
    const whole = name === "concurrency" || name === "attempts";
    if (value === undefined || (value > 0 && (whole ? Number.isInteger(value) : Number.isFinite(value))))
      continue;
    throw settingsFault(`${name} must be a positive ${whole ? "whole " : ""}number; it is ${value}`);
  }
  for (const [name, value] of Object.entries(prices ?? {})) {
    if (value >= 0 && Number.isFinite(value)) continue;
    throw settingsFault(`prices.${name} must be US dollars a million tokens; it is ${value}`);
  }
}

export function settingsFault(what: string): RemoteError {
  return new RemoteError({
    code: "E_REMOTE_SETTINGS",
    message: `A remote policy cannot be set up: ${what}.`,
    hint: "see docs/policies.md.",
  });
}

export function textPolicy(
  { name, model, limits }: { readonly name: string; readonly model: string; readonly limits: RemoteLimits },
  attempt: Attempt,
): TextPolicy {
  const { concurrency = 16, prices, ...given } = limits;
  const settings = { ...attemptDefaults, ...given };
  const slots = new Slots(concurrency);
  const ending = new AbortController();
  return {
    name,
    version: 0,
    generate: (request) => generate(request, request.key),
    close: async () => ending.abort(closed(name)),
  };

  async function generate(request: TextRequest, at: Key): Promise<TextResult> {
    const either = new AbortController();
    const sources = [ending.signal, ...(request.signal ? [request.signal] : [])];
    const stops = sources.map((source) => {
      const stop = () => either.abort(source.reason);
      if (source.aborted) stop();
      else source.addEventListener("abort", stop, { once: true });
      return () => source.removeEventListener("abort", stop);
    });
    try {
      const result = await slots.run(either.signal, () =>
        tryRepeatedly({ policy: name, model }, settings, at, either.signal, (signal) =>
          attempt(request, signal),
        ),
      );
      return prices === undefined ? result : { ...result, cost: costOf(result.usage, prices) };
    } finally {
      for (const stop of stops) stop();
    }
  }
}

function costOf({ promptTokens, outputTokens }: TextResult["usage"], { prompt, output }: Prices): number {
  return (promptTokens * prompt + outputTokens * output) / 1e6;
}

function closed(name: string): RemoteError {
  return new RemoteError({
    code: "E_POLICY_CLOSED",
    message: `Policy "${name}" was closed.`,
    hint: "open it again, or close it after the last call.",
    facts: { policy: name },
  });
}
