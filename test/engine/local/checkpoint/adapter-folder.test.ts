/** @file PEFT adapters and optimiser state: reading what PEFT wrote, writing, refusing by name. */

import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  AdapterFolder,
  readTrainingState,
  SafetensorsFile,
  saveAdapterFolder,
  saveModelFolder,
  trainingStateFiles,
} from "../../../../src/engine/local/checkpoint/index.ts";
import type { DecoderConfig } from "../../../../src/engine/local/model/config.ts";
import {
  adapterShapes,
  type LoraSettings,
  type ParameterTable,
  parameterTable,
} from "../../../../src/engine/local/model/parameters.ts";
import { bits, fixture, loadModel, temporaryFolder } from "./fixtures.ts";

const peft = fixture("adapters/llama-lora");
const llama = await loadModel(fixture("models/llama"));

interface LoadedAdapter {
  readonly config: DecoderConfig;
  readonly lora: LoraSettings;
  readonly table: ParameterTable;
  readonly flat: Float32Array;
}

async function load(folder: string): Promise<LoadedAdapter> {
  const adapter = await AdapterFolder.open(folder, llama.config);
  try {
    const table = parameterTable(adapterShapes(llama.config, adapter.lora));
    const flat = new Float32Array(table.flatLength);
    await adapter.readWeights(table, flat);
    return { config: llama.config, lora: adapter.lora, table, flat };
  } finally {
    await adapter.close();
  }
}

function edited(change: Record<string, unknown>): string {
  const folder = join(temporaryFolder(), "adapter");
  cpSync(peft, folder, { recursive: true });
  const file = join(folder, "adapter_config.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...change }));
  return folder;
}

describe("reading", () => {
  test("what PEFT wrote", async () => {
    const { lora, table, flat } = await load(peft);
    expect(lora).toEqual({ rank: 4, alpha: 8, targets: ["q_proj", "v_proj", "down_proj"] });
    expect(table.parameters).toHaveLength(2 * 2 * 3);
    for (const { name, offset, length } of table.parameters) {
      expect(
        flat.subarray(offset, offset + length).every((value) => value !== 0),
        name,
      ).toBe(true);
    }
  });

  test("rank-stabilised scaling is the same map with another alpha", async () => {
    const { lora } = await load(edited({ use_rslora: true }));
    expect(lora.alpha / lora.rank).toBeCloseTo(8 / Math.sqrt(4), 12);
  });

  test("targets with their block", async () => {
    const { lora } = await load(edited({ target_modules: ["self_attn.q_proj", "v_proj", "mlp.down_proj"] }));
    expect(lora.targets).toEqual(["q_proj", "v_proj", "down_proj"]);
  });

  test.each([
    ["peft_type", "IA3"],
    ["task_type", "SEQ_CLS"],
    ["use_dora", true],
    ["bias", "lora_only"],
    ["lora_bias", true],
    ["modules_to_save", ["lm_head"]],
    ["rank_pattern", { q_proj: 8 }],
    ["alpha_pattern", { q_proj: 8 }],
    ["layers_to_transform", [0]],
    ["layer_replication", [[0, 1]]],
    ["fan_in_fan_out", true],
    ["init_lora_weights", "pissa"],
    ["trainable_token_indices", [1]],
    ["target_parameters", ["experts"]],
    ["a_field_of_next_year", { on: true }],
    ["target_modules", "all-linear"],
    ["target_modules", ["q_proj", "lm_head"]],
    ["target_modules", ["model.layers.0.self_attn.q_proj"]],
    ["target_modules", []],
  ])("%s = %j is refused by name", async (field, value) => {
    const opening = load(edited({ [field]: value }));
    await expect(opening).rejects.toMatchObject({ code: "E_CONFIG_UNSUPPORTED" });
    await expect(opening).rejects.toThrow(new RegExp(`adapter_config\\.json: ${field} is `));
  });

  test("an adapter of other settings or another base", async () => {
    await expect(load(edited({ target_modules: ["q_proj", "k_proj"] }))).rejects.toMatchObject({
      code: "E_CHECKPOINT_TENSORS",
      facts: {
        missing: expect.arrayContaining([
          expect.stringMatching(/^base_model\.model\.model\.layers\.0\.self_attn\.k_proj\.lora_A/),
        ]),
      },
    });
    await expect(load(edited({ r: 8 }))).rejects.toThrow(
      /12 of another shape \(.*lora_A\.weight is \[4,32\] instead of \[8,32\]/,
    );
    const { config } = await loadModel(fixture("models/qwen2"));
    await expect(AdapterFolder.open(peft, config)).rejects.toThrow(/of another shape/);
  });

  test("a folder without weights", async () => {
    const folder = edited({});
    rmSync(join(folder, "adapter_model.safetensors"));
    await expect(load(folder)).rejects.toThrow(/There is no file .*adapter_model\.safetensors/);
  });
});

describe("saving", () => {
  test("reloads bit-equal, with PEFT's tensor names", async () => {
    const adapter = await load(peft);
    const folder = join(temporaryFolder(), "saved");
    await saveAdapterFolder(folder, adapter, { baseModel: "models/llama" });
    const again = await load(folder);
    expect(again.lora).toEqual(adapter.lora);
    expect(bits(again.flat)).toEqual(bits(adapter.flat));
    const [original, saved] = await Promise.all(
      [peft, folder].map((place) => SafetensorsFile.open(join(place, "adapter_model.safetensors"))),
    );
    expect(new Set(saved!.tensors.keys())).toEqual(new Set(original!.tensors.keys()));
    await Promise.all([original!.close(), saved!.close()]);
    expect(readdirSync(folder).sort()).toEqual([
      "adapter_config.json",
      "adapter_model.safetensors",
      "manifest.json",
    ]);
  });
});

describe("optimiser state", () => {
  const moments = () => ({
    table: llama.table,
    first: llama.flat.map((value) => value * 0.1),
    second: llama.flat.map((value) => value * value),
  });
  const empty = () => ({
    table: llama.table,
    first: new Float32Array(llama.table.flatLength),
    second: new Float32Array(llama.table.flatLength),
  });

  test("travels with the weights, bit-equal, under the manifest", async () => {
    const folder = join(temporaryFolder(), "step-3");
    const saved = moments();
    const manifest = await saveModelFolder(folder, llama, {
      extra: trainingStateFiles(saved, { step: 3, note: "x" }),
    });
    expect(Object.keys(manifest.files)).toEqual(
      expect.arrayContaining(["optimizer.safetensors", "trainer_state.json"]),
    );
    const target = empty();
    expect(await readTrainingState(folder, target)).toEqual({ step: 3, note: "x" });
    expect(bits(target.first)).toEqual(bits(saved.first));
    expect(bits(target.second)).toEqual(bits(saved.second));
  });

  test("a NaN in a moment is refused by name and nothing is saved", async () => {
    const parent = temporaryFolder();
    const broken = moments();
    broken.second[llama.table.byName.get("lm_head.weight")!.offset] = Number.NaN;
    const saving = saveModelFolder(join(parent, "x"), llama, {
      extra: trainingStateFiles(broken, { step: 3 }),
    });
    await expect(saving).rejects.toThrow(
      /optimizer\.safetensors: tensor "second\.lm_head\.weight" holds NaN/,
    );
    expect(readdirSync(parent)).toEqual([]);
  });

  test("state of another model, without a step, or absent", async () => {
    const folder = join(temporaryFolder(), "x");
    await saveModelFolder(folder, llama, { extra: trainingStateFiles(moments(), { step: 3 }) });
    const other = parameterTable([["other.weight", [4]]]);
    const otherState = { table: other, first: new Float32Array(16), second: new Float32Array(16) };
    await expect(readTrainingState(folder, otherState)).rejects.toThrow(
      /missing \(first\.other\.weight, second\.other/,
    );
    writeFileSync(join(folder, "trainer_state.json"), "{}");
    await expect(readTrainingState(folder, empty())).rejects.toThrow(
      /trainer_state\.json: "step" is undefined/,
    );
    rmSync(join(folder, "trainer_state.json"));
    await expect(readTrainingState(folder, empty())).rejects.toMatchObject({
      code: "E_CHECKPOINT_MISSING_FILE",
    });
  });
});
