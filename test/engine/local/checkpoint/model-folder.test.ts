/** @file Model folders: reading what transformers wrote, writing, and every way in which a folder can be wrong. */

import { cpSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  ModelFolder,
  SafetensorsFile,
  saveModelFolder,
  type WeightFormat,
} from "../../../../src/engine/local/checkpoint/index.ts";
import { bits, fixture, loadModel, temporaryFolder } from "./fixtures.ts";

const models = ["llama", "qwen2", "qwen3", "llama-sharded"] as const;

function copyOf(model: (typeof models)[number]): string {
  const folder = join(temporaryFolder(), model);
  cpSync(fixture(`models/${model}`), folder, { recursive: true });
  return folder;
}

function editConfig(folder: string, change: Record<string, unknown>): void {
  const file = join(folder, "config.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...change }));
}

/** Rewrites model.safetensors with its header changed; the data stays. */
function editHeader(folder: string, change: (header: Record<string, { shape: number[] }>) => void): void {
  const file = join(folder, "model.safetensors");
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length));
  change(header);
  const json = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(file, Buffer.concat([prefix, json, bytes.subarray(8 + length)]));
}

describe("reading what transformers wrote", () => {
  test.each([
    ["llama", ["F32"], { queryKeyValueBias: false, queryKeyNorm: false, tiedHead: false, headSize: 8 }],
    ["qwen2", ["BF16"], { queryKeyValueBias: true, attentionOutputBias: false, tiedHead: true, headSize: 8 }],
    ["qwen3", ["F16"], { queryKeyNorm: true, tiedHead: false, headSize: 16, heads: 4, hiddenSize: 32 }],
    [
      "llama-sharded",
      ["F32"],
      { queryKeyValueBias: true, attentionOutputBias: true, mlpBias: true, tiedHead: true },
    ],
  ])("%s", async (name, formats, config) => {
    const model = await loadModel(fixture(`models/${name}`));
    expect(model.formats).toEqual(formats);
    expect(model.config).toMatchObject(config);
    // Every parameter is there and none is left at zero.
    for (const { name: parameter, offset, length } of model.table.parameters) {
      expect(
        model.flat.subarray(offset, offset + length).every((value) => value !== 0),
        parameter,
      ).toBe(true);
    }
  });

  test("generation config: several end tokens", async () => {
    const model = await ModelFolder.open(fixture("models/qwen3"));
    await model.close();
    expect(model.generation).toEqual({ endTokens: [2, 3], beginToken: 1, paddingToken: 0, recommended: {} });
  });

  test("a snapshot of symbolic links, as the hub's cache has it", async () => {
    const folder = temporaryFolder();
    for (const name of readdirSync(fixture("models/llama"))) {
      symlinkSync(fixture(`models/llama/${name}`), join(folder, name));
    }
    expect((await loadModel(folder)).flat).toEqual((await loadModel(fixture("models/llama"))).flat);
  });
});

describe("saving", () => {
  test.each(models)("%s in F32 reloads bit-equal", async (name) => {
    const model = await loadModel(fixture(`models/${name}`));
    const folder = join(temporaryFolder(), "saved");
    await saveModelFolder(folder, model, { copyFrom: fixture(`models/${name}`) });
    const again = await loadModel(folder);
    expect(bits(again.flat)).toEqual(bits(model.flat));
    expect(again.config).toEqual(model.config);
    expect(readdirSync(folder).sort()).toEqual([
      "config.json",
      "generation_config.json",
      "manifest.json",
      "model.safetensors",
    ]);
  });

  test.each([
    ["qwen2", "BF16"],
    ["qwen3", "F16"],
  ] as const)("%s in its own format %s keeps every bit", async (name, format) => {
    const model = await loadModel(fixture(`models/${name}`));
    const folder = join(temporaryFolder(), "saved");
    await saveModelFolder(folder, model, { format });
    expect(bits((await loadModel(folder)).flat)).toEqual(bits(model.flat));
    const original = await SafetensorsFile.open(join(fixture(`models/${name}`), "model.safetensors"));
    const saved = await SafetensorsFile.open(join(folder, "model.safetensors"));
    expect(new Set(saved.tensors.keys())).toEqual(new Set(original.tensors.keys()));
    expect(saved.header.metadata).toEqual({ format: "pt" });
    await Promise.all([original.close(), saved.close()]);
  });

  test("config.json keeps unknown fields and says the number format under both names", async () => {
    const model = await loadModel(fixture("models/llama"));
    const folder = join(temporaryFolder(), "saved");
    await saveModelFolder(
      folder,
      { ...model, sourceConfig: { ...model.sourceConfig, mine: 1 } },
      { format: "BF16" },
    );
    expect(JSON.parse(readFileSync(join(folder, "config.json"), "utf8"))).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      torch_dtype: "bfloat16",
      dtype: "bfloat16",
      rope_theta: 10000,
      mine: 1,
    });
  });

  test.each([
    ["F32", Number.NaN, /tensor "model\.norm\.weight" holds NaN at element 3 of 32/],
    ["F32", Number.POSITIVE_INFINITY, /model\.norm\.weight" holds Infinity at element 3/],
    ["F16", 70_000, /model\.norm\.weight" holds 70000 at element 3 of 32, which F16 cannot hold/],
  ] as const)(
    "a value that %s cannot keep (%s) is refused and leaves nothing",
    async (format, value, message) => {
      const model = await loadModel(fixture("models/llama"));
      model.flat[model.table.byName.get("model.norm.weight")!.offset + 3] = value;
      const parent = temporaryFolder();
      const saving = saveModelFolder(join(parent, "saved"), model, { format: format as WeightFormat });
      await expect(saving).rejects.toThrow(message);
      await expect(saving).rejects.toMatchObject({ code: "E_CHECKPOINT_VALUES" });
      expect(readdirSync(parent)).toEqual([]);
    },
  );
});

describe("a folder that does not fit is refused by name", () => {
  test("missing, misshapen and unexpected tensors at once", async () => {
    const folder = copyOf("llama");
    editHeader(folder, (header) => {
      header["model.extra.weight"] = header["model.norm.weight"]!;
      delete header["model.norm.weight"];
      header["model.layers.1.mlp.up_proj.weight"]!.shape = [32, 64];
    });
    await expect(loadModel(folder)).rejects.toMatchObject({
      code: "E_CHECKPOINT_TENSORS",
      facts: {
        missing: ["model.norm.weight"],
        shaped: ["model.layers.1.mlp.up_proj.weight is [32,64] instead of [64,32]"],
        unexpected: ["model.extra.weight"],
      },
      message: expect.stringMatching(/1 missing \(model\.norm\.weight\).*1 of another shape.*1 unexpected/),
    });
  });

  test("an untied head without its tensor", async () => {
    const folder = copyOf("qwen2");
    editConfig(folder, { tie_word_embeddings: false });
    await expect(loadModel(folder)).rejects.toThrow(/1 missing \(lm_head\.weight\)/);
  });

  test("a tied head with an equal tensor is read, with a different one refused", async () => {
    const folder = copyOf("llama");
    editConfig(folder, { tie_word_embeddings: true });
    await expect(loadModel(folder)).rejects.toThrow(
      /ties the head to the embedding, but lm_head\.weight differs/,
    );

    const bytes = readFileSync(join(folder, "model.safetensors"));
    const length = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString("utf8", 8, 8 + length));
    const at = (name: string) => 8 + length + header[name].data_offsets[0];
    bytes.copy(
      bytes,
      at("lm_head.weight"),
      at("model.embed_tokens.weight"),
      at("model.embed_tokens.weight") + 320 * 32 * 4,
    );
    writeFileSync(join(folder, "model.safetensors"), bytes);
    expect((await loadModel(folder)).config.tiedHead).toBe(true);
  });

  test("weights that are read into the table of another model", async () => {
    const model = await ModelFolder.open(fixture("models/llama"));
    const { table, flat } = await loadModel(fixture("models/qwen3"));
    await expect(model.readWeights(table, flat)).rejects.toMatchObject({
      code: "E_CHECKPOINT_TENSORS",
      message: expect.stringMatching(
        /another model .*q_proj\.weight is \[32,32\] in the file and \[64,32\] here/,
      ),
    });
    await model.close();
  });

  test("NaN in a tensor", async () => {
    const folder = copyOf("llama");
    const file = join(folder, "model.safetensors");
    const bytes = readFileSync(file);
    bytes.writeFloatLE(Number.NaN, bytes.length - 4 * 10);
    writeFileSync(file, bytes);
    await expect(loadModel(folder)).rejects.toMatchObject({
      code: "E_CHECKPOINT_VALUES",
      message: expect.stringMatching(/model\.safetensors: tensor "[a-z_.0-9]+" holds NaN at element \d+/),
    });
  });

  test.each([
    ["model.safetensors", /has neither model\.safetensors nor model\.safetensors\.index\.json/],
    ["config.json", /There is no file .*config\.json/],
  ])("without %s", async (name, message) => {
    const folder = copyOf("llama");
    rmSync(join(folder, name));
    await expect(loadModel(folder)).rejects.toThrow(message);
  });

  test("only pickled weights", async () => {
    const folder = copyOf("llama");
    rmSync(join(folder, "model.safetensors"));
    writeFileSync(join(folder, "pytorch_model.bin"), "");
    await expect(loadModel(folder)).rejects.toThrow(/only pytorch_model\.bin.*\n.*save_pretrained/);
  });

  test("a folder that does not exist, and a file in its place", async () => {
    await expect(loadModel(join(temporaryFolder(), "none"))).rejects.toThrow(
      /There is no model folder .*none/,
    );
    await expect(loadModel(fixture("models/llama/config.json"))).rejects.toThrow(
      /is a file, not a model folder/,
    );
  });

  test("config.json cut off", async () => {
    const folder = copyOf("llama");
    writeFileSync(join(folder, "config.json"), '{"architectures": [');
    await expect(loadModel(folder)).rejects.toThrow(/config\.json is not JSON/);
  });

  test("shards: one missing, one swapped, an index that leads outside", async () => {
    const folder = copyOf("llama-sharded");
    const [first, second] = readdirSync(folder).filter((name) => name.endsWith(".safetensors")) as [
      string,
      string,
    ];
    const index = readFileSync(join(folder, "model.safetensors.index.json"), "utf8");
    writeFileSync(
      join(folder, "model.safetensors.index.json"),
      index.replace(second, "../outside.safetensors"),
    );
    await expect(loadModel(folder)).rejects.toThrow(/index\.json has no usable weight_map/);
    writeFileSync(join(folder, "model.safetensors.index.json"), index);
    cpSync(join(folder, first), join(folder, second));
    await expect(loadModel(folder)).rejects.toThrow(
      /index\.json and its shards disagree: .* is not in model-00002/,
    );
    rmSync(join(folder, second));
    await expect(loadModel(folder)).rejects.toThrow(/There is no file .*model-00002-of-00002\.safetensors/);
  });
});

describe("a saved folder that was changed afterwards", () => {
  async function saved(): Promise<string> {
    const folder = join(temporaryFolder(), "saved");
    await saveModelFolder(folder, await loadModel(fixture("models/qwen3")), {
      copyFrom: fixture("models/qwen3"),
    });
    return folder;
  }

  test("one flipped bit in the weights", async () => {
    const folder = await saved();
    const file = join(folder, "model.safetensors");
    const bytes = readFileSync(file);
    bytes[bytes.length - 3]! ^= 1;
    writeFileSync(file, bytes);
    await expect(loadModel(folder)).rejects.toMatchObject({
      code: "E_CHECKPOINT_CHANGED",
      message: expect.stringContaining("model.safetensors has other contents"),
    });
  });

  test("a missing and a shortened file are named together", async () => {
    const folder = await saved();
    rmSync(join(folder, "generation_config.json"));
    writeFileSync(join(folder, "config.json"), "{}");
    await expect(loadModel(folder)).rejects.toThrow(
      /config\.json has 2 bytes instead of \d+; generation_config\.json is missing|generation_config\.json is missing; config/,
    );
  });

  test("a cut-off or foreign manifest", async () => {
    const folder = await saved();
    writeFileSync(join(folder, "manifest.json"), '{"schema": 1, "fil');
    await expect(loadModel(folder)).rejects.toThrow(/manifest\.json is not JSON/);
    writeFileSync(join(folder, "manifest.json"), '{"schema": 2}');
    await expect(loadModel(folder)).rejects.toThrow(/has schema 2; this version reads schema 1/);
    writeFileSync(
      join(folder, "manifest.json"),
      '{"schema": 1, "files": {"../x": {"size": 1, "sha256": "00"}}}',
    );
    await expect(loadModel(folder)).rejects.toThrow(/its list of files is malformed/);
  });
});
