/** @file Downloads the files of a model that the local engine reads, verified, into a plain folder. */

import { mkdir, readFile, statfs, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  type Checked,
  checkContents,
  type DownloadOptions,
  downloadFile,
  partPath,
  sizeOf,
} from "./download.ts";
import { HubError } from "./errors.ts";
import { HubClient, type HubFile, type HubModel, type HubOptions } from "./hub-client.ts";

export interface PullProgress {
  /** File that is being downloaded. */
  readonly file: string;
  /** Of the files chosen; what was there already counts as received. */
  readonly receivedBytes: number;
  readonly totalBytes: number;
  /** Bytes per second over the last seconds; 0 until something arrived. */
  readonly rate: number;
  readonly secondsLeft: number | undefined;
}

export interface PullOptions
  extends HubOptions,
    Pick<DownloadOptions, "attempts" | "firstDelay" | "stallSeconds"> {
  /** Branch, tag or commit. Default "main". */
  readonly revision?: string;
  /** Where to. Default: `models/<org>/<name>`. */
  readonly to?: string;
  readonly onProgress?: (progress: PullProgress) => void;
  readonly onNotice?: (text: string) => void;
  /** Called when all but the weights is there, before gigabytes are spent: throw to stop. */
  readonly beforeWeights?: (folder: string) => Promise<void>;
}

export interface PulledFile {
  readonly name: string;
  readonly bytes: number;
  readonly checked: Checked;
  /** It was there from an earlier pull, with the right contents. */
  readonly reused: boolean;
}

export interface PullResult {
  readonly id: string;
  readonly commit: string;
  readonly folder: string;
  readonly files: readonly PulledFile[];
}

const indexName = "model.safetensors.index.json";
/** Written last: says what the folder is a copy of. */
export const sourceName = "troupe-source.json";

const smallFiles = [
  /^(config|generation_config|adapter_config|preprocessor_config)\.json$/,
  /^(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$/,
  /^(merges\.txt|tokenizer\.model|chat_template\.(jinja|json))$/,
  /^(LICENSE|NOTICE|USE_POLICY)(\.(txt|md))?$/,
];

export async function pullModel(id: string, options: PullOptions = {}): Promise<PullResult> {
  const client = new HubClient(options);
  const revision = options.revision ?? "main";
  const model = await retrying(() => client.model(id, revision), options);
  const folder = options.to ?? join("models", ...id.split("/"));
  await mkdir(folder, { recursive: true });

  const transfer = new Transfer(client, model, folder, options);
  const small = model.files.filter(({ name }) => smallFiles.some((pattern) => pattern.test(name)));
  const index = model.files.find(({ name }) => name === indexName);
  requireWeights(model);
  transfer.expect(index ? [...small, index] : small);
  await transfer.run();
  await options.beforeWeights?.(folder);

  transfer.expect(await weightFiles(model, folder));
  await requireRoom(folder, transfer.bytesLeft);
  await transfer.run();
  const result = { id, commit: model.commit, folder, files: transfer.done };
  await writeFile(
    join(folder, sourceName),
    `${JSON.stringify({ id, revision, commit: model.commit, files: result.files.map(({ name }) => name) }, undefined, 2)}\n`,
  );
  return result;
}

function requireWeights({ id, files }: HubModel): void {
  const names = files.map(({ name }) => name);
  if (
    names.some(
      (name) => name === "model.safetensors" || name === indexName || name === "adapter_model.safetensors",
    )
  ) {
    return;
  }
  const other = names
    .filter((name) => /\.(safetensors|bin|gguf|pt|pth|h5|msgpack|onnx)$/.test(name))
    .slice(0, 8);
  throw new HubError({
    code: "E_HUB_CONTENT",
    message: `${id} has no model.safetensors and no ${indexName}${other.length > 0 ? ` (it has ${other.join(", ")})` : ""}.`,
    hint: "choose a model or --revision with safetensors weights that are not quantised.",
    facts: { id, files: names },
  });
}

/** One file, or the shards that the index (downloaded by now) names; adapters besides. */
async function weightFiles(model: HubModel, folder: string): Promise<HubFile[]> {
  const named = (name: string) => model.files.find((file) => file.name === name);
  const adapter = named("adapter_model.safetensors");
  const single = named("model.safetensors");
  if (single || !named(indexName)) return [single, adapter].filter((file) => file !== undefined);
  const index = JSON.parse(await readFile(join(folder, indexName), "utf8").catch(() => "null")) as {
    readonly weight_map?: Readonly<Record<string, string>>;
  } | null;
  const shards = [...new Set(Object.values(index?.weight_map ?? {}))];
  const missing = shards.filter((name) => !named(name));
  if (shards.length === 0 || missing.length > 0) {
    throw new HubError({
      code: "E_HUB_CONTENT",
      message: `${model.id}: ${indexName} names ${missing.length > 0 ? `files that are not there: ${missing.slice(0, 8).join(", ")}` : "no files"}.`,
      hint: "choose another --revision.",
      facts: { missing },
    });
  }
  return [...shards.map((name) => named(name)!), ...(adapter ? [adapter] : [])];
}

async function requireRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (bytes <= free) return;
  throw new HubError({
    code: "E_HUB_DISK",
    message: `The download needs ${gigabytes(bytes)}; ${folder} has ${gigabytes(free)} free.`,
    hint: "free space, or choose another place with --to.",
    facts: { bytes, free },
  });
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;

/** The list is one small request; it gets the same patience as a file. */
async function retrying<T>(request: () => Promise<T>, options: PullOptions): Promise<T> {
  const attempts = options.attempts ?? 6;
  for (let attempt = 1; ; attempt++) {
    try {
      return await request();
    } catch (cause) {
      const status = cause instanceof HubError ? Number(cause.facts.status) : 0;
      const final = cause instanceof HubError && !(status === 429 || status >= 500);
      if (final || options.signal?.aborted) throw cause;
      if (attempt >= attempts) {
        throw new HubError({
          code: "E_HUB_NETWORK",
          message: `The hub did not answer, ${attempts} times in a row: ${describe(cause)}`,
          hint: "check the network, --endpoint and HF_ENDPOINT. Node does not use HTTP_PROXY by itself.",
          cause,
        });
      }
      const seconds = Math.min(30, (options.firstDelay ?? 1) * 2 ** (attempt - 1));
      options.onNotice?.(`${describe(cause)}; trying again in ${seconds} s`);
      await delay(seconds * 1000, undefined, options.signal ? { signal: options.signal } : {});
    }
  }
}

function describe(cause: unknown): string {
  const inner = (cause as Error).cause as NodeJS.ErrnoException | undefined;
  return inner?.code ?? (cause as Error).message;
}

/** Downloads lists of files one after another and keeps the account. */
class Transfer {
  readonly done: PulledFile[] = [];
  readonly #client: HubClient;
  readonly #model: HubModel;
  readonly #folder: string;
  readonly #options: PullOptions;
  readonly #rate = new Rate();
  #waiting: HubFile[] = [];
  #received = 0;
  #total = 0;

  constructor(client: HubClient, model: HubModel, folder: string, options: PullOptions) {
    this.#client = client;
    this.#model = model;
    this.#folder = folder;
    this.#options = options;
  }

  get bytesLeft(): number {
    return this.#total - this.#received;
  }

  expect(files: readonly HubFile[]): void {
    this.#waiting.push(...files);
    for (const { size } of files) this.#total += size ?? 0;
  }

  async run(): Promise<void> {
    const files = this.#waiting;
    this.#waiting = [];
    for (const file of files) this.done.push(await this.#fetch(file));
  }

  async #fetch(file: HubFile): Promise<PulledFile> {
    const target = join(this.#folder, ...file.name.split("/"));
    const there = await this.#alreadyThere(file, target);
    if (there) {
      this.#count(file, file.size ?? 0);
      return { name: file.name, bytes: file.size ?? 0, checked: there, reused: true };
    }
    await mkdir(dirname(target), { recursive: true });
    const { signal, attempts, firstDelay, stallSeconds, onNotice } = this.#options;
    this.#count(file, await sizeOf(partPath(file, target)));
    const checked = await downloadFile(this.#client, this.#model, file, target, {
      onBytes: (bytes) => {
        this.#rate.add(bytes);
        this.#count(file, bytes);
      },
      onRetry: (why, seconds) => onNotice?.(`${why}; trying again in ${seconds} s`),
      ...(signal === undefined ? {} : { signal }),
      ...(attempts === undefined ? {} : { attempts }),
      ...(firstDelay === undefined ? {} : { firstDelay }),
      ...(stallSeconds === undefined ? {} : { stallSeconds }),
    });
    return { name: file.name, bytes: await sizeOf(target), checked, reused: false };
  }

  async #alreadyThere(file: HubFile, target: string): Promise<Checked | false> {
    if (file.size === undefined || (await sizeOf(target)) !== file.size) return false;
    const checked = await checkContents(file, target, file.size).catch(() => false as const);
    return checked === "hash" ? checked : false;
  }

  #count(file: HubFile, bytes: number): void {
    this.#received += bytes;
    const rate = this.#rate.perSecond();
    this.#options.onProgress?.({
      file: file.name,
      receivedBytes: this.#received,
      totalBytes: Math.max(this.#total, this.#received),
      rate,
      secondsLeft: rate > 0 ? Math.max(0, this.#total - this.#received) / rate : undefined,
    });
  }
}

/** Bytes per second over the last ten seconds. */
class Rate {
  readonly #window = 10_000;
  #samples: { readonly time: number; readonly bytes: number }[] = [];

  add(bytes: number): void {
    const time = performance.now();
    const last = this.#samples.at(-1);
    if (last && time - last.time < 100)
      this.#samples[this.#samples.length - 1] = { time: last.time, bytes: last.bytes + bytes };
    else this.#samples.push({ time, bytes });
    this.#samples = this.#samples.filter((sample) => time - sample.time < this.#window);
  }

  perSecond(): number {
    const first = this.#samples[0];
    if (!first) return 0;
    const seconds = Math.max(0.25, (performance.now() - first.time) / 1000);
    return (
      Math.max(
        0,
        this.#samples.reduce((sum, { bytes }) => sum + bytes, 0),
      ) / seconds
    );
  }
}
