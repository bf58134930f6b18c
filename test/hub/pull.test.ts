/** @file Downloads against a local hub: resume, broken connections, wrong contents, refusals, names that escape. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type PullOptions, type PullProgress, pullModel } from "../../src/hub/pull.ts";
import { commit, FakeHub, refuse, sendBroken, sendBytes } from "./fake-hub.ts";

let hub: FakeHub;
let folder: string;

const weights = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7919) >> 3));

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "troupe-pull-"));
  hub = await FakeHub.start();
  hub.add("config.json", '{"architectures": ["LlamaForCausalLM"]}');
  hub.add("tokenizer.json", "{}");
  hub.add("README.md", "# tiny");
  hub.add("model.safetensors", weights, true);
});

afterEach(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

const pull = (options: PullOptions = {}) =>
  pullModel(hub.id, { endpoint: hub.endpoint, to: folder, firstDelay: 0.01, attempts: 3, ...options });

const isWeights = (path: string) => path.endsWith("model.safetensors");
const parts = () => readdirSync(folder).filter((name) => name.endsWith(".part"));

describe("a plain download", () => {
  test("takes what the engine reads, in a fixed order, and says what it is a copy of", async () => {
    const result = await pull();
    expect(result).toMatchObject({ id: "acme/tiny", commit, folder });
    expect(result.files.map(({ name, checked, reused }) => [name, checked, reused])).toEqual([
      ["config.json", "hash", false],
      ["tokenizer.json", "hash", false],
      ["model.safetensors", "hash", false],
    ]);
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual([
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "troupe-source.json",
    ]);
    expect(JSON.parse(readFileSync(join(folder, "troupe-source.json"), "utf8"))).toMatchObject({ commit });
  });

  test("files come from the commit that was listed, whatever happens to the branch", async () => {
    await pull();
    expect(hub.requests("/resolve/").every(({ path }) => path.includes(`/resolve/${commit}/`))).toBe(true);
  });

  test("progress ends at the total and never exceeds it", async () => {
    const states: PullProgress[] = [];
    await pull({ onProgress: (state) => states.push(state) });
    expect(states.at(-1)).toMatchObject({ receivedBytes: states.at(-1)!.totalBytes });
    expect(states.at(-1)!.totalBytes).toBe(weights.length + hub.files.get("config.json")!.bytes.length + 2);
    expect(states.every(({ receivedBytes, totalBytes }) => receivedBytes <= totalBytes)).toBe(true);
    expect(states.some(({ rate, secondsLeft }) => rate > 0 && secondsLeft !== undefined)).toBe(true);
  });

  test("a second pull reuses what is there and repairs what was changed", async () => {
    await pull();
    writeFileSync(join(folder, "tokenizer.json"), "[]");
    hub.seen.length = 0;
    const result = await pull();
    expect(result.files.map(({ name, reused }) => [name, reused])).toEqual([
      ["config.json", true],
      ["tokenizer.json", false],
      ["model.safetensors", true],
    ]);
    expect(hub.requests("/resolve/").map(({ path }) => path)).toEqual([
      `/acme/tiny/resolve/${commit}/tokenizer.json`,
    ]);
    expect(readFileSync(join(folder, "tokenizer.json"), "utf8")).toBe("{}");
  });

  test("shards: those of the index, and no others", async () => {
    hub.files.delete("model.safetensors");
    hub.add("a.safetensors", "aaaa", true);
    hub.add("b.safetensors", "bb", true);
    hub.add("other.safetensors", "x", true);
    hub.add(
      "model.safetensors.index.json",
      JSON.stringify({ weight_map: { one: "a.safetensors", two: "b.safetensors", three: "a.safetensors" } }),
    );
    await pull();
    expect(readdirSync(folder)).toEqual(expect.arrayContaining(["a.safetensors", "b.safetensors"]));
    expect(existsSync(join(folder, "other.safetensors"))).toBe(false);
  });

  test("an empty file", async () => {
    hub.add("merges.txt", "");
    await pull();
    expect(readFileSync(join(folder, "merges.txt"), "utf8")).toBe("");
  });

  test("the caller may stop before the weights", async () => {
    const stopping = pull({
      beforeWeights: async (place) => {
        expect(existsSync(join(place, "config.json"))).toBe(true);
        throw new Error("not this one");
      },
    });
    await expect(stopping).rejects.toThrow("not this one");
    expect(hub.seen.some(({ path }) => isWeights(path))).toBe(false);
  });
});

describe("broken transfers", () => {
  test("a connection that breaks is continued where it stopped", async () => {
    let breaks = 2;
    hub.intercept = (_request, response, seen) => {
      if (seen.server !== "content" || breaks-- <= 0) return false;
      sendBroken(response, weights, seen.range, 100_000);
      return true;
    };
    const notices: string[] = [];
    await pull({ onNotice: (text) => notices.push(text) });
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    const ranges = hub.seen.filter(({ server }) => server === "content").map(({ range }) => range);
    expect(ranges[0]).toBeUndefined();
    expect(ranges[1]).toMatch(/^bytes=[1-9]\d*-$/);
    expect(ranges).toHaveLength(3);
    expect(notices[0]).toMatch(/model\.safetensors: the connection broke \(.*\); trying again in 0\.01 s/);
  });

  test("another process continues the part that was left", async () => {
    hub.intercept = (_request, response, seen) => {
      if (seen.server !== "content") return false;
      sendBroken(response, weights, seen.range, 50_000);
      return true;
    };
    const controller = new AbortController();
    const stopped = pull({ signal: controller.signal, onNotice: () => controller.abort() });
    await expect(stopped).rejects.toMatchObject({
      code: "E_HUB_CANCELLED",
      message: expect.stringContaining("it continues where this one stopped"),
    });
    expect(parts()).toHaveLength(1);
    hub.intercept = () => false;
    hub.seen.length = 0;
    await pull();
    expect(hub.seen.find(({ server }) => server === "content")!.range).toMatch(/^bytes=[1-9]\d*-$/);
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(parts()).toEqual([]);
  });

  test("a server that ignores ranges: from the start, without doubling", async () => {
    let first = true;
    hub.intercept = (_request, response, seen) => {
      if (seen.server !== "content") return false;
      if (first) sendBroken(response, weights, seen.range, 100_000);
      else sendBytes(response, weights, undefined);
      first = false;
      return true;
    };
    const states: PullProgress[] = [];
    await pull({ onProgress: (state) => states.push(state) });
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
    expect(states.at(-1)!.receivedBytes).toBe(states.at(-1)!.totalBytes);
  });

  test("a server that stays silent is given up on and tried again", async () => {
    let silent = true;
    hub.intercept = (_request, response, seen) => {
      if (seen.server !== "content" || !silent) return false;
      silent = false;
      response.writeHead(200, { "content-length": weights.length }).flushHeaders();
      return true;
    };
    const notices: string[] = [];
    await pull({ stallSeconds: 0.2, onNotice: (text) => notices.push(text) });
    expect(notices).toEqual([expect.stringContaining("nothing arrived for 0.2 s")]);
  });

  test("503 with Retry-After, then success", async () => {
    let busy = 1;
    hub.intercept = (_request, response, { server }) => {
      if (server !== "content" || busy-- <= 0) return false;
      response.writeHead(503, { "retry-after": "0" }).end();
      return true;
    };
    const notices: string[] = [];
    await pull({ onNotice: (text) => notices.push(text) });
    expect(notices).toEqual(["model.safetensors: the server answered 503; trying again in 0 s"]);
  });

  test("gives up after attempts without progress, and keeps the part", async () => {
    let first = true;
    hub.intercept = (_request, response, seen) => {
      if (seen.server !== "content") return false;
      if (first) sendBroken(response, weights, undefined, 100_000);
      else response.destroy();
      first = false;
      return true;
    };
    await expect(pull()).rejects.toMatchObject({
      code: "E_HUB_NETWORK",
      message: expect.stringMatching(
        /model\.safetensors could not be downloaded: the connection broke .* 3 times/,
      ),
    });
    expect(parts()).toHaveLength(1);
  });

  test("no hub at that address", async () => {
    const { endpoint } = hub;
    await hub.stop();
    const pulling = pullModel("acme/tiny", { endpoint, to: folder, firstDelay: 0.01, attempts: 2 });
    await expect(pulling).rejects.toMatchObject({
      code: "E_HUB_NETWORK",
      message: expect.stringContaining("ECONNREFUSED"),
    });
    hub = await FakeHub.start();
  });
});

describe("wrong contents", () => {
  test("a wrong hash is refused, and nothing has the file's name", async () => {
    const other = Buffer.from(weights);
    other[1234]! ^= 1;
    hub.intercept = (_request, response, seen) => {
      if (seen.server !== "content") return false;
      sendBytes(response, other, seen.range);
      return true;
    };
    await expect(pull()).rejects.toMatchObject({
      code: "E_HUB_INTEGRITY",
      message: expect.stringContaining(
        "model.safetensors did not arrive as the hub lists it: its contents have another hash",
      ),
    });
    expect(existsSync(join(folder, "model.safetensors"))).toBe(false);
    expect(parts()).toEqual([]);
  });

  test("a small file is checked by its git hash", async () => {
    hub.intercept = (_request, response, { path }) => {
      if (!path.endsWith("/tokenizer.json")) return false;
      response.writeHead(200).end("[]");
      return true;
    };
    await expect(pull()).rejects.toThrow(/tokenizer\.json did not arrive .* another hash/);
  });

  test("a damaged part from an earlier attempt is thrown away once", async () => {
    hub.intercept = (_request, response, seen) => {
      if (seen.server !== "content") return false;
      sendBroken(response, weights, seen.range, 100_000);
      return true;
    };
    const controller = new AbortController();
    await expect(pull({ signal: controller.signal, onNotice: () => controller.abort() })).rejects.toThrow();
    const part = join(folder, parts()[0]!);
    const bytes = readFileSync(part);
    bytes[10]! ^= 1;
    writeFileSync(part, bytes);
    hub.intercept = () => false;
    await pull();
    expect(readFileSync(join(folder, "model.safetensors")).equals(weights)).toBe(true);
  });

  test("a range other than the one asked for is not appended", async () => {
    let first = true;
    hub.intercept = (_request, response, seen) => {
      if (seen.server !== "content") return false;
      if (first) sendBroken(response, weights, undefined, 100_000);
      else
        response.writeHead(206, { "content-range": `bytes 7-${weights.length - 1}/${weights.length}` }).end();
      first = false;
      return true;
    };
    await expect(pull()).rejects.toThrow(
      /the server sent bytes from 7 instead of \d+|the server sent bytes from 7/,
    );
  });

  test("without hashes the result says so", async () => {
    hub.listed.set("model.safetensors", { lfs: undefined, blobId: undefined });
    const result = await pull();
    expect(result.files.find(({ name }) => isWeights(name))).toMatchObject({ checked: "size" });
  });
});

describe("refusals", () => {
  test.each([
    ["../../etc/passwd"],
    ["/etc/passwd"],
    ["a/../../b.json"],
    ["a\\..\\b.json"],
    ["C:evil.json"],
    ["a//b"],
    ["nul\0.json"],
  ])("a listed name that could escape: %j", async (name) => {
    hub.add(name, "x");
    await expect(pull()).rejects.toMatchObject({
      code: "E_HUB_ANSWER",
      message: expect.stringContaining("could leave the folder"),
    });
    expect(hub.requests("/resolve/")).toEqual([]);
  });

  test.each([
    ["GatedRepo", 401, {}, "E_HUB_ACCESS", /acme\/tiny is gated.*\n.*accept them at .*\/acme\/tiny/],
    ["GatedRepo", 403, { token: "t" }, "E_HUB_ACCESS", /is gated.*403/],
    ["RepoNotFound", 401, {}, "E_HUB_NOT_FOUND", /no model acme\/tiny that an anonymous user may see/],
    ["RepoNotFound", 404, { token: "t" }, "E_HUB_NOT_FOUND", /that this token may see/],
    ["", 403, { token: "t" }, "E_HUB_ACCESS", /refused access.*\n.*HF_TOKEN is valid/],
    ["", 500, { attempts: 1 }, "E_HUB_NETWORK", /did not answer/],
  ] as const)("%s %i", async (error, status, options, code, message) => {
    hub.intercept = (_request, response) => {
      refuse(response, status, error);
      return true;
    };
    const pulling = pull(options);
    await expect(pulling).rejects.toMatchObject({ code });
    await expect(pulling).rejects.toThrow(message);
  });

  test("a revision that does not exist", async () => {
    await expect(pull({ revision: "v9" })).rejects.toThrow(/acme\/tiny has no revision "v9"/);
  });

  test("a page in place of the list", async () => {
    hub.intercept = (_request, response) => {
      response.writeHead(200, { "content-type": "text/html" }).end("<html>log in</html>");
      return true;
    };
    await expect(pull()).rejects.toThrow(/answered without a commit and a list of files/);
  });

  test("no safetensors", async () => {
    hub.files.delete("model.safetensors");
    hub.add("pytorch_model.bin", "x", true);
    await expect(pull()).rejects.toThrow(/has no model\.safetensors .*\(it has pytorch_model\.bin\)/);
  });

  test.each(["", "a/b/c", "../x", "acme/..", "acme/tiny?x", "acme /tiny"])("model id %j", async (id) => {
    await expect(pullModel(id, { endpoint: hub.endpoint, to: folder })).rejects.toMatchObject({
      code: "E_HUB_NAME",
    });
    expect(hub.seen).toEqual([]);
  });

  test.each(["ftp://x", "huggingface.co", "https://user:pass@x"])("endpoint %j", async (endpoint) => {
    await expect(pull({ endpoint })).rejects.toMatchObject({ code: "E_HUB_ENDPOINT" });
  });
});

describe("the token", () => {
  test("goes to the hub and not to the server that it redirects to", async () => {
    await pull({ token: "hf_secret" });
    const sent = (server: "hub" | "content") =>
      new Set(hub.seen.filter((seen) => seen.server === server).map(({ authorization }) => authorization));
    expect(sent("hub")).toEqual(new Set(["Bearer hf_secret"]));
    expect(sent("content")).toEqual(new Set([undefined]));
  });

  test("is not sent unencrypted beyond this machine", async () => {
    await expect(pull({ endpoint: "http://hub.example", token: "hf_secret" })).rejects.toThrow(
      /would travel unencrypted to http:\/\/hub\.example/,
    );
  });
});
