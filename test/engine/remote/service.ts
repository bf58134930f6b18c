/** @file A chat-completions service on this machine that answers, or fails in the way it is told to. */

import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

export type Answer = (response: ServerResponse, request: Received) => void;

export interface Service {
  readonly baseUrl: string;
  readonly received: readonly Received[];
  /** Answers of the next requests, in order; afterwards `completion("ok")`. */
  next(...answers: readonly Answer[]): void;
  close(): Promise<void>;
}

export async function startService(): Promise<Service> {
  const received: Received[] = [];
  let answers: readonly Answer[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const entry: Received = {
        path: request.url!,
        headers: request.headers,
        body: JSON.parse(Buffer.concat(chunks).toString("utf8")),
      };
      received.push(entry);
      const [answer = completion("ok"), ...rest] = answers;
      answers = rest;
      answer(response, entry);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    received,
    next: (...list) => {
      received.length = 0;
      answers = list;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export const usage = { prompt_tokens: 12, completion_tokens: 5, total_tokens: 17 };

export const json =
  (value: unknown, status = 200, headers: Record<string, string> = {}): Answer =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(value));
  };

export const completion = (content: string | null, message = {}, choice = {}): Answer =>
  json({
    choices: [
      { index: 0, message: { role: "assistant", content, ...message }, finish_reason: "stop", ...choice },
    ],
    usage,
  });

export const failure = (status: number, headers: Record<string, string> = {}): Answer =>
  json({ error: { message: `status ${status} as told` } }, status, headers);

/** Promises more bytes than it sends. */
export const truncated: Answer = (response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": "500" });
  response.write('{"choices": [{"mess');
  setTimeout(() => response.destroy(), 5);
};

/** Whole, and no JSON. */
export const halfJson: Answer = (response) => response.end('{"choices": [{"mess');

export const reset: Answer = (response) => response.socket!.resetAndDestroy();

export const never: Answer = () => {};

export const slow =
  (milliseconds: number, then: Answer): Answer =>
  (response, request) =>
    void setTimeout(() => {
      if (!response.destroyed) then(response, request);
    }, milliseconds);
