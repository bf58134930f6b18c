/** @file Errors of the model hub. */

import { TroupeError } from "../errors.ts";

/**
 * Codes: `E_HUB_NAME` (no such form of model id), `E_HUB_ENDPOINT` (unusable address), `E_HUB_NOT_FOUND`,
 * `E_HUB_ACCESS` (gated, private, bad token), `E_HUB_NETWORK` (gave up after retries), `E_HUB_ANSWER` (the hub
 * answered something else than expected), `E_HUB_INTEGRITY` (size or hash differ), `E_HUB_CONTENT` (nothing there
 * that can be used), `E_HUB_DISK` (no room), `E_HUB_CANCELLED`.
 */
export class HubError extends TroupeError {}
