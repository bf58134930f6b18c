/** The sources of the methods library: short files, each with its card, that know nothing of engines or of each other. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { cardsOf, root, sources } from "../../scripts/methods-index.mjs";
import * as methods from "../../src/methods/index.ts";

const paths = sources().filter((path) => path.startsWith("src/methods/"));
const texts = new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));

/** Imported names of each import, with the path or package that it comes from. */
function importsOf(path: string): readonly { readonly from: string; readonly names: readonly string[] }[] {
  const code = texts.get(path)!.replace(/\/\*[\s\S]*?\*\/|'[^'\n]*'/g, "");
  return [...code.matchAll(/(?:\{([^{}]*)\}\s+from|\bfrom|\bimport|\bimport\()\s*"([^"]+)"/g)].map(
    ([, names = "", from]) => ({
      from: from!.startsWith(".") ? join(dirname(path), from!) : from!,
      names: names
        .split(",")
        .map((name) => name.replace("type ", "").trim().split(" as ")[0]!)
        .filter((name) => name !== ""),
    }),
  );
}

/** Lines after the file's opening comment. */
const linesOf = (text: string) =>
  text
    .replace(/^\/\*\*[\s\S]*?\*\/\s*/, "")
    .trimEnd()
    .split("\n").length;

/** It makes a part or a whole method that is exported. */
const parts =
  /satisfies (?:AdvantagePart|CreditAssigner|SequenceWeight|TokenWeight|LossKernel|Regulariser|SamplerPart)\b/;
const makes = (path: string, text: string) =>
  parts.test(text) ||
  /Object\.freeze\(\{\s*stage:/.test(text) ||
  (/^src\/methods\/[^/]+\.ts$/.test(path) &&
    !path.endsWith("/compose.ts") &&
    /^(?:export function \w+\(.*)?\): Method \{/m.test(text));

test("every part and every whole method has a card", () => {
  const silent = paths.filter((path) => {
    const text = texts.get(path)!;
    return makes(path, text) && cardsOf(text).length === 0;
  });
  expect(silent, "files without `export const …Card: MethodCard`").toEqual([]);
});

test("a method's file is under 150 lines without its header", () => {
  const long = paths
    .filter((path) => makes(path, texts.get(path)!) || cardsOf(texts.get(path)!).length > 0)
    .map((path) => `${path}: ${linesOf(texts.get(path)!)}`)
    .filter((line) => Number(line.split(": ")[1]) >= 150);
  expect(long).toEqual([]);
});

test("every file opens with a comment; one with a card names its source there", () => {
  const silent = paths.filter((path) => {
    const text = texts.get(path)!;
    const [header = ""] = /^\/\*\*[\s\S]*?\*\//.exec(text) ?? [];
    return !header.includes("@file") || (cardsOf(text).length > 0 && !/Source|CHOSEN|arXiv/.test(header));
  });
  expect(silent).toEqual([]);
});

describe("imports", () => {
  test("stay within the methods, errors and random numbers", () => {
    const outside = paths.flatMap((path) =>
      importsOf(path)
        .filter(({ from }) => !/^src\/(methods|random)\/|^src\/errors\.ts$/.test(from))
        .map(({ from }) => `${path} imports ${from}`),
    );
    expect(outside).toEqual([]);
  });

  test("are of files that exist", () => {
    const missing = paths.flatMap((path) =>
      importsOf(path)
        .filter(({ from }) => from.startsWith("src/") && !existsSync(join(root, from)))
        .map(({ from }) => `${path} imports ${from}`),
    );
    expect(missing).toEqual([]);
    expect(paths.flatMap((path) => importsOf(path)).length).toBeGreaterThan(paths.length);
  });

  test("take of another method's file only what is public", () => {
    const index = texts.get("src/methods/index.ts")! + texts.get("src/methods/schedule/index.ts")!;
    const isPublic = (name: string) => name in methods || new RegExp(`\\b${name}\\b`).test(index);
    const prying = paths
      .filter((path) => !path.endsWith("/index.ts") && cardsOf(texts.get(path)!).length > 0)
      .flatMap((path) =>
        importsOf(path).flatMap(({ from, names }) =>
          cardsOf(texts.get(from) ?? "").length === 0
            ? []
            : names
                .filter((name) => !isPublic(name))
                .map((name) => `${path} takes ${name} of ${from}; shared arithmetic has a file of its own`),
        ),
      );
    expect(prying).toEqual([]);
  });
});
