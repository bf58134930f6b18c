/** @file What a program in the sandbox came to, as data. */

/** Any JSON value. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** How one call of a program ended. Closed. */
export type ProgramResult =
  /** `value` as JSON has it; absent where the program gave nothing that JSON has (undefined, a function). */
  | { readonly status: "value"; readonly value?: JsonValue }
  /** It threw, or is no program: `type` as in "TypeError". */
  | { readonly status: "error"; readonly type: string; readonly message: string }
  /** It took more than its budget of interrupts, or of time. */
  | { readonly status: "timeout" }
  | { readonly status: "memory" }
  /** Its result is longer than the sandbox lets out. */
  | { readonly status: "output"; readonly characters: number };

/** Deep equality of JSON values; the order of an object's names does not matter. −0 is 0. */
export function sameJson(left: JsonValue | undefined, right: JsonValue | undefined): boolean {
  if (left === right) return true;
  if (typeof left !== "object" || typeof right !== "object" || left === null || right === null) return false;
  if (Array.isArray(left) || Array.isArray(right)) {
    return (
      Array.isArray(left) &&
      Array.isArray(right) &&
      left.length === right.length &&
      left.every((item, i) => sameJson(item, right[i]))
    );
  }
  const names = Object.keys(left);
  return (
    names.length === Object.keys(right).length &&
    names.every(
      (name) =>
        Object.hasOwn(right, name) &&
        sameJson(
          (left as Readonly<Record<string, JsonValue>>)[name],
          (right as Readonly<Record<string, JsonValue>>)[name],
        ),
    )
  );
}
