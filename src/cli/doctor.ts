/**
 * @file `troupe doctor <model>`: whether this machine can sample and train a model folder, and what it will take,
 * before anything is spent.
 */

import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError } from "commander";
import { formatBytes } from "../engine/local/checkpoint/checkpoint-error.ts";
import { ModelFolder, readModelConfig, requireFolder } from "../engine/local/checkpoint/model-folder.ts";
import {
  cacheRoom,
  fitMemory,
  type Memory,
  type MemoryPlan,
  type MemorySettings,
  measureMemory,
  memoryPlan,
} from "../engine/local/memory-plan.ts";
import type { DecoderConfig } from "../engine/local/model/config.ts";
import { decoderShapes, type LoraSettings, parameterTable } from "../engine/local/model/parameters.ts";
import { TroupeError } from "../errors.ts";
import type { ProgressStream } from "./progress-line.ts";

export interface DoctorOptions extends MemorySettings {
  /** Bytes to plan with. Default: what this machine has and this process can take. */
  readonly available?: number;
  /** Also read every weight and look for NaN and infinity. Default false. */
  readonly weights?: boolean;
  /** Try the kernels. Default true. */
  readonly kernels?: boolean;
}

export interface DoctorCheck {
  readonly name: "config" | "weights" | "tokenizer" | "chat template" | "memory" | "kernels";
  readonly status: "good" | "warning" | "bad";
  readonly detail: string;
  readonly hint?: string;
}

export interface DoctorReport {
  readonly folder: string;
  /** Nothing is bad. */
  readonly ready: boolean;
  readonly checks: readonly DoctorCheck[];
  readonly availableBytes: number;
  readonly plan: MemoryPlan | undefined;
  /** Tokens that each slot can hold in what the plan leaves. */
  readonly cacheRoom: number | undefined;
}

/** Every check runs, whatever the others say, so that one call names all that is wrong. */
export async function runDoctor(folder: string, options: DoctorOptions = {}): Promise<DoctorReport> {
  const checks: DoctorCheck[] = [];
  const measured = measureMemory();
  const memory =
    options.available === undefined ? measured : { available: options.available, total: options.available };
  const { available } = memory;
  const config = await checkConfig(folder, options, checks);
  let plan: MemoryPlan | undefined;
  if (config) {
    await attempt(checks, "weights", () => checkWeights(folder, config, options));
    plan = checkPlan(config, options, memory, checks);
  }
  await checkTokenizer(folder, config, checks);
  if (options.kernels !== false) await attempt(checks, "kernels", checkKernels);
  return {
    folder,
    ready: checks.every(({ status }) => status !== "bad"),
    checks,
    availableBytes: available,
    plan,
    cacheRoom: plan && cacheRoom(plan, available),
  };
}

/** Runs one check; an error is a finding, with its own hint. */
async function attempt(
  checks: DoctorCheck[],
  name: DoctorCheck["name"],
  check: () => Promise<Omit<DoctorCheck, "name">>,
): Promise<boolean> {
  try {
    checks.push({ name, ...(await check()) });
    return true;
  } catch (error) {
    checks.push({ name, status: "bad", ...finding(error) });
    return false;
  }
}

function finding(error: unknown): Pick<DoctorCheck, "detail" | "hint"> {
  if (!TroupeError.is(error)) return { detail: error instanceof Error ? error.message : String(error) };
  const detail = error.message.split("\n  Try: ")[0]!;
  return error.hint === undefined ? { detail } : { detail, hint: error.hint };
}

async function checkConfig(
  folder: string,
  { contextLength }: DoctorOptions,
  checks: DoctorCheck[],
): Promise<DecoderConfig | undefined> {
  let config: DecoderConfig | undefined;
  await attempt(checks, "config", async () => {
    await requireFolder(folder);
    ({ config } = await readModelConfig(folder, contextLength === undefined ? {} : { contextLength }));
    const { architecture, layers, hiddenSize, heads, keyValueHeads, headSize, vocabularySize } = config;
    return {
      status: "good",
      detail: `${architecture}, ${layers} layers of ${hiddenSize}, ${heads}/${keyValueHeads} heads of ${headSize}, vocabulary ${vocabularySize}, context ${config.contextLength}`,
    };
  });
  return config;
}

async function checkWeights(
  folder: string,
  config: DecoderConfig,
  { weights: all = false }: DoctorOptions,
): Promise<Omit<DoctorCheck, "name">> {
  const model = await ModelFolder.open(folder, { contextLength: config.contextLength, verify: all });
  try {
    const table = parameterTable(decoderShapes(config));
    if (all) await model.readWeights(table, new Float32Array(table.flatLength));
    const { recommended, endTokens } = model.generation;
    const facts = [
      `${table.parameters.length} tensors in ${model.formats.join(" and ")}, every name and shape fits`,
      all ? "every value is finite" : "",
      model.manifest ? "as written by Troupe" : "",
      Object.keys(recommended).length > 0 ? `recommended sampling ${JSON.stringify(recommended)}` : "",
    ];
    const detail = facts.filter(Boolean).join("; ");
    if (endTokens.length > 0) return { status: "good", detail };
    return {
      status: "warning",
      detail: `${detail}; neither generation_config.json nor config.json names an end token`,
      hint: "give stop strings or a token limit with each agent, or add eos_token_id to generation_config.json.",
    };
  } finally {
    await model.close();
  }
}

function checkPlan(
  config: DecoderConfig,
  options: DoctorOptions,
  memory: Memory,
  checks: DoctorCheck[],
): MemoryPlan {
  const { available } = memory;
  try {
    const plan = fitMemory(config, options, memory);
    const room = cacheRoom(plan, available);
    const lowered = options.microbatchTokens === undefined && plan.settings.microbatchTokens < 8192;
    checks.push({
      name: "memory",
      status: "good",
      detail: [
        `${formatBytes(plan.totalBytes)} of ${formatBytes(available)}`,
        lowered ? `with microbatches of ${plan.settings.microbatchTokens} tokens` : "",
        `what is left holds ${room} tokens in each of ${plan.settings.slots} slots${room < config.contextLength ? ` (the context is ${config.contextLength})` : ""}`,
      ]
        .filter(Boolean)
        .join("; "),
    });
    return plan;
  } catch (error) {
    checks.push({ name: "memory", status: "bad", ...finding(error) });
    return memoryPlan(config, options);
  }
}

async function checkTokenizer(
  folder: string,
  config: DecoderConfig | undefined,
  checks: DoctorCheck[],
): Promise<void> {
  const { ModelTokenizer } = await import("../engine/local/tokenizer/tokenizer.ts");
  let tokenizer: InstanceType<typeof ModelTokenizer> | undefined;
  await attempt(checks, "tokenizer", async () => {
    tokenizer = await ModelTokenizer.load(folder);
    const { vocabularySize, endTokens } = tokenizer;
    const detail = `${vocabularySize} tokens, end tokens ${endTokens.join(", ") || "none"}`;
    if (config && vocabularySize > config.vocabularySize) {
      return {
        status: "bad",
        detail: `${detail}; the model has only ${config.vocabularySize} rows for them`,
        hint: "use the tokenizer that belongs to these weights.",
      };
    }
    return { status: "good", detail };
  });
  if (!tokenizer) return;
  const loaded = tokenizer;
  await attempt(checks, "chat template", async () => {
    try {
      const tokens = loaded.encodeChat([{ role: "user", content: "Hello" }], { addGenerationPrompt: true });
      return { status: "good", detail: `"Hello" of a user becomes ${tokens.length} tokens` };
    } catch (error) {
      // Agents that prompt with plain text need none.
      return { status: "warning", ...finding(error) };
    }
  });
}

async function checkKernels(): Promise<Omit<DoctorCheck, "name">> {
  const { openBackend } = await import("../engine/local/ort/open.ts");
  const { runSelfTests } = await import("../engine/local/ort/self-test.ts");
  const backend = await openBackend();
  try {
    await runSelfTests(backend);
    return {
      status: "good",
      detail: `ONNX Runtime ${backend.version} (${backend.kind}), ${availableParallelism()} threads; self-tests passed`,
    };
  } finally {
    backend.dispose();
  }
}

const marks = { good: "ok  ", warning: "note", bad: "BAD " } as const;

export function formatReport({ folder, ready, checks, plan, availableBytes }: DoctorReport): string {
  const lines = [folder, ""];
  for (const { name, status, detail, hint } of checks) {
    lines.push(`${marks[status]}  ${name.padEnd(14)}${detail}`);
    if (hint !== undefined && status !== "good") lines.push(`${" ".repeat(20)}Try: ${hint}`);
  }
  if (plan) {
    lines.push("", `Memory, ${plan.settings.trainable ? "training" : "sampling only"}:`);
    for (const { name, bytes, note } of plan.parts) {
      lines.push(`  ${name.padEnd(18)}${formatBytes(bytes).padStart(9)}  ${note}`);
    }
    lines.push(
      `  ${"in all".padEnd(18)}${formatBytes(plan.totalBytes).padStart(9)}  of ${formatBytes(availableBytes)} available`,
    );
  }
  lines.push("", ready ? "Ready." : "Not ready: see what is marked BAD.", "");
  return lines.join("\n");
}

interface DoctorFlags {
  readonly sampleOnly?: boolean;
  readonly lora?: number;
  readonly slots?: number;
  readonly context?: number;
  readonly microbatch?: number;
  readonly weights?: boolean;
  readonly json?: boolean;
}

const everyTarget: LoraSettings["targets"] = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
];

function settingsOf(flags: DoctorFlags): DoctorOptions {
  return {
    trainable: !flags.sampleOnly,
    ...(flags.lora === undefined
      ? {}
      : { lora: { rank: flags.lora, alpha: 2 * flags.lora, targets: everyTarget } }),
    ...(flags.slots === undefined ? {} : { slots: flags.slots }),
    ...(flags.context === undefined ? {} : { contextLength: flags.context }),
    ...(flags.microbatch === undefined ? {} : { microbatchTokens: flags.microbatch }),
    ...(flags.weights === undefined ? {} : { weights: flags.weights }),
  };
}

export async function doctorCommand(
  folder: string,
  flags: DoctorFlags,
  out: ProgressStream = process.stdout,
): Promise<void> {
  const report = await runDoctor(folder, settingsOf(flags));
  out.write(flags.json ? `${JSON.stringify(report)}\n` : formatReport(report));
  if (!report.ready) process.exitCode = 1;
}

export function registerDoctor(program: Command): void {
  program
    .command("doctor")
    .description("check a model folder and print what it will take in memory")
    .argument("<model>", "folder with config.json, weights and tokenizer")
    .option("--sample-only", "plan without training")
    .option("--lora <rank>", "plan for a LoRA adapter on every linear map", wholeNumber)
    .option("--slots <n>", "concurrent sequences (default: 64)", wholeNumber)
    .option("--context <tokens>", "longest sequence (default: the model's)", wholeNumber)
    .option(
      "--microbatch <tokens>",
      "tokens of one training microbatch (default: 8192, less if memory asks for it)",
      wholeNumber,
    )
    .option("--weights", "also read every weight: hashes, NaN, infinity")
    .option("--json", "print the report as JSON")
    .addHelpText("after", "\nExit code 1: something is wrong that training or sampling would meet.")
    .action((folder: string, flags: DoctorFlags) => doctorCommand(folder, flags));
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError("It is not a whole number of at least 1.");
}
