/**
 * @file The two requests that downloading needs: the list of a model's files, and the bytes of one of them.
 *
 * As the Hugging Face hub answers the reference client (huggingface_hub 1.33, `hf_api.py`, `file_download.py`,
 * `utils/_http.py`):
 * - `GET /api/models/{id}/revision/{revision}?blobs=true` → `{ sha, gated, siblings: [{ rfilename, size, blobId,
 *   lfs?: { sha256, size, pointerSize } }] }`;
 * - `GET /{id}/resolve/{revision}/{file}` → the bytes, often after a redirect to a content server, with `Range`;
 * - errors carry `X-Error-Code` (RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo) and `X-Error-Message`;
 *   401 is also the answer for a model that does not exist.
 */

import { HubError } from "./errors.ts";

export interface HubOptions {
  /** Default: HF_ENDPOINT, else https://huggingface.co. */
  readonly endpoint?: string;
  /** Default: HF_TOKEN. */
  readonly token?: string;
  readonly signal?: AbortSignal;
}

export interface HubFile {
  /** Relative to the repository's root, with "/" between folders. */
  readonly name: string;
  readonly size: number | undefined;
  /** Hexadecimal hash of the contents: sha256 of large files, git's blob id (sha1) of small ones. */
  readonly sha256: string | undefined;
  readonly gitBlob: string | undefined;
}

export interface HubModel {
  readonly id: string;
  /** The commit that the revision stands for: what is downloaded does not change under us. */
  readonly commit: string;
  readonly files: readonly HubFile[];
}

export class HubClient {
  readonly endpoint: string;
  readonly #token: string | undefined;
  readonly #signal: AbortSignal | undefined;

  constructor(options: HubOptions = {}, environment: NodeJS.ProcessEnv = process.env) {
    this.endpoint = checkEndpoint(options.endpoint ?? (environment.HF_ENDPOINT || "https://huggingface.co"));
    this.#token = options.token ?? (environment.HF_TOKEN?.trim() || undefined);
    this.#signal = options.signal;
    if (this.#token !== undefined) requirePrivateChannel(this.endpoint);
  }

  /** The files of a model at one commit. */
  async model(id: string, revision: string): Promise<HubModel> {
    checkModelId(id);
    const url = `${this.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}?blobs=true`;
    const response = await this.get(url, {});
    if (!response.ok) throw await refusal(response, id, revision, this.#token !== undefined);
    const answer = await response.json().catch(() => undefined);
    return parseModel(answer, id, url);
  }

  fileUrl(model: Pick<HubModel, "id" | "commit">, file: string): string {
    const path = file.split("/").map(encodeURIComponent).join("/");
    return `${this.endpoint}/${model.id}/resolve/${encodeURIComponent(model.commit)}/${path}`;
  }

  /**
   * One request. `fetch` follows redirects and drops the token when one leads to another server.
   * Compression is declined: a part that was cut off could not be continued.
   */
  get(url: string, headers: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Response> {
    const signals = [this.#signal, signal].filter((one) => one !== undefined);
    return fetch(url, {
      headers: {
        "user-agent": "troupe",
        "accept-encoding": "identity",
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
        ...headers,
      },
      ...(signals.length > 0 ? { signal: AbortSignal.any(signals) } : {}),
    });
  }

  get hasToken(): boolean {
    return this.#token !== undefined;
  }
}

function checkEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:") || url.username || url.search) {
    throw new HubError({
      code: "E_HUB_ENDPOINT",
      message: `The hub's address "${endpoint}" is not a plain http(s) URL.`,
      hint: "set --endpoint or HF_ENDPOINT to something like https://huggingface.co.",
    });
  }
  return endpoint.replace(/\/+$/, "");
}

function requirePrivateChannel(endpoint: string): void {
  const { protocol, hostname } = new URL(endpoint);
  const loopback = hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
  if (protocol === "https:" || loopback) return;
  throw new HubError({
    code: "E_HUB_ENDPOINT",
    message: `The token (HF_TOKEN) would travel unencrypted to ${endpoint}.`,
    hint: "use an https endpoint, or unset HF_TOKEN.",
  });
}

/** "org/name", or "name" for a few old models. */
export function checkModelId(id: string): void {
  const part = "[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?";
  const valid = new RegExp(`^${part}(?:/${part})?$`).test(id) && !id.includes("..") && id.length <= 200;
  if (valid) return;
  throw new HubError({
    code: "E_HUB_NAME",
    message: `"${id}" is not a model id of the form org/name.`,
    hint: "copy the id from the model's page, for example Qwen/Qwen3-0.6B.",
    facts: { id },
  });
}

function parseModel(answer: unknown, id: string, url: string): HubModel {
  const { sha, siblings } = (answer ?? {}) as Record<string, unknown>;
  if (typeof sha !== "string" || !/^[0-9a-f]{6,64}$/i.test(sha) || !Array.isArray(siblings)) {
    throw unexpected(`${url} answered without a commit and a list of files.`);
  }
  return { id, commit: sha, files: siblings.map((sibling) => parseFile(sibling, url)) };
}

function parseFile(sibling: unknown, url: string): HubFile {
  const { rfilename, size, blobId, lfs } = (sibling ?? {}) as Record<string, unknown>;
  if (typeof rfilename !== "string") throw unexpected(`${url} listed a file without a name.`);
  checkFileName(rfilename, url);
  const { sha256, size: lfsSize } = (lfs ?? {}) as Record<string, unknown>;
  const bytes = [lfsSize, size].find((value) => Number.isSafeInteger(value) && (value as number) >= 0);
  return {
    name: rfilename,
    size: bytes as number | undefined,
    sha256: hash(sha256, 64),
    // For a large file it is the hash of a pointer to it, not of its contents.
    gitBlob: lfs ? undefined : hash(blobId, 40),
  };
}

const hash = (value: unknown, digits: number): string | undefined =>
  typeof value === "string" && new RegExp(`^[0-9a-f]{${digits}}$`).test(value) ? value : undefined;

/** A name that could leave the folder is not skipped but refused: such a list is not to be trusted at all. */
function checkFileName(name: string, url: string): void {
  const segments = name.split("/");
  const safe =
    !/[\\\0:]/.test(name) &&
    segments.every((segment) => segment !== "" && segment !== "." && segment !== "..");
  if (!safe)
    throw unexpected(`${url} listed the file name ${JSON.stringify(name)}, which could leave the folder.`);
}

function unexpected(message: string): HubError {
  return new HubError({
    code: "E_HUB_ANSWER",
    message,
    hint: "check --endpoint or HF_ENDPOINT; a proxy or a login page may have answered in its place.",
  });
}

/** What a status other than success means, and what to do. */
export async function refusal(
  response: Response,
  id: string,
  revision: string,
  hasToken: boolean,
): Promise<HubError> {
  await response.body?.cancel();
  const code = response.headers.get("x-error-code");
  const said = response.headers.get("x-error-message");
  const facts = { id, revision, status: response.status, errorCode: code, said };
  const model = new URL(response.url).origin;
  if (code === "GatedRepo") {
    return new HubError({
      code: "E_HUB_ACCESS",
      message: `${id} is gated: its owner wants you to accept terms first (${response.status}).`,
      hint: `accept them at ${model}/${id}, then set HF_TOKEN to a token of that account (${model}/settings/tokens).`,
      facts,
    });
  }
  if (code === "RevisionNotFound") {
    return new HubError({
      code: "E_HUB_NOT_FOUND",
      message: `${id} has no revision "${revision}".`,
      hint: "give a branch, tag or commit of that model with --revision.",
      facts,
    });
  }
  if (response.status === 401 || response.status === 403 || response.status === 404) {
    const missing =
      response.status === 404 || code === "RepoNotFound" || (response.status === 401 && !hasToken);
    return new HubError({
      code: missing ? "E_HUB_NOT_FOUND" : "E_HUB_ACCESS",
      message: missing
        ? `There is no model ${id} that ${hasToken ? "this token" : "an anonymous user"} may see (${response.status}${said ? `: ${said}` : ""}).`
        : `The hub refused access to ${id} (${response.status}${said ? `: ${said}` : ""}).`,
      hint: hasToken
        ? "check the spelling, and that HF_TOKEN is valid and may read this model."
        : "check the spelling; for a private or gated model set HF_TOKEN.",
      facts,
    });
  }
  return new HubError({
    code: "E_HUB_ANSWER",
    message: `${response.url} answered ${response.status} ${response.statusText}${said ? `: ${said}` : ""}.`,
    hint: "try again later; check --endpoint or HF_ENDPOINT.",
    facts,
  });
}
