/** @file A model behind an OpenAI-compatible endpoint as a frozen participant: text in, text out. */

import type { TextPolicy } from "../policy.ts";
import type { PolicySpec } from "../policy-spec.ts";
import { retryAfterSeconds } from "./attempts.ts";
import { type BodySettings, readCompletion, requestBody } from "./chat-completions.ts";
import { excerpt, RemoteError, Retryable } from "./errors.ts";
import { type Attempt, checkLimits, type RemoteLimits, settingsFault, textPolicy } from "./text-policy.ts";

export interface RemoteOptions extends RemoteLimits {
  /** Up to and with the version, for example "https://api.openai.com/v1"; /chat/completions is appended. */
  readonly baseUrl: string;
  readonly model: string;
  /**
   * Name of the environment variable that holds the key; never the key itself, which would end up in the run's record.
   * Default "OPENAI_API_KEY"; null: no key is sent. A service on this machine is asked without one if there is none.
   */
  readonly apiKey?: string | null;
  /** Sent with every request. Only their names go into the run's record. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Further fields of the request's body, for example `{ reasoning_effort: "low" }`. */
  readonly body?: Readonly<Record<string, unknown>>;
  /** Default "max_completion_tokens" for api.openai.com, where newer models refuse the other, else "max_tokens". */
  readonly maxTokensField?: BodySettings["maxTokensField"];
  /** Whether `seed` is sent, 31 bits of the call's key. Default true. */
  readonly seed?: boolean;
}

const defaultKey = "OPENAI_API_KEY";

/**
 * A closed or hosted model that takes part frozen. 429, 5xx and broken connections are tried again within
 * `deadlineSeconds`; other 4xx fail at once. Nothing is requested before the first call.
 *
 * @throws RemoteError E_REMOTE_SETTINGS here, E_REMOTE_KEY when opened without a key
 * @example
 * policies: {
 *   small: local("assets/atlas-small"),
 *   critic: remote({ baseUrl: "https://api.openai.com/v1", model: "gpt-5-mini", prices: { prompt: 0.25, output: 2 } }),
 * }
 */
export function remote(options: RemoteOptions): PolicySpec<TextPolicy> {
  const {
    baseUrl,
    model,
    apiKey = defaultKey,
    headers = {},
    body = {},
    maxTokensField,
    seed = true,
  } = options;
  const {
    baseUrl: _1,
    model: _2,
    apiKey: _3,
    headers: _4,
    body: _5,
    maxTokensField: _6,
    seed: _7,
    ...limits
  } = options;
  const base = endpoint(baseUrl);
  if (typeof model !== "string" || model === "") throw settingsFault("it has no model");
  // What is no name of a variable may be a key: it is not repeated.
  if (apiKey !== null && !/^[A-Z_][A-Z0-9_]*$/.test(apiKey))
    throw settingsFault("apiKey must be the name of an environment variable, in capitals, or null");
  checkLimits(limits);
  const bodySettings: BodySettings = {
    ...{ model, seed, body },
    maxTokensField:
      maxTokensField ?? (base.hostname === "api.openai.com" ? "max_completion_tokens" : "max_tokens"),
  };
  return {
    kind: "remote",
    settings: { ...options, headers: Object.keys(headers) },
    open: async ({ name }) => {
      const secret = keyFor(name, base, apiKey);
      const send = attemptAt(name, base, secret, headers, bodySettings);
      return textPolicy({ name, model, limits }, send);
    },
  };
}

function endpoint(baseUrl: string): URL {
  let url: URL;
  try {
    url = new URL(`${baseUrl.replace(/\/+$/, "")}/chat/completions`);
  } catch {
    throw settingsFault(`baseUrl is no URL: ${JSON.stringify(baseUrl)}`);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw settingsFault(`baseUrl must begin with https:// or http://; it is ${JSON.stringify(baseUrl)}`);
  if (url.username !== "" || url.password !== "")
    throw settingsFault("baseUrl holds a user name or a password; name an environment variable in apiKey");
  return url;
}

const isLoopback = ({ hostname }: URL) => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);

function keyFor(policy: string, url: URL, variable: string | null): string | undefined {
  if (variable === null) return undefined;
  const secret = process.env[variable]?.trim() || undefined;
  if (secret === undefined) {
    if (isLoopback(url)) return undefined;
    throw new RemoteError({
      code: "E_REMOTE_KEY",
      message: `Policy "${policy}" needs a key for ${url.host}, but the environment variable ${variable} is not set.`,
      hint: `set ${variable}, name another variable in apiKey, or give apiKey: null if the service needs none.`,
      facts: { policy, variable },
    });
  }
  if (url.protocol === "http:" && !isLoopback(url))
    throw settingsFault(
      `a key is never sent over plain http beyond this machine, and baseUrl is ${url.origin}`,
    );
  return secret;
}

function attemptAt(
  policy: string,
  url: URL,
  secret: string | undefined,
  headers: Readonly<Record<string, string>>,
  settings: BodySettings,
): Attempt {
  const secrets = [secret ?? "", ...Object.values(headers)].filter((value) => value.length >= 8);
  return async (request, signal) => {
    const response = await send(request, signal);
    const text = await read(response);
    if (!response.ok) throw refused(response, text);
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      throw new Retryable(
        new RemoteError({
          code: "E_REMOTE_RESPONSE",
          message: `The answer of ${url.host} to policy "${policy}" is no JSON: ${excerpt(text, secrets)}`,
          hint: "check that `baseUrl` is an OpenAI-compatible endpoint, usually ending in /v1.",
          facts: { policy, status: response.status },
        }),
      );
    }
    return readCompletion(json, policy);
  };

  async function send(request: Parameters<Attempt>[0], signal: AbortSignal): Promise<Response> {
    try {
      return await fetch(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json",
          ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
          ...headers,
        },
        body: JSON.stringify(requestBody(request, settings)),
        // A redirect would carry prompts to another place.
        redirect: "manual",
        signal,
      });
    } catch (cause) {
      throw lost(cause);
    }
  }

  async function read(response: Response): Promise<string> {
    try {
      return await response.text();
    } catch (cause) {
      throw lost(cause);
    }
  }

  function lost(cause: unknown): Retryable {
    const error = cause as Error & { readonly cause?: { readonly code?: string; readonly message?: string } };
    const why = error.cause?.code ?? error.cause?.message ?? error.message;
    return new Retryable(
      new RemoteError({
        code: "E_REMOTE_NETWORK",
        message: `Policy "${policy}" lost its connection to ${url.host}: ${excerpt(why, secrets)}.`,
        hint: "check the network, a proxy, and that the service runs.",
        facts: { policy, host: url.host },
      }),
    );
  }

  function refused(response: Response, text: string): RemoteError | Retryable {
    const { status } = response;
    const error = new RemoteError({
      code: "E_REMOTE_STATUS",
      message: `${url.host} answered policy "${policy}" (${settings.model}) with status ${status}: ${excerpt(text, secrets) || "(empty)"}`,
      hint: hintFor(status),
      facts: { policy, status, body: excerpt(text, secrets) },
    });
    // An account without credit gets 429 as well, and waiting does not fill it.
    const retryable = (status === 429 && !/"insufficient_quota"/.test(text)) || status >= 500;
    if (!retryable) return error;
    return new Retryable(
      error,
      retryAfterSeconds(response.headers.get("retry-after"), response.headers.get("date")),
    );
  }
}

function hintFor(status: number): string {
  if (status === 401 || status === 403)
    return "check the key in the environment variable that `apiKey` names.";
  if (status === 404) return "check `baseUrl` (usually ending in /v1) and `model`.";
  if (status === 429) return "lower `concurrency`, or raise the account's limits.";
  if (status >= 300 && status < 400)
    return "redirects are not followed: give the final address as `baseUrl`.";
  if (status >= 500) return "the service is at fault; try later, or raise `deadlineSeconds`.";
  return "the service says why above; sampling settings that it lacks are a common reason.";
}
