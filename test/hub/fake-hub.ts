/** @file A hub on the loopback interface that answers as huggingface.co does, and misbehaves on request. */

import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeFile {
  readonly bytes: Buffer;
  /** Large files are redirected to the content server and listed with a sha256. */
  readonly large?: boolean;
}

export interface Seen {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  readonly server: "hub" | "content";
}

/** May answer in place of the hub; returns true if it did. */
export type Interceptor = (request: IncomingMessage, response: ServerResponse, seen: Seen) => boolean;

export const commit = "0123456789abcdef0123456789abcdef01234567";

export class FakeHub {
  readonly id = "acme/tiny";
  readonly files = new Map<string, FakeFile>();
  readonly seen: Seen[] = [];
  /** Fields that replace what the list would say of a file. */
  readonly listed = new Map<string, Record<string, unknown>>();
  intercept: Interceptor = () => false;
  readonly #hub: Server;
  readonly #content: Server;

  private constructor() {
    this.#hub = createServer((request, response) => this.#answer("hub", request, response));
    this.#content = createServer((request, response) => this.#answer("content", request, response));
  }

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    await Promise.all(
      [hub.#hub, hub.#content].map(
        (server) => new Promise<void>((done) => server.listen(0, "127.0.0.1", done)),
      ),
    );
    return hub;
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#content]) {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`;
  }

  add(name: string, bytes: Buffer | string, large = false): void {
    this.files.set(name, { bytes: Buffer.from(bytes), large });
  }

  requests(path: string): Seen[] {
    return this.seen.filter((seen) => seen.path.includes(path));
  }

  #answer(server: Seen["server"], request: IncomingMessage, response: ServerResponse): void {
    const path = decodeURIComponent(new URL(request.url!, "http://hub").pathname);
    const seen = { path, server, range: request.headers.range, authorization: request.headers.authorization };
    this.seen.push(seen);
    if (this.intercept(request, response, seen)) return;
    if (path === `/api/models/${this.id}/revision/main`) json(response, this.#list());
    else if (path.startsWith(`/api/models/${this.id}/revision/`)) refuse(response, 404, "RevisionNotFound");
    else if (path.startsWith("/api/")) refuse(response, 401, "RepoNotFound");
    else this.#sendFile(path, seen, response);
  }

  #sendFile(path: string, { server, range }: Seen, response: ServerResponse): void {
    const name = path.replace(`/${this.id}/resolve/${commit}/`, "").replace("/content/", "");
    const file = this.files.get(name);
    if (!file) refuse(response, 404, "EntryNotFound");
    else if (server === "hub" && file.large) {
      const port = (this.#content.address() as AddressInfo).port;
      response.writeHead(302, { location: `http://127.0.0.1:${port}/content/${name}` }).end();
    } else sendBytes(response, file.bytes, range);
  }

  #list(): unknown {
    return {
      id: this.id,
      sha: commit,
      gated: false,
      siblings: [...this.files].map(([name, { bytes, large }]) => ({
        rfilename: name,
        size: bytes.length,
        blobId: createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex"),
        ...(large
          ? {
              lfs: {
                sha256: createHash("sha256").update(bytes).digest("hex"),
                size: bytes.length,
                pointerSize: 134,
              },
            }
          : {}),
        ...this.listed.get(name),
      })),
    };
  }
}

export function sendBytes(response: ServerResponse, bytes: Buffer, range: string | undefined): void {
  const from = range === undefined ? 0 : Number(/^bytes=(\d+)-$/.exec(range)?.[1]);
  if (range !== undefined && from >= bytes.length) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  response.writeHead(range === undefined ? 200 : 206, {
    "content-length": bytes.length - from,
    ...(range === undefined ? {} : { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
  });
  response.end(bytes.subarray(from));
}

/** Sends the first bytes of what was asked for and breaks the connection. */
export function sendBroken(
  response: ServerResponse,
  bytes: Buffer,
  range: string | undefined,
  count: number,
): void {
  const from = range === undefined ? 0 : Number(/^bytes=(\d+)-$/.exec(range)?.[1]);
  response.writeHead(range === undefined ? 200 : 206, {
    "content-length": bytes.length - from,
    ...(range === undefined ? {} : { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
  });
  response.write(bytes.subarray(from, from + count), () => setTimeout(() => response.destroy(), 20));
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

export function refuse(response: ServerResponse, status: number, code: string, message = code): void {
  response.writeHead(status, { "x-error-code": code, "x-error-message": message }).end("{}");
}
