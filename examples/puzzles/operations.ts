/**
 * @file What puzzle programs are made of: operations on a list of small integers, each with words for it, its JavaScript,
 * and what it does. A program is a chain of them on `x`.
 */

export type Value = number | readonly number[];

export interface Operation {
  readonly name: string;
  /** "list": it gives a list; "number": it ends the chain. */
  readonly gives: "list" | "number";
  /** Whether it has a constant, 1 to 4. */
  readonly constant: boolean;
  /** `k` is the constant, or "?" where the puzzle does not tell it. */
  readonly words: readonly ((k: string) => string)[];
  readonly code: (x: string, k: number) => string;
  readonly apply: (x: readonly number[], k: number) => Value;
}

const list = (
  name: string,
  words: Operation["words"],
  code: Operation["code"],
  apply: (x: readonly number[], k: number) => readonly number[],
  constant = false,
): Operation => ({ name, gives: "list", constant, words, code, apply });

const number = (
  name: string,
  words: Operation["words"],
  code: Operation["code"],
  apply: (x: readonly number[]) => number,
): Operation => ({ name, gives: "number", constant: false, words, code, apply });

export const operations: readonly Operation[] = [
  list(
    "add",
    [(k) => `add ${k} to each`, (k) => `raise each by ${k}`],
    (x, k) => `${x}.map(a=>a+${k})`,
    (x, k) => x.map((a) => a + k),
    true,
  ),
  list(
    "times",
    [(k) => `multiply each by ${k}`, (k) => `each times ${k}`],
    (x, k) => `${x}.map(a=>a*${k})`,
    (x, k) => x.map((a) => a * k),
    true,
  ),
  list(
    "above",
    [(k) => `keep those above ${k}`, (k) => `drop those up to ${k}`],
    (x, k) => `${x}.filter(a=>a>${k})`,
    (x, k) => x.filter((a) => a > k),
    true,
  ),
  list(
    "below",
    [(k) => `keep those below ${k}`, (k) => `drop those from ${k} up`],
    (x, k) => `${x}.filter(a=>a<${k})`,
    (x, k) => x.filter((a) => a < k),
    true,
  ),
  list(
    "skip",
    [(k) => `skip the first ${k}`, (k) => `leave out the first ${k}`],
    (x, k) => `${x}.slice(${k})`,
    (x, k) => x.slice(k),
    true,
  ),
  list(
    "take",
    [(k) => `take the first ${k}`, (k) => `only the first ${k}`],
    (x, k) => `${x}.slice(0,${k})`,
    (x, k) => x.slice(0, k),
    true,
  ),
  list(
    "even",
    [() => "keep the even ones", () => "drop the odd ones"],
    (x) => `${x}.filter(a=>a%2==0)`,
    (x) => x.filter((a) => a % 2 === 0),
  ),
  list(
    "odd",
    [() => "keep the odd ones", () => "drop the even ones"],
    (x) => `${x}.filter(a=>a%2==1)`,
    (x) => x.filter((a) => a % 2 === 1),
  ),
  list(
    "reverse",
    [() => "turn it round", () => "back to front"],
    (x) => `${x}.reverse()`,
    (x) => [...x].reverse(),
  ),
  list(
    "sort",
    [() => "smallest first", () => "sort it upwards"],
    (x) => `${x}.sort((a,b)=>a-b)`,
    (x) => [...x].sort((a, b) => a - b),
  ),
  number(
    "sum",
    [() => "add them up", () => "give the sum"],
    (x) => `${x}.reduce((a,b)=>a+b,0)`,
    (x) => x.reduce((a, b) => a + b, 0),
  ),
  number(
    "count",
    [() => "count them", () => "say how many"],
    (x) => `${x}.length`,
    (x) => x.length,
  ),
  number(
    "largest",
    [() => "give the largest", () => "pick the biggest"],
    (x) => `Math.max(0,...${x})`,
    (x) => Math.max(0, ...x),
  ),
  number(
    "smallest",
    [() => "give the smallest", () => "pick the least"],
    (x) => `Math.min(99,...${x})`,
    (x) => Math.min(99, ...x),
  ),
];

export const operationNamed = (name: string): Operation => operations.find((one) => one.name === name)!;

/** An operation with its constant; 0 where it has none. */
export interface Link {
  readonly operation: string;
  readonly k: number;
}

export function codeOf(chain: readonly Link[]): string {
  return chain.reduce((code, { operation, k }) => operationNamed(operation).code(code, k), "x");
}

/** Only the last link may give a number. */
export function apply(chain: readonly Link[], x: readonly number[]): Value {
  return chain.reduce<Value>(
    (value, { operation, k }) => operationNamed(operation).apply(value as readonly number[], k),
    x,
  );
}
