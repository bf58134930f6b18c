/** @file Starts the run of crash tests in processes of its own, kills them, and gathers what came out. */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const scriptOf = (name: string) => fileURLToPath(new URL(`./${name}.ts`, import.meta.url));

export interface Attempt {
  /** `TROUPE_CRASH_AT` */
  readonly crashAt?: string;
  /** Milliseconds after the start of the process. */
  readonly killAfter?: number;
}

export interface Ended {
  readonly killed: boolean;
  readonly code: number | null;
  readonly output: string;
}

/** One place for runs, and what happens in it. */
export class CrashRun {
  readonly folder = mkdtempSync(join(tmpdir(), "troupe-crash-"));
  readonly #model: string | undefined;
  readonly #script: string;

  /** `script`: the file beside this one that is run. */
  constructor(model?: string, script = "two-policies") {
    this.#model = model;
    this.#script = scriptOf(script);
  }

  get path(): string {
    return join(this.folder, "crash");
  }

  attempt({ crashAt, killAfter }: Attempt = {}): Promise<Ended> {
    const { TROUPE_CRASH_AT: _, ...env } = process.env;
    const child = spawn(
      process.execPath,
      [
        "--import",
        "jiti/register",
        this.#script,
        this.folder,
        ...(this.#model === undefined ? [] : [this.#model]),
      ],
      { env: crashAt === undefined ? env : { ...env, TROUPE_CRASH_AT: crashAt } },
    );
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfter);
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        clearTimeout(timer);
        resolve({ killed: signal === "SIGKILL", code, output });
      });
    });
  }

  get finished(): boolean {
    return existsSync(join(this.path, "summary.json"));
  }

  /** Repeats the command until the run has ended; an attempt that ends by itself must end well. */
  async finish(): Promise<void> {
    for (let i = 0; !this.finished; i++) {
      const { code, output } = await this.attempt();
      if (code !== 0 || i > 3) throw new Error(`attempt ${i} ended with ${code}:\n${output}`);
    }
  }

  /** Everything that the seed decides. */
  outcome(): Readonly<Record<string, unknown>> {
    const { seconds: _, run: __, checkpoint: ___, ...summary } = this.#json("summary.json");
    const checkpoints = join(this.path, "checkpoints");
    const files = filesBelow(checkpoints).filter((name) => !/(state|manifest)\.json$/.test(name));
    const episodes = join(this.path, "episodes");
    return {
      summary,
      metrics: readFileSync(join(this.path, "metrics.jsonl"), "utf8"),
      weights: Object.fromEntries(files.map((name) => [name, digest(join(checkpoints, name))])),
      timed: readFileSync(join(this.path, "timings.jsonl"), "utf8").trim().split("\n").map(withoutTimes),
      episodes: Object.fromEntries(
        readdirSync(episodes).map((name) => [
          name,
          readFileSync(join(episodes, name), "utf8").trim().split("\n").map(withoutTimes),
        ]),
      ),
      journal: existsSync(join(this.path, "journal")) ? readdirSync(join(this.path, "journal")) : [],
      others: readdirSync(this.folder),
    };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #json(name: string): Record<string, unknown> {
    return JSON.parse(readFileSync(join(this.path, name), "utf8"));
  }
}

function digest(path: string): string {
  return createHash("sha256").update(readFileSync(path)).digest("hex");
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );
}

/** A line of JSON less what the clock says. */
function withoutTimes(line: string): unknown {
  return JSON.parse(line, (name, value) =>
    /^(startedAt|seconds|.*Seconds|tokensPerSecond)$/.test(name) ? undefined : value,
  );
}
