/**
 * @file What sharing prefixes is worth in training: 8 samples of one 512-token prompt with 64-token answers, packed
 * as one trie against packed as eight sequences. Both are ours; the gradients are compared first.
 *   npx jiti bench/prefix-trie.ts [--rounds 7]
 */

import { alternate, load, row, Side } from "./alternate.ts";
import { makeModel } from "./make-model.ts";

const rounds = Number(process.argv[process.argv.indexOf("--rounds") + 1] || 7) || 7;
const sizes = {
  "1 M": { layers: 4, hidden: 128, heads: 4, keyValueHeads: 2, intermediate: 384, vocabulary: 512 },
  "12 M": { layers: 6, hidden: 384, heads: 6, keyValueHeads: 2, intermediate: 1024, vocabulary: 4096 },
};
const [samples, prompt, answer] = [8, 512, 64];

console.log(
  "| model | shared ms (min / median) | unshared ms | ratio: median (range) | |\n|---|---|---|---|---|",
);
for (const [name, size] of Object.entries(sizes)) {
  const { folder } = await makeModel(size);
  const [shared, unshared] = [true, false].map(
    () => new Side("troupe", "npx", ["jiti", "bench/sides/engine.ts"]),
  );
  const width = prompt + answer;
  const tokens = Array.from({ length: samples * width }, (_, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    return (column < prompt ? column * 7919 : column * 104729 + row * 31) % size.vocabulary;
  });
  for (const [side, share] of [
    [shared!, true],
    [unshared!, false],
  ] as const) {
    await side.ask({ do: "open", folder, threads: 2 });
    await side.ask({
      do: "batch",
      rows: samples,
      width,
      tokens,
      gradient: Array(samples * answer).fill(-1 / answer),
      share,
      scoredFrom: prompt,
    });
  }
  const norms = await Promise.all([shared!, unshared!].map((side) => side.ask({ do: "train", norms: true })));
  const [a, b] = norms.map((x) => x.gradient_norms as Record<string, number>);
  for (const [parameter, norm] of Object.entries(b!)) {
    if (Math.abs(a![parameter]! - norm) > 1e-3 * norm)
      throw new Error(`gradient of ${parameter}: ${a![parameter]} shared, ${norm} not`);
  }
  const train = (side: Side) => () => side.milliseconds({ do: "train" });
  console.log(`| ${name} | ${row(await alternate(rounds, train(shared!), train(unshared!)))} | (${load()})`);
  for (const side of [shared!, unshared!]) side.close();
}
process.exit(0);
