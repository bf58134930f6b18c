/**
 * @file Honest side-by-sides: each side is a process of its own that answers JSON lines; runs alternate (order
 * reversed every round), and what is reported is the ratio within a round: its median and spread.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { loadavg } from "node:os";
import { createInterface, type Interface } from "node:readline";

export type Answer = Readonly<Record<string, unknown>>;

/** A process that takes one JSON command a line and answers one JSON line. */
export class Side {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly #waiting: ((line: string) => void)[] = [];
  #stderr = "";

  constructor(
    name: string,
    command: string,
    commandArguments: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ) {
    this.name = name;
    this.#child = spawn(command, commandArguments, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...environment },
    });
    this.#lines = createInterface({ input: this.#child.stdout! });
    this.#lines.on("line", (line) => this.#waiting.shift()?.(line));
    this.#child.stderr!.on("data", (chunk) => {
      this.#stderr = (this.#stderr + chunk).slice(-4000);
    });
  }

  ask(command: Answer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const died = (code: number | null) =>
        reject(new Error(`${this.name} ended with ${code}:\n${this.#stderr}`));
      this.#child.once("exit", died);
      this.#waiting.push((line) => {
        this.#child.off("exit", died);
        resolve(JSON.parse(line) as Answer);
      });
      this.#child.stdin!.write(`${JSON.stringify(command)}\n`);
    });
  }

  async milliseconds(command: Answer): Promise<number> {
    return (await this.ask(command)).ms as number;
  }

  close(): void {
    this.#child.kill("SIGKILL");
    this.#lines.close();
  }
}

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
};

export interface Comparison {
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  /** theirs / ours within each round: > 1 means we are faster. */
  readonly ratios: readonly number[];
}

/** One warm-up each, then `rounds` alternating rounds. */
export async function alternate(
  rounds: number,
  ours: () => Promise<number>,
  theirs: () => Promise<number>,
): Promise<Comparison> {
  await ours();
  await theirs();
  const result = { ours: [] as number[], theirs: [] as number[], ratios: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    const oursFirst = round % 2 === 0;
    const first = await (oursFirst ? ours : theirs)();
    const second = await (oursFirst ? theirs : ours)();
    const [a, b] = oursFirst ? [first, second] : [second, first];
    result.ours.push(a);
    result.theirs.push(b);
    result.ratios.push(b / a);
  }
  return result;
}

const short = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

/** "12.3 / 13.0 | 30.1 / 31.2 | 2.41× (2.30–2.55)": min / median ms of both sides, median ratio and its range. */
export function row({ ours, theirs, ratios }: Comparison): string {
  const times = (values: readonly number[]) => `${short(Math.min(...values))} / ${short(median(values))}`;
  return `${times(ours)} | ${times(theirs)} | ${median(ratios).toFixed(2)}× (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`;
}

export const load = (): string =>
  `load ${loadavg()
    .map((l) => l.toFixed(2))
    .join(" ")}`;

/** The Python that has the peers installed; without it a benchmark says so and stops. */
export function peerPython(): string {
  const python = process.env.TROUPE_PEERS_PYTHON;
  if (!python) {
    console.error(
      "This benchmark compares with Python libraries. Set TROUPE_PEERS_PYTHON to a Python that has them:\n" +
        "  python3 -m venv peers && peers/bin/pip install -r bench/peers/requirements.txt\n  TROUPE_PEERS_PYTHON=peers/bin/python …",
    );
    process.exit(2);
  }
  return python;
}
