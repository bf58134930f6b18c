/** @file What can go wrong with a model behind an API. */

import { TroupeError } from "../../errors.ts";

/**
 * Codes: E_REMOTE_STATUS (the service refused: status and excerpt in `facts`), E_REMOTE_NETWORK (no answer),
 * E_REMOTE_RESPONSE (an answer that is none), E_REMOTE_DEADLINE (time was up before an attempt succeeded),
 * E_REMOTE_FILTERED (withheld by a content filter), E_REMOTE_TOOL_CALL (arguments that are no JSON object),
 * E_REMOTE_KEY, E_REMOTE_SETTINGS, E_POLICY_CLOSED. No error holds the key.
 */
export class RemoteError extends TroupeError {}

/** An attempt that another one may cure. */
export class Retryable extends Error {
  readonly error: RemoteError;
  /** Seconds that the service asked to wait. */
  readonly afterSeconds: number | undefined;

  constructor(error: RemoteError, afterSeconds?: number) {
    super(error.message);
    this.error = error;
    this.afterSeconds = afterSeconds;
  }
}

/** The beginning of a body, on one line. */
export function excerpt(body: string, secrets: readonly string[] = []): string {
  let text = body.replace(/\s+/g, " ").trim();
  for (const secret of secrets) if (secret !== "") text = text.replaceAll(secret, "[key]");
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
