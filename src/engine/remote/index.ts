/** @file Models behind APIs as frozen participants: OpenAI-compatible endpoints, and models of the AI SDK. */

export { type AiSdkModel, aiSdk } from "./ai-sdk.ts";
export type { AttemptSettings } from "./attempts.ts";
export { RemoteError } from "./errors.ts";
export { type RemoteOptions, remote } from "./remote.ts";
export type { Prices, RemoteLimits } from "./text-policy.ts";
