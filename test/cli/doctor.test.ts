/** @file What the doctor finds in good and bad folders, and that it finds everything in one go. */

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type DoctorOptions,
  type DoctorReport,
  doctorCommand,
  formatReport,
  registerDoctor,
  runDoctor,
} from "../../src/cli/doctor.ts";
import {
  type TrainedTokenizer,
  trainBpe,
  writeTokenizer,
} from "../../src/engine/local/tokenizer/train-bpe.ts";

const models = fileURLToPath(new URL("../fixtures/models/", import.meta.url));
const text = readFileSync(new URL("../fixtures/tokenizers/corpus.txt", import.meta.url), "utf8");
let tokenizer: TrainedTokenizer;
let parent: string;
let folder: string;

beforeAll(() => {
  tokenizer = trainBpe([text], { vocabularySize: 270, minimumFrequency: 1 });
});

beforeEach(async () => {
  parent = mkdtempSync(join(tmpdir(), "troupe-doctor-"));
  folder = join(parent, "model");
  cpSync(join(models, "qwen3"), folder, { recursive: true });
  await writeTokenizer(folder, tokenizer);
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

const run = (options: DoctorOptions = {}) =>
  runDoctor(folder, { kernels: false, available: 8e9, ...options });
const statuses = ({ checks }: DoctorReport) =>
  Object.fromEntries(checks.map(({ name, status }) => [name, status]));
const detailOf = ({ checks }: DoctorReport, name: string) =>
  checks.find((check) => check.name === name)?.detail;
const edit = (name: string, change: object) => {
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...change }));
};

describe("a good folder", () => {
  test("passes every check, with the kernels", async () => {
    const report = await runDoctor(folder, { weights: true });
    expect(statuses(report)).toEqual({
      config: "good",
      weights: "good",
      memory: "good",
      tokenizer: "good",
      "chat template": "good",
      kernels: "good",
    });
    expect(report.ready).toBe(true);
    expect(detailOf(report, "weights")).toMatch(
      /tensors in F16, every name and shape fits; every value is finite/,
    );
    expect(detailOf(report, "kernels")).toMatch(
      /ONNX Runtime \d+\.\d+\.\d+ \((ffi|stock)\), .* self-tests passed/,
    );
  });

  test("prints every check and every part of the plan", async () => {
    const report = await run();
    const printed = formatReport(report);
    for (const { name } of [...report.checks, ...report.plan!.parts]) expect(printed).toContain(name);
    expect(printed).toMatch(/in all +\d+\.\d MB {2}of 8\.00 GB available/);
    expect(printed).toMatch(/Ready\.\n$/);
  });

  test("--json is one line that parses", async () => {
    let printed = "";
    await doctorCommand(folder, { json: true, sampleOnly: true }, { write: (part) => (printed += part) });
    expect(printed.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(printed)).toMatchObject({ ready: true, plan: { settings: { trainable: false } } });
  });
});

describe("what is wrong", () => {
  test("a folder that does not exist", async () => {
    const report = await runDoctor(join(parent, "none"), { kernels: false });
    expect(report.ready).toBe(false);
    expect(detailOf(report, "config")).toMatch(/There is no model folder .*none/);
    expect(report.plan).toBeUndefined();
  });

  test("several things at once are all named", async () => {
    rmSync(join(folder, "tokenizer.json"));
    rmSync(join(folder, "model.safetensors"));
    const report = await run({ available: 1e6 });
    expect(statuses(report)).toEqual({ config: "good", weights: "bad", memory: "bad", tokenizer: "bad" });
    const printed = formatReport(report);
    expect(printed.match(/Try: /g)).toHaveLength(3);
    expect(printed).toMatch(/Not ready/);
  });

  test("an unsupported architecture", async () => {
    edit("config.json", { architectures: ["MixtralForCausalLM"] });
    const report = await run();
    expect(detailOf(report, "config")).toMatch(/architectures is \["MixtralForCausalLM"\]/);
    expect(report.checks.find(({ name }) => name === "config")?.hint).toMatch(
      /LlamaForCausalLM, Qwen2ForCausalLM/,
    );
  });

  test("a tokenizer with more tokens than the model", async () => {
    await writeTokenizer(folder, trainBpe([text], { vocabularySize: 330, minimumFrequency: 1 }));
    expect(detailOf(await run(), "tokenizer")).toMatch(/330 tokens.*the model has only 320 rows/);
  });

  test("no chat template is a note, not a fault: agents may prompt with text", async () => {
    edit("tokenizer_config.json", { chat_template: undefined });
    const report = await run();
    expect(statuses(report)["chat template"]).toBe("warning");
    expect(report.ready).toBe(true);
  });

  test("no end token is a note", async () => {
    edit("generation_config.json", { eos_token_id: null });
    edit("config.json", { eos_token_id: null });
    const report = await run();
    expect(statuses(report).weights).toBe("warning");
    expect(detailOf(report, "weights")).toMatch(/names an end token/);
  });

  test("NaN is found only when weights are read", async () => {
    const file = join(folder, "model.safetensors");
    const bytes = readFileSync(file);
    bytes.writeUInt16LE(0x7e00, bytes.length - 20);
    writeFileSync(file, bytes);
    expect(statuses(await run()).weights).toBe("good");
    expect(detailOf(await run({ weights: true }), "weights")).toMatch(/holds NaN/);
  });

  test("memory: lowered microbatches are said, and a refusal has the numbers", async () => {
    const whole = (await run()).plan!.totalBytes;
    expect(detailOf(await run({ available: whole + 1e6 }), "memory")).toMatch(
      /with microbatches of \d+ tokens/,
    );
    expect(detailOf(await run({ available: 1e6 }), "memory")).toMatch(
      /needs \d+\.\d\d GB; 0\.00 GB are available/,
    );
  });
});

describe("the command", () => {
  const parse = async (...argv: string[]) => {
    const program = new Command().exitOverride().configureOutput({ writeErr: () => {} });
    registerDoctor(program);
    for (const command of program.commands) command.exitOverride().configureOutput({ writeErr: () => {} });
    await program.parseAsync(argv, { from: "user" });
  };

  test.each(["0", "1.5", "many"])("--slots %s is refused", async (value) => {
    await expect(parse("doctor", folder, "--slots", value)).rejects.toThrow(
      /not a whole number of at least 1/,
    );
  });
});
