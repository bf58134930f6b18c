/** @file `troupe methods`: what the library has, by stage; or one method with its formula, defaults and source. */

import type { Command } from "commander";
import { cardsOfStage, catalog, findCard, stages, stageTitles } from "../catalog/index.ts";
import type { MethodCard } from "../methods/card.ts";
import { print, printJson } from "./command-output.ts";
import { CommandLineError } from "./errors.ts";

/** Columns that the list fits in. */
const width = 100;

/** Characters of a default that stand beside its source. */
const widest = 40;

interface MethodsFlags {
  readonly stage?: string;
  readonly json?: boolean;
}

export function registerMethods(program: Command): void {
  program
    .command("methods")
    .description("list the methods library, or print one method: formula, defaults, source")
    .argument("[name]", "a method or part, for example f-grpo")
    .option("--stage <stage>", `only one stage: ${stages.join(", ")}`)
    .option("--json", "print the same facts as JSON")
    .action((name: string | undefined, { stage, json }: MethodsFlags) => {
      if (name !== undefined && stage !== undefined) {
        throw new CommandLineError({
          code: "E_OPTION",
          message: "A name and --stage exclude each other.",
          hint: `leave --stage out: \`troupe methods ${name}\`.`,
        });
      }
      if (name !== undefined) {
        const card = findCard(name);
        if (json === true) printJson(asFacts(card));
        else print(describeCard(card));
        return;
      }
      const cards = stage === undefined ? catalog : cardsOfStage(stage);
      if (json === true) printJson(cards.map(asFacts));
      else print(`${describeCards(cards)}\n\n\`troupe methods <name>\` prints formula, defaults and source.`);
    });
}

/** JSON has no Infinity; as text it is at least not lost. */
export function asFacts(card: MethodCard): MethodCard {
  const defaults = Object.entries(card.defaults).map(([name, { value, source }]) => {
    const said = typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
    return [name, { value: said, source }] as const;
  });
  return { ...card, defaults: Object.fromEntries(defaults) };
}

/** Stage by stage, names aligned over all of them, what is too long on further lines. */
export function describeCards(cards: readonly MethodCard[]): string {
  const left = Math.max(0, ...cards.map(({ name }) => name.length)) + 4;
  return stages
    .flatMap((stage) => {
      const own = cards.filter((card) => card.stage === stage);
      if (own.length === 0) return [];
      const lines = own.map(({ name, line }) => hanging(`  ${name}`.padEnd(left), line));
      return [[`${stageTitles[stage]} (${stage})`, ...lines].join("\n")];
    })
    .join("\n\n");
}

export function describeCard(card: MethodCard): string {
  const { title, name, stage, line, formula, defaults, source, notes = [], use } = card;
  const names = Object.keys(defaults);
  const left = Math.max(0, ...names.map((one) => one.length)) + 4;
  const shown = new Map(names.map((one) => [one, shownValue(defaults[one]!.value)]));
  const short = (text: string) => text.length <= widest;
  const middle = Math.max(0, ...[...shown.values()].filter(short).map((one) => one.length)) + 2;
  const described = (one: string): string => {
    const head = `  ${one}`.padEnd(left);
    const value = shown.get(one)!;
    const from = defaults[one]!.source;
    // A long value has its source below it.
    return short(value)
      ? hanging(head + value.padEnd(middle), from)
      : `${hanging(head, value)}\n${hanging(" ".repeat(left + middle), from)}`;
  };
  return [
    `${title} (${name}, ${stage})`,
    ...wrapped(line, width),
    "",
    ...formula.flatMap((one) => hanging("  ", one).split("\n")),
    "",
    ...(names.length === 0 ? ["No settings."] : ["Defaults", ...names.map(described)]),
    "",
    hanging("Source  ", source),
    ...notes.map((note) => hanging("Note    ", note)),
    hanging("Use     ", use),
    `Page    docs/methods/${name}.md`,
  ].join("\n");
}

function shownValue(value: unknown): string {
  if (typeof value === "number" || value === undefined) return String(value);
  // On one line, with spaces at which it may be broken.
  return JSON.stringify(value, undefined, 1).replace(/\s*\n\s*/g, " ");
}

/** `head`, then the text beside it, its further lines as far in. */
function hanging(head: string, text: string): string {
  const room = Math.max(30, width - head.length);
  return wrapped(text, room)
    .map((line, i) => (i === 0 ? head : " ".repeat(head.length)) + line)
    .join("\n")
    .trimEnd();
}

/** Broken at spaces, none longer than `room` unless a single word is. */
function wrapped(text: string, room: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
