import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { recommenderPrompt } from "../../../examples/recommend/prompts.ts";
import { letters, recommendTasks } from "../../../examples/recommend/tasks.ts";
import { type FrozenLocalPolicy, openLocalPolicy } from "../../../src/engine/local/index.ts";

const folder = fileURLToPath(new URL("../../../examples/recommend/assets/recommend-small", import.meta.url));
const tasks = recommendTasks("test", 160, 1).filter(({ need }) => need === "none" || need === "connected");
let policy: FrozenLocalPolicy;

beforeAll(async () => {
  policy = await openLocalPolicy("small", folder, { trainable: false });
});
afterAll(() => policy.close());

/** Share of tasks of one need in which the most probable letter is right, asked without a hint. */
async function accuracy(need: string): Promise<number> {
  const some = tasks.filter((task) => task.need === need);
  const rights = await Promise.all(
    some.map(async (task, i) => {
      const prompt = policy.tokenizer.encode(recommenderPrompt({ ...task, hint: undefined }));
      const sampling = { temperature: 0 };
      const { text } = await policy.sample({ prompt, maxTokens: 1, sampling, key: [1, i] });
      return text === task.answer;
    }),
  );
  return rights.filter(Boolean).length / some.length;
}

it("is small enough for a repository, and reads prompts of at most 300 tokens", () => {
  const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(`${folder}/${name}`).size, 0);
  expect(bytes).toBeLessThan(2e6);
  expect(policy.parameterCount).toBeLessThan(1e6);
  for (const task of tasks)
    expect(policy.tokenizer.encode(recommenderPrompt({ ...task, hint: undefined })).length).toBeLessThan(300);
});

it("has a token for each letter, the one that follows a name in a list", () => {
  for (const letter of letters) {
    const alone = policy.tokenizer.encode(letter, { addSpecial: false });
    expect(alone).toHaveLength(1);
    for (const name of ["Norway", "Saint Martin", "Guinea-Bissau", "Côte d'Ivoire"]) {
      const before = policy.tokenizer.encode(name);
      expect([...policy.tokenizer.encode(`${name}${letter}\n`)].slice(0, -1)).toEqual([...before, ...alone]);
    }
  }
});

it("finds a held-out country that the wish names, and guesses where nothing is named", async () => {
  expect(await accuracy("none")).toBeGreaterThan(0.5);
  expect(await accuracy("connected")).toBeLessThan(0.25);
});
