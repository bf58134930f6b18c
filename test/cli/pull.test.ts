/** @file The pull command over a local hub: what it prints, and that unsupported models cost no weights. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ProgressLine } from "../../src/cli/progress-line.ts";
import { type PullCommandOptions, runPull } from "../../src/cli/pull.ts";
import { ModelFolder } from "../../src/engine/local/checkpoint/model-folder.ts";
import { commit, FakeHub } from "../hub/fake-hub.ts";

const model = fileURLToPath(new URL("../fixtures/models/llama/", import.meta.url));
let hub: FakeHub;
let folder: string;
let printed: string;
let errors: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "troupe-pull-"));
  printed = "";
  errors = "";
  hub = await FakeHub.start();
  for (const name of ["config.json", "generation_config.json"])
    hub.add(name, readFileSync(join(model, name)));
  hub.add("model.safetensors", readFileSync(join(model, "model.safetensors")), true);
});
afterEach(async () => {
  await hub.stop();
  rmSync(folder, { recursive: true, force: true });
});

const pull = (options: PullCommandOptions = {}) =>
  runPull(
    hub.id,
    { endpoint: hub.endpoint, to: folder, ...options },
    { out: { write: (text) => (printed += text) }, error: { write: (text) => (errors += text) } },
  );

test("the folder opens as a model, and the summary says what to do next", async () => {
  await pull();
  await (await ModelFolder.open(folder)).close();
  expect(printed).toMatch(/^acme\/tiny at 0123456789ab: 3 files, 159\.\d kB, in .*\nEvery file has the hash/);
  expect(printed).toContain(`Next: troupe doctor ${folder}`);
});

test("again: nothing is fetched twice", async () => {
  await pull();
  printed = "";
  await pull();
  expect(printed).toContain("(3 were there already)");
});

test("--json keeps standard output clean", async () => {
  await pull({ json: true });
  expect(JSON.parse(printed)).toMatchObject({ id: "acme/tiny", commit });
});

test("files without a hash are named", async () => {
  hub.listed.set("model.safetensors", { lfs: undefined, blobId: undefined });
  await pull();
  expect(printed).toContain("The hub gave no hash for model.safetensors: not verified.");
});

test("an unsupported model costs its config, not its weights, unless asked for", async () => {
  hub.add("config.json", '{"architectures": ["MixtralForCausalLM"], "model_type": "mixtral"}');
  await expect(pull()).rejects.toThrow(
    /MixtralForCausalLM.* The weights were not downloaded\.\n.*--any-architecture/,
  );
  expect(existsSync(join(folder, "model.safetensors"))).toBe(false);
  await pull({ anyArchitecture: true });
  expect(existsSync(join(folder, "model.safetensors"))).toBe(true);
});

test("progress is one rewritten line on a terminal and plain lines elsewhere", () => {
  const lines = (isTTY: boolean, environment: NodeJS.ProcessEnv = {}) => {
    let text = "";
    const progress = new ProgressLine({ isTTY, columns: 12, write: (part) => (text += part) }, environment);
    progress.update(() => "ten percent of it");
    progress.note("hello");
    return text;
  };
  expect(lines(true)).toBe("\r\x1b[2Kten percent\r\x1b[2Khello\n");
  expect(lines(false)).toBe("ten percent of it\nhello\n");
  expect(lines(true, { CI: "1" })).toBe("ten percent of it\nhello\n");
});
