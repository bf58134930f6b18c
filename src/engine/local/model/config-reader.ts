/** @file Typed access to the fields of a `config.json`, with errors that name file and field. */

import { TroupeError } from "../../../errors.ts";

/** A `config.json` that is malformed, or that asks for what the engine cannot compute. */
export class ConfigError extends TroupeError {}

type Fields = Readonly<Record<string, unknown>>;

export const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** One JSON object of a file. `null` and absence are the same thing, as they are in Hugging Face configs. */
export class ConfigReader {
  readonly file: string;
  readonly #fields: Fields;
  readonly #path: string;

  constructor(fields: unknown, file: string, path = "") {
    this.file = file;
    this.#path = path;
    if (!isFields(fields)) {
      throw new ConfigError({
        code: "E_CONFIG_INVALID",
        message: `${file}${path ? ` (${path})` : ""} is not a JSON object.`,
        hint: "check that the file is complete; `troupe pull` downloads it again.",
        facts: { file },
      });
    }
    this.#fields = fields;
  }

  has(name: string): boolean {
    return this.raw(name) !== undefined;
  }

  raw(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? (this.#fields[name] ?? undefined) : undefined;
  }

  section(name: string): ConfigReader | undefined {
    const value = this.raw(name);
    return value === undefined ? undefined : new ConfigReader(value, this.file, this.#name(name));
  }

  text(name: string): string | undefined {
    return this.#typed(name, (value) => typeof value === "string", "a string");
  }

  flag(name: string): boolean | undefined {
    return this.#typed(name, (value) => typeof value === "boolean", "true or false");
  }

  number(name: string): number | undefined {
    return this.#typed(name, (value) => typeof value === "number" && Number.isFinite(value), "a number");
  }

  positive(name: string): number | undefined {
    return this.#typed(
      name,
      (value) => typeof value === "number" && Number.isFinite(value) && value > 0,
      "a positive number",
    );
  }

  /** A whole number of at least 1 that a tensor can have as a dimension. */
  count(name: string): number | undefined {
    return this.#typed(
      name,
      (value) => typeof value === "number" && Number.isInteger(value) && value >= 1 && value < 2 ** 31,
      "a whole number of at least 1",
    );
  }

  numbers(name: string): readonly number[] | undefined {
    return this.#typed(
      name,
      (value) =>
        Array.isArray(value) && value.every((item) => typeof item === "number" && Number.isFinite(item)),
      "a list of numbers",
    );
  }

  texts(name: string): readonly string[] | undefined {
    return this.#typed(
      name,
      (value) => Array.isArray(value) && value.every((item) => typeof item === "string"),
      "a list of strings",
    );
  }

  requireCount(name: string): number {
    return this.count(name) ?? this.#missing(name);
  }

  requirePositive(name: string): number {
    return this.positive(name) ?? this.#missing(name);
  }

  /** "folder/config.json: rope_parameters.factor" */
  place(name: string): string {
    return `${this.file}: ${this.#name(name)}`;
  }

  invalid(name: string, value: unknown, expected: string): ConfigError {
    return new ConfigError({
      code: "E_CONFIG_INVALID",
      message: `${this.place(name)} is ${JSON.stringify(value)}; expected ${expected}.`,
      hint: "check that the file is the model's own; `troupe pull` downloads it again.",
      facts: { file: this.file, field: this.#name(name), value },
    });
  }

  unsupported(name: string, value: unknown, supported: string): ConfigError {
    return new ConfigError({
      code: "E_CONFIG_UNSUPPORTED",
      message: `${this.place(name)} is ${JSON.stringify(value)}, which the local engine does not compute.`,
      hint: `use a model with ${supported}.`,
      facts: { file: this.file, field: this.#name(name), value },
    });
  }

  #name(name: string): string {
    return this.#path ? `${this.#path}.${name}` : name;
  }

  #missing(name: string): never {
    throw new ConfigError({
      code: "E_CONFIG_MISSING",
      message: `${this.place(name)} is missing.`,
      hint: "check that the file is the model's own; `troupe pull` downloads it again.",
      facts: { file: this.file, field: this.#name(name) },
    });
  }

  #typed<T>(name: string, test: (value: unknown) => boolean, expected: string): T | undefined {
    const value = this.raw(name);
    if (value === undefined) return undefined;
    if (!test(value)) throw this.invalid(name, value, expected);
    return value as T;
  }
}
