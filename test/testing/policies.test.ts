import { expect, test } from "vitest";
import { key } from "../../src/random/stream.ts";
import { scriptedPolicy } from "../../src/testing/scripted-policy.ts";
import { tabularPolicy } from "../../src/testing/tabular-policy.ts";

const open = () => tabularPolicy({ words: ["a", "b", "c"] }).open({ name: "p", seed: 0 });

/** Random logits, by way of the public interface: a few updates with noise for gradients. */
async function trained() {
  const policy = await open();
  const tokens = Int32Array.of(2, 3, 4, 2, 3, 0);
  const batch = [{ tokens, mask: Uint8Array.of(0, 1, 1, 1, 1, 1), temperature: 0.8 }];
  for (let i = 0; i < 5; i++) {
    await policy.backward(batch, {
      logprobs: Float32Array.of(1, -0.5, 0.3, -0.8, 0.2).map((g) => g * Math.cos(i)),
    });
    await policy.step({ learningRate: 0.3 });
  }
  return { policy, batch };
}

test("log-probs of sampling equal those of training", async () => {
  const { policy } = await trained();
  const prompt = Int32Array.of(2, 3);
  const { tokens, logprobs } = await policy.sample({
    prompt,
    maxTokens: 8,
    key: key(1),
    sampling: { temperature: 0.8 },
  });
  const all = Int32Array.of(...prompt, ...tokens);
  const mask = Uint8Array.from(all, (_, i) => (i < 2 ? 0 : 1));
  const forward = await policy.forward([{ tokens: all, mask, temperature: 0.8 }]);
  tokens.forEach((_, i) => {
    expect(forward.logprobs[i]).toBeCloseTo(logprobs[i]!, 6);
  });
});

test("the gradient of log-probs and entropies equals finite differences", async () => {
  const g = Float32Array.of(0.7, -0.2, 0.4, 0.1, -0.6);
  const h = Float32Array.of(-0.4, 0.3, 0.2, -0.1, 0.5);
  const scalar = async ({ policy, batch }: Awaited<ReturnType<typeof trained>>) => {
    const { logprobs, entropies } = await policy.forward(batch, { entropy: true });
    let sum = 0;
    for (let i = 0; i < 5; i++) sum += g[i]! * logprobs[i]! + h[i]! * entropies![i]!;
    return sum;
  };
  // Plain gradient descent by the smallest of steps: the change of the scalar is −rate · ‖∇‖².
  const before = await trained();
  const start = await scalar(before);
  await before.policy.backward(before.batch, { logprobs: g, entropies: h });
  const rate = 1e-3;
  // With β = 0 and a huge ε AdamW is gradient descent with rate ÷ ε.
  const { gradientNorm } = await before.policy.step({
    learningRate: rate * 1e6,
    epsilon: 1e6,
    betas: [0, 0],
  });
  expect((start - (await scalar(before))) / rate).toBeCloseTo(gradientNorm ** 2, 2);
});

test("a NaN gradient is refused and leaves the weights as they were", async () => {
  const { policy, batch } = await trained();
  const before = await policy.forward(batch);
  await policy.backward(batch, { logprobs: Float32Array.of(Number.NaN, 0, 0, 0, 0) });
  await expect(policy.step({ learningRate: 1 })).rejects.toMatchObject({ code: "E_GRADIENT_NOT_FINITE" });
  expect(await policy.forward(batch)).toEqual(before);
});

test("settings that a table does not know are refused", async () => {
  const policy = await open();
  const request = { prompt: Int32Array.of(2), maxTokens: 1, key: key(0), sampling: { topK: 2 } };
  await expect(policy.sample(request)).rejects.toThrow(/topK/);
});

test("a scripted policy answers, stops at stop strings, and keeps any text exactly", async () => {
  const policy = await scriptedPolicy({ answer: (prompt) => `${prompt}🙂 é\nstop here` }).open({
    name: "s",
    seed: 0,
  });
  const prompt = policy.tokenizer.encode("naïve ");
  const all = await policy.sample({ prompt, maxTokens: 100, key: key(0) });
  expect(all).toMatchObject({ text: "naïve 🙂 é\nstop here", stopReason: "end" });
  expect(policy.tokenizer.decode(all.tokens)).toBe(all.text);
  expect(await policy.sample({ prompt, maxTokens: 100, key: key(0), stop: ["\n"] })).toMatchObject({
    text: "naïve 🙂 é",
    stopReason: "stop",
  });
  expect(await policy.sample({ prompt, maxTokens: 3, key: key(0) })).toMatchObject({
    text: "naï",
    stopReason: "length",
  });
});
