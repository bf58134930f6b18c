/** @file The base of every error that Troupe throws: what happened, where, and what to do next. */

const marker = Symbol.for("troupe.error");

export interface TroupeErrorFacts {
  /** Stable, `E_`-prefixed; users switch on it. */
  readonly code: string;
  /** What happened and where, in one or two sentences. */
  readonly message: string;
  /** What to do next; printed after "Try:". */
  readonly hint?: string;
  readonly cause?: unknown;
  /** The numbers and names behind the message, for programs. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/**
 * Base class. Subclasses live beside the code that throws them and only fix `name`.
 * `TroupeError.is` works across duplicate installs of the package, unlike `instanceof`.
 */
export class TroupeError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor({ code, message, hint, cause, facts }: TroupeErrorFacts) {
    super(
      hint === undefined ? message : `${message}\n  Try: ${hint}`,
      cause === undefined ? undefined : { cause },
    );
    this.name = new.target.name;
    this.code = code;
    this.hint = hint;
    this.facts = facts ?? {};
    Object.defineProperty(this, marker, { value: true });
  }

  static is(value: unknown): value is TroupeError {
    return typeof value === "object" && value !== null && marker in value;
  }

  override toString(): string {
    return `${this.name} [${this.code}]: ${this.message}`;
  }
}
