/** `troupe methods`: the list fits a terminal, one method says all of its card, and a wrong name gets near ones. */

import { describe, expect, test, vi } from "vitest";
import { catalog, findCard, stages } from "../../src/catalog/index.ts";
import { asFacts, describeCard, describeCards } from "../../src/cli/methods-command.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import type { MethodCard } from "../../src/methods/card.ts";

async function troupe(...args: readonly string[]) {
  const written = { output: "", errors: "" };
  const listen = (stream: NodeJS.WriteStream, to: keyof typeof written) =>
    vi.spyOn(stream, "write").mockImplementation((text) => {
      written[to] += String(text);
      return true;
    });
  const spies = [listen(process.stdout, "output"), listen(process.stderr, "errors")];
  process.exitCode = undefined;
  try {
    return { code: await runCommandLine(args), ...written };
  } finally {
    process.exitCode = undefined;
    for (const spy of spies) spy.mockRestore();
  }
}

const card: MethodCard = {
  name: "example",
  title: "Example",
  stage: "loss",
  line: "an example",
  use: 'import { example } from "troupe/methods"',
  formula: ["L = −A ℓ", "∂L/∂ℓ = −A"],
  defaults: {
    gamma: { value: 1, source: "paper" },
    dualClip: { value: Number.POSITIVE_INFINITY, source: "CHOSEN: off" },
    aggregation: { value: { constant: 8 }, source: "official code" },
    weights: { value: { valid: 1, structure: 1, format: 0.5, correct: 1 }, source: "a long one" },
  },
  source: "Nobody (2026)",
  notes: ["UNVERIFIED: everything"],
};

describe("the list", () => {
  test("every method under its stage, within 100 columns", async () => {
    const { output, code } = await troupe("methods");
    expect(code).toBe(0);
    const lines = output.split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
    for (const { name } of catalog)
      expect(lines.filter((line) => line.startsWith(`  ${name} `))).toHaveLength(1);
    const heads = lines.flatMap((line) => /^\S.* \((.+)\)$/.exec(line)?.[1] ?? []);
    expect(heads).toEqual(stages.filter((stage) => catalog.some((one) => one.stage === stage)));
    expect(output).toContain("`troupe methods <name>`");
  });

  test("descriptions begin in one column; long ones go on below", () => {
    const long = { ...card, name: "a-longer-name", line: "word ".repeat(40).trim() };
    const [head, ...lines] = describeCards([card, long]).split("\n");
    expect(head).toBe("Losses (loss)");
    expect(lines[0]).toBe("  example        an example");
    expect(lines[1]).toMatch(/^ {2}a-longer-name {2}word word/);
    expect(lines[2]).toMatch(/^ {17}word/);
    expect(lines.join(" ").match(/word/g)).toHaveLength(40);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
  });

  test("--stage takes one, --json gives the cards", async () => {
    const { output } = await troupe("methods", "--stage", "loss", "--json");
    const cards = JSON.parse(output) as readonly MethodCard[];
    expect(cards.map(({ name }) => name)).toEqual(
      catalog.filter(({ stage }) => stage === "loss").map(({ name }) => name),
    );
    expect(cards.length).toBeGreaterThan(1);
    const all = JSON.parse((await troupe("methods", "--json")).output) as readonly MethodCard[];
    expect(all).toEqual(JSON.parse(JSON.stringify(catalog.map(asFacts))));
    const listed = (await troupe("methods", "--stage", "credit")).output;
    expect(listed).toContain("broadcast");
    expect(listed).not.toContain("f-grpo");
  });
});

describe("one method", () => {
  test("formula, defaults with their source, paper, notes, import", () => {
    expect(describeCard(card).split("\n")).toMatchInlineSnapshot(`
      [
        "Example (example, loss)",
        "an example",
        "",
        "  L = −A ℓ",
        "  ∂L/∂ℓ = −A",
        "",
        "Defaults",
        "  gamma        1                  paper",
        "  dualClip     Infinity           CHOSEN: off",
        "  aggregation  { "constant": 8 }  official code",
        "  weights      { "valid": 1, "structure": 1, "format": 0.5, "correct": 1 }",
        "                                  a long one",
        "",
        "Source  Nobody (2026)",
        "Note    UNVERIFIED: everything",
        "Use     import { example } from "troupe/methods"",
        "Page    docs/methods/example.md",
      ]
    `);
    expect(describeCard({ ...card, defaults: {} })).toContain("\nNo settings.\n");
  });

  test.each(catalog.map(({ name }) => name))("%s says all of its card", async (name) => {
    const one = findCard(name);
    const { output, code } = await troupe("methods", name);
    expect(code).toBe(0);
    const said = output.replace(/\s+/g, " ");
    const all = [one.title, one.line, one.use, one.source, ...one.formula, ...(one.notes ?? [])];
    for (const text of [...all, ...Object.keys(one.defaults)])
      expect(said).toContain(text.replace(/\s+/g, " ").trim());
    expect(output).toContain(`docs/methods/${name}.md`);
    for (const line of output.split("\n")) if (line.length > 100) expect(line.trim()).not.toMatch(/ .* .* /);
  });

  test("by the name that is imported too, and as JSON", async () => {
    expect((await troupe("methods", "fGrpo")).output).toBe((await troupe("methods", "f-grpo")).output);
    const { output } = await troupe("methods", "f-grpo", "--json");
    expect(JSON.parse(output)).toEqual(JSON.parse(JSON.stringify(findCard("f-grpo"))));
  });
});

test("a default of Infinity is not lost in JSON", () => {
  expect(asFacts(card).defaults.dualClip).toEqual({ value: "Infinity", source: "CHOSEN: off" });
  expect(asFacts(card).defaults.aggregation).toEqual(card.defaults.aggregation);
});

describe("wrong use", () => {
  test("an unknown name is told the nearest", async () => {
    const { code, errors } = await troupe("methods", "f-gpro");
    expect(code).toBe(2);
    expect(errors).toContain('There is no method or part called "f-gpro"');
    expect(errors).toContain("`troupe methods f-grpo`");
    const far = await troupe("methods", "qqqqqqqqqqqqqq");
    expect(far.code).toBe(2);
    expect(far.errors).toContain("Try: `troupe methods` lists all.");
    const json = await troupe("methods", "f-gpro", "--json");
    expect(JSON.parse(json.output)).toMatchObject({ code: "E_METHOD_UNKNOWN", facts: { name: "f-gpro" } });
  });

  test("part of a name finds those that have it", async () => {
    expect((await troupe("methods", "focal")).errors).toContain("focal-weight");
  });

  test("an unknown stage, and a name with a stage", async () => {
    const { code, errors } = await troupe("methods", "--stage", "lose");
    expect(code).toBe(2);
    expect(errors).toContain("E_METHOD_STAGE");
    expect(errors).toContain('"sequence weight"');
    const both = await troupe("methods", "f-grpo", "--stage", "loss");
    expect(both.code).toBe(2);
    expect(both.errors).toContain("exclude each other");
  });
});
