/**
 * @file Decoding with sampling at several batch sizes, ours (the whole sampler: slots, random streams, log-probs,
 * text) against a tight PyTorch loop with a preallocated cache and `torch.multinomial`.
 *   TROUPE_PEERS_PYTHON=… npx jiti bench/decoding.ts [a|b|c …] [--rounds 7]
 */

import { alternate, load, median, peerPython, row, Side } from "./alternate.ts";
import { makeModel } from "./make-model.ts";

const threads = 2;
const sizes = {
  a: {
    layers: 4,
    hidden: 128,
    heads: 4,
    keyValueHeads: 2,
    intermediate: 384,
    vocabulary: 512,
    position: 64,
    context: 256,
  },
  b: {
    layers: 6,
    hidden: 384,
    heads: 6,
    keyValueHeads: 2,
    intermediate: 1024,
    vocabulary: 4096,
    position: 128,
    context: 384,
  },
  c: {
    layers: 12,
    hidden: 768,
    heads: 12,
    keyValueHeads: 4,
    intermediate: 2048,
    vocabulary: 32768,
    position: 64,
    context: 256,
  },
} as const;
const batches = [1, 16, 64, 256];
const rounds = Number(process.argv[process.argv.indexOf("--rounds") + 1] || 7) || 7;
const wanted = process.argv
  .slice(2)
  .filter((x, i, all): x is keyof typeof sizes => x in sizes && all[i - 1] !== "--rounds");
const python = peerPython();

console.log(
  "| size, batch | ours ms a step (min / median) | torch ms a step | ratio: median (range) | our tokens/s | |\n|---|---|---|---|---|---|",
);
for (const name of wanted.length > 0 ? wanted : (["a", "b", "c"] as const)) {
  const size = sizes[name];
  const { folder } = await makeModel(size);
  for (const batch of batches) {
    const ours = new Side("troupe", "npx", ["jiti", "bench/sides/engine.ts"]);
    const theirs = new Side("torch", python, ["bench/peers/torch_decoder.py"]);
    // Few enough steps that all rounds stay within the context.
    const steps = Math.max(2, Math.floor((size.context - size.position - 4) / (rounds + 2)));
    for (const side of [ours, theirs]) {
      await side.ask({ do: "open", folder, threads });
      await side.ask({ do: "cache", folder, batch, position: size.position, length: size.context });
    }
    // Both caches fill as they decode, by the same number of tokens a round.
    let position: number = size.position;
    const decode = (side: Side) => async () =>
      (await side.milliseconds({ do: "decode", batch, position, steps })) / steps;
    const result = await alternate(rounds, decode(ours), async () => {
      const ms = await decode(theirs)();
      position += steps;
      return ms;
    });
    console.log(
      `| ${name}, ${batch} | ${row(result)} | ${Math.round((1000 * batch) / median(result.ours))} | (${load()})`,
    );
    ours.close();
    theirs.close();
  }
}
process.exit(0);
