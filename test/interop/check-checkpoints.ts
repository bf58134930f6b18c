/**
 * @file Checks by hand and in CI that transformers and peft load what Troupe writes, to the same logits.
 *
 *     node --import jiti/register test/interop/check-checkpoints.ts [python]
 *
 * Without a Python that has torch, transformers and peft it says so and checks nothing.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  AdapterFolder,
  ModelFolder,
  saveAdapterFolder,
  saveModelFolder,
} from "../../src/engine/local/checkpoint/index.ts";
import { adapterShapes, decoderShapes, parameterTable } from "../../src/engine/local/model/parameters.ts";

const python = process.argv[2] ?? process.env.TROUPE_PYTHON ?? "python3";
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const fixtures = here("../fixtures");

async function load(name: string) {
  const model = await ModelFolder.open(join(fixtures, "models", name));
  const { config, sourceConfig } = model;
  const table = parameterTable(decoderShapes(config));
  const flat = new Float32Array(table.flatLength);
  await model.readWeights(table, flat);
  await model.close();
  return { config, sourceConfig, table, flat };
}

async function writeEverything(folder: string): Promise<void> {
  for (const name of ["llama", "qwen2", "qwen3", "llama-sharded"]) {
    const copyFrom = join(fixtures, "models", name);
    const model = await load(name);
    for (const format of ["F32", "F16", "BF16"] as const) {
      await saveModelFolder(join(folder, "models", `${name}-${format}`), model, { format, copyFrom });
    }
  }
  const llama = await load("llama");
  const adapter = await AdapterFolder.open(join(fixtures, "adapters", "llama-lora"), llama.config);
  const table = parameterTable(adapterShapes(llama.config, adapter.lora));
  const flat = new Float32Array(table.flatLength);
  await adapter.readWeights(table, flat);
  await adapter.close();
  await saveAdapterFolder(
    join(folder, "adapter"),
    { config: llama.config, lora: adapter.lora, table, flat },
    { baseModel: join(fixtures, "models", "llama") },
  );
  llama.flat[llama.table.byName.get("model.norm.weight")!.offset]! += 0.5;
  await saveModelFolder(join(folder, "changed"), llama, { copyFrom: join(fixtures, "models", "llama") });
}

const probe = spawnSync(python, ["-c", "import torch, transformers, peft, safetensors"], {
  encoding: "utf8",
});
if (probe.status !== 0) {
  console.log(`SKIPPED: ${python} has no torch, transformers and peft, so nothing was checked.`);
} else {
  const written = mkdtempSync(join(tmpdir(), "troupe-interop-"));
  try {
    await writeEverything(written);
    const check = spawnSync(python, [here("check_checkpoints.py"), written, fixtures], { stdio: "inherit" });
    process.exitCode = check.status ?? 1;
  } finally {
    rmSync(written, { recursive: true, force: true });
  }
}
