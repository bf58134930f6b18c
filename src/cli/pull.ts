/** @file `troupe pull <org/name>`: a model from the hub into a plain folder, verified, resumable. */

import type { Command } from "commander";
import { formatBytes } from "../engine/local/checkpoint/checkpoint-error.ts";
import { readModelConfig } from "../engine/local/checkpoint/model-folder.ts";
import { ConfigError } from "../engine/local/model/config-reader.ts";
import { type PullProgress, type PullResult, pullModel } from "../hub/pull.ts";
import { formatSeconds, ProgressLine, type ProgressStream } from "./progress-line.ts";

export interface PullCommandOptions {
  readonly revision?: string;
  readonly to?: string;
  readonly endpoint?: string;
  /** Download even if the local engine cannot compute the model. */
  readonly anyArchitecture?: boolean;
  readonly json?: boolean;
  readonly signal?: AbortSignal;
}

export interface Output {
  readonly out: ProgressStream;
  /** Progress and notices, so that `--json` keeps `out` clean. */
  readonly error: ProgressStream;
}

const terminal: Output = { out: process.stdout, error: process.stderr };

export async function runPull(
  id: string,
  options: PullCommandOptions = {},
  output: Output = terminal,
): Promise<PullResult> {
  const progress = new ProgressLine(output.error);
  try {
    const result = await pullModel(id, {
      ...(options.revision === undefined ? {} : { revision: options.revision }),
      ...(options.to === undefined ? {} : { to: options.to }),
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      onProgress: (state) => progress.update(() => describe(state)),
      onNotice: (text) => progress.note(text),
      ...(options.anyArchitecture ? {} : { beforeWeights: refuseUnsupported }),
    });
    progress.clear();
    output.out.write(options.json ? `${JSON.stringify(result)}\n` : summary(result));
    return result;
  } finally {
    progress.clear();
  }
}

/** The config arrives first: what the engine cannot compute costs kilobytes, not gigabytes. */
async function refuseUnsupported(folder: string): Promise<void> {
  try {
    await readModelConfig(folder);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) return;
    throw new ConfigError({
      code: cause.code,
      message: `${cause.message.split("\n  Try:")[0]} The weights were not downloaded.`,
      hint: "choose a Llama, Qwen2 or Qwen3 model, or download this one all the same with --any-architecture.",
      cause,
      facts: cause.facts,
    });
  }
}

function describe({ file, receivedBytes, totalBytes, rate, secondsLeft }: PullProgress): string {
  const share = totalBytes > 0 ? Math.floor((100 * receivedBytes) / totalBytes) : 100;
  const left = secondsLeft === undefined ? "" : `, ${formatSeconds(secondsLeft)} left`;
  return `${share} %  ${formatBytes(receivedBytes)} of ${formatBytes(totalBytes)}  ${formatBytes(Math.round(rate))}/s${left}  ${file}`;
}

function summary({ id, commit, folder, files }: PullResult): string {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const reused = files.filter((file) => file.reused).length;
  const unchecked = files.filter((file) => file.checked !== "hash");
  return [
    `${id} at ${commit.slice(0, 12)}: ${files.length} files, ${formatBytes(bytes)}, in ${folder}${reused > 0 ? ` (${reused} were there already)` : ""}`,
    ...(unchecked.length > 0
      ? [`The hub gave no hash for ${unchecked.map(({ name }) => name).join(", ")}: not verified.`]
      : ["Every file has the hash that the hub lists."]),
    `Next: troupe doctor ${folder}`,
    "",
  ].join("\n");
}

export function registerPull(program: Command): void {
  program
    .command("pull")
    .description("download a model from the hub, verified; run again to continue a download")
    .argument("<model>", "model id, for example Qwen/Qwen3-0.6B")
    .option("--revision <name>", "branch, tag or commit (default: main)")
    .option("--to <folder>", "where to (default: models/<org>/<name>)")
    .option("--endpoint <url>", "hub to download from (default: HF_ENDPOINT or https://huggingface.co)")
    .option("--any-architecture", "download the weights even if the local engine cannot compute the model")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nHF_TOKEN is used for gated and private models.")
    .action(async (id: string, options: PullCommandOptions) => {
      const controller = new AbortController();
      const stop = () => controller.abort();
      process.once("SIGINT", stop);
      try {
        await runPull(id, { ...options, signal: controller.signal });
      } finally {
        process.off("SIGINT", stop);
      }
    });
}
