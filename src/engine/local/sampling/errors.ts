/** @file What can go wrong with a request for tokens, each case under its own code. */

import { TroupeError } from "../../../errors.ts";

/** E_SAMPLE_REQUEST: a field of the request cannot be honoured; the message names it. */
export class InvalidSampleRequestError extends TroupeError {}

/** E_CONTEXT_LENGTH: the prompt leaves no room for one output token. */
export class ContextOverflowError extends TroupeError {}

/** E_LOGITS_NOT_FINITE: the model answered NaN or infinity. */
export class NonFiniteLogitsError extends TroupeError {}

/** E_NO_TOKEN_ALLOWED: biases and masks together leave nothing to sample. */
export class NoTokenAllowedError extends TroupeError {}

/** E_SAMPLE_ABORTED: the request's signal, or `cancel`. */
export class SampleAbortedError extends TroupeError {}

/** E_SAMPLER_BUSY: weights changed while sequences are half sampled. */
export class SamplerBusyError extends TroupeError {}

/** E_CACHE_MEMORY: keys and values do not fit in memory. */
export class CacheMemoryError extends TroupeError {}

/** E_SAMPLE_RUN: a kernel failed under the sequences of one run. */
export class SampleRunError extends TroupeError {}
