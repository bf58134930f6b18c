import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { local } from "../../../../src/engine/local/index.ts";
import { trainBpe, writeTokenizer } from "../../../../src/engine/local/tokenizer/train-bpe.ts";
import { type LocalPolicy, openLocalPolicy } from "../../../../src/engine/local/worker/local-policy.ts";
import type { TrainingSequence } from "../../../../src/engine/policy.ts";
import { key } from "../../../../src/random/stream.ts";

let folder: string;
let scratch: string;
let policy: LocalPolicy;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "troupe-"));
  // A tiny checkpoint made by transformers, with a tokenizer that fits its vocabulary.
  folder = join(scratch, "model");
  await cp("test/fixtures/models/qwen3", folder, { recursive: true });
  await writeTokenizer(
    folder,
    trainBpe(["the cat sat on the mat, the cat"], { vocabularySize: 259, specialTokens: ["<|end|>"] }),
  );
  policy = await openLocalPolicy("small", folder);
});

afterAll(async () => {
  await policy.close();
  await rm(scratch, { recursive: true });
});

const prompt = Int32Array.of(5, 17, 33, 8);

/** What was sampled, as training data. */
async function sampled(
  from: LocalPolicy,
  count: number,
  temperature = 1,
): Promise<{ batch: TrainingSequence[]; logprobs: number[] }> {
  const batch: TrainingSequence[] = [];
  const logprobs: number[] = [];
  const results = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      from.sample({ prompt, maxTokens: 12, key: key("sample", i), sampling: { temperature } }),
    ),
  );
  for (const result of results) {
    const tokens = Int32Array.of(...prompt, ...result.tokens);
    batch.push({ tokens, mask: Uint8Array.from(tokens, (_, i) => Number(i >= prompt.length)), temperature });
    logprobs.push(...result.logprobs);
  }
  return { batch, logprobs };
}

const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!)));

describe("a local policy", () => {
  it.each([1, 0.7])(
    "samples with the log-probs that training sees, at temperature %f",
    async (temperature) => {
      const { batch, logprobs } = await sampled(policy, 16, temperature);
      const { logprobs: trained } = await policy.forward(batch);
      expect(trained.length).toBe(logprobs.length);
      expect(largestDifference(trained, logprobs)).toBeLessThan(1e-4);
    },
  );

  it("gives the same tokens alone and in a batch", async () => {
    const { batch } = await sampled(policy, 16);
    const alone = await policy.sample({ prompt, maxTokens: 12, key: key("sample", 7) });
    expect([...prompt, ...alone.tokens]).toEqual([...batch[7]!.tokens]);
  });

  it("learns what it is rewarded for, and counts versions", async () => {
    const learner = await openLocalPolicy("learner", folder);
    const { batch } = await sampled(learner, 8);
    const before = await learner.forward(batch, { retain: true });
    await learner.backward(batch, { logprobs: new Float32Array(before.logprobs.length).fill(-1) });
    const step = await learner.step({ learningRate: 1e-3, maxGradientNorm: 1 });
    expect(step.version).toBe(1);
    expect(learner.version).toBe(1);
    expect(step.clipped).toBe(true);
    const after = await learner.forward(batch);
    const mean = (values: Float32Array) => values.reduce((a, b) => a + b, 0) / values.length;
    expect(mean(after.logprobs)).toBeGreaterThan(mean(before.logprobs) + 0.05);
    // The other policy over the same folder has weights of its own.
    expect(largestDifference((await policy.forward(batch)).logprobs, before.logprobs)).toBeLessThan(1e-6);
    const { version } = await learner.sample({ prompt, maxTokens: 1, key: key(0) });
    expect(version).toBe(1);
    await learner.close();
  });

  it("continues bit-equal from what it saved", async () => {
    const saved = join(scratch, "saved");
    const one = await openLocalPolicy("one", folder);
    const { batch } = await sampled(one, 8);
    const g = { logprobs: new Float32Array((await one.forward(batch)).logprobs.length).fill(-0.1) };
    const train = async (p: LocalPolicy) => {
      await p.backward(batch, g);
      await p.step({ learningRate: 1e-3, weightDecay: 0.1 });
    };
    await train(one);
    await one.save(saved, { optimizer: true });
    await train(one);
    const two = await openLocalPolicy("two", saved);
    await two.restore(saved);
    expect(two.version).toBe(1);
    await train(two);
    await one.save(join(scratch, "a"));
    await two.save(join(scratch, "b"));
    const bytes = (name: string) => readFile(join(scratch, name, "model.safetensors"));
    expect((await bytes("a")).equals(await bytes("b"))).toBe(true);
    await one.close();
    await two.close();
  });

  it("trains two adapters over one base, and saves them for PEFT", async () => {
    const lora = { rank: 4, alpha: 8, targets: ["q_proj", "v_proj", "down_proj"] as const };
    const [a, b] = await Promise.all([
      local(folder, { lora, valueHead: true }).open({ name: "a", seed: 1 }),
      local(folder, { lora }).open({ name: "b", seed: 2 }),
    ]);
    const { batch } = await sampled(a, 8);
    const base = await policy.forward(batch);
    const before = await a.forward(batch, { values: true, entropy: true });
    // B starts at zero, so a fresh adapter is the base model; a fresh value head says 0.
    expect(largestDifference(before.logprobs, base.logprobs)).toBeLessThan(1e-5);
    expect(Math.max(...before.values!.map(Math.abs))).toBe(0);
    expect(Math.min(...before.entropies!)).toBeGreaterThan(0);
    const ones = new Float32Array(before.logprobs.length).fill(-1);
    await a.backward(batch, { logprobs: ones, values: ones });
    await a.step({ learningRate: 1e-2 });
    const after = await a.forward(batch, { values: true });
    expect(after.logprobs.reduce((x, y) => x + y)).toBeGreaterThan(before.logprobs.reduce((x, y) => x + y));
    expect(Math.max(...after.values!.map(Math.abs))).toBeGreaterThan(0);
    expect(largestDifference((await b.forward(batch)).logprobs, base.logprobs)).toBeLessThan(1e-5);
    await a.save(join(scratch, "adapter"), { optimizer: true });
    const again = await openLocalPolicy("again", folder, {
      adapter: join(scratch, "adapter"),
      valueHead: true,
    });
    await again.restore(join(scratch, "adapter"));
    expect([...(await again.forward(batch, { values: true })).values!]).toEqual([...after.values!]);
    await Promise.all([a.close(), b.close(), again.close()]);
  });

  it("keeps the event loop free while it trains", async () => {
    const { batch } = await sampled(policy, 64);
    let longest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    const started = performance.now();
    for (let i = 0; i < 20; i++) await policy.forward(batch);
    const spent = performance.now() - started;
    clearInterval(timer);
    expect(longest).toBeLessThan(Math.max(50, spent / 3));
  });

  it("streams tokens in order and stops at a signal", async () => {
    const seen: number[] = [];
    const result = await policy.sample({
      prompt,
      maxTokens: 8,
      key: key(3),
      onToken: ({ token }) => seen.push(token),
    });
    expect(seen).toEqual([...result.tokens]);
    const controller = new AbortController();
    const cancelled = policy.sample({
      prompt,
      maxTokens: 100,
      key: key(4),
      signal: controller.signal,
      onToken: () => controller.abort(new Error("enough")),
    });
    await expect(cancelled).rejects.toThrow("enough");
    await expect(policy.sample({ prompt, maxTokens: 1, key: key(5) })).resolves.toBeDefined();
  });
});

describe("what the local engine refuses", () => {
  it("a step while samples are in flight", async () => {
    const { batch } = await sampled(policy, 2);
    const { logprobs } = await policy.forward(batch);
    await policy.backward(batch, { logprobs: new Float32Array(logprobs.length).fill(0.1) });
    const sampling = policy.sample({ prompt, maxTokens: 100, key: key(6) });
    await expect(policy.step({ learningRate: 0 })).rejects.toMatchObject({ code: "E_STEP_WHILE_SAMPLING" });
    await sampling;
    await policy.clearGradients();
  });

  it("any call after close, and a second close, with the policy's name", async () => {
    const closed = await openLocalPolicy("gone", folder, { trainable: false });
    await closed.close();
    const refusal = { code: "E_POLICY_CLOSED", message: expect.stringContaining('"gone"') };
    await expect(closed.sample({ prompt, maxTokens: 1, key: key(0) })).rejects.toMatchObject(refusal);
    await expect(closed.close()).rejects.toMatchObject(refusal);
  });

  it("a prompt longer than the context, and an empty one, with the numbers", async () => {
    const long = policy.sample({ prompt: new Int32Array(100_000).fill(5), maxTokens: 4, key: key(0) });
    await expect(long).rejects.toThrow(/100,?000/);
    await expect(
      policy.sample({ prompt: new Int32Array(0), maxTokens: 4, key: key(0) }),
    ).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) });
  });

  it("a gradient that is not a number, and leaves the weights as they were", async () => {
    const { batch } = await sampled(policy, 2);
    const before = await policy.forward(batch);
    const logprobs = new Float32Array(before.logprobs.length).fill(Number.NaN);
    await expect(
      policy.backward(batch, { logprobs }).then(() => policy.step({ learningRate: 1 })),
    ).rejects.toMatchObject({ code: expect.stringMatching(/^E_/) });
    await policy.clearGradients();
    expect([...(await policy.forward(batch)).logprobs]).toEqual([...before.logprobs]);
  });

  it("a folder without a tokenizer, by name", async () => {
    await expect(openLocalPolicy("x", scratch)).rejects.toThrow(scratch);
  });

  it("a tokenizer with more ids than the model has rows", async () => {
    const other = join(scratch, "other");
    await cp("test/fixtures/models/qwen3", other, { recursive: true });
    const words = [
      "mountain",
      "river",
      "capital",
      "currency",
      "neighbour",
      "language",
      "population",
      "government",
      "highest",
      "border",
      "square",
      "kilometre",
      "question",
      "answer",
    ];
    const texts = words.flatMap((word) => words.map((next) => `${word} ${next}`));
    await writeTokenizer(other, trainBpe(texts, { vocabularySize: 322 }));
    await expect(openLocalPolicy("x", other)).rejects.toMatchObject({ code: "E_VOCABULARY_MISMATCH" });
  });
});
