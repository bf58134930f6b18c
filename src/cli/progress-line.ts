/** @file One line of progress on a terminal, rewritten in place; plain lines, seldom, everywhere else. */

export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Milliseconds between updates: smooth for people, sparse for logs. */
const terminalInterval = 100;
const logInterval = 10_000;

export class ProgressLine {
  readonly #stream: ProgressStream;
  readonly #terminal: boolean;
  #last = Number.NEGATIVE_INFINITY;
  #shown = false;

  constructor(stream: ProgressStream, environment: NodeJS.ProcessEnv = process.env) {
    this.#stream = stream;
    this.#terminal = stream.isTTY === true && !environment.CI;
  }

  /** Shows the text if it is time; `text` is only made when it is. */
  update(text: () => string): void {
    const now = performance.now();
    if (now - this.#last < (this.#terminal ? terminalInterval : logInterval)) return;
    this.#last = now;
    if (!this.#terminal) this.#stream.write(`${text()}\n`);
    else {
      this.#stream.write(`\r\x1b[2K${text().slice(0, (this.#stream.columns ?? 80) - 1)}`);
      this.#shown = true;
    }
  }

  /** A line that stays, above the progress. */
  note(text: string): void {
    this.clear();
    this.#stream.write(`${text}\n`);
  }

  clear(): void {
    if (this.#shown) this.#stream.write("\r\x1b[2K");
    this.#shown = false;
  }
}

/** "4 s", "3 min 20 s", "2 h 5 min". */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
