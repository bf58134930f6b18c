/**
 * @file Forward and backward of one batch, ours against PyTorch's on the CPU: same weights, tokens, gradient, threads.
 *   TROUPE_PEERS_PYTHON=… npx jiti bench/training.ts [a|b|c …] [--rounds 7]
 * Before timing, log-prob sums and the norm of every gradient are compared.
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
    rows: 64,
    width: 64,
  },
  b: {
    layers: 6,
    hidden: 384,
    heads: 6,
    keyValueHeads: 2,
    intermediate: 1024,
    vocabulary: 4096,
    rows: 32,
    width: 256,
  },
  c: {
    layers: 12,
    hidden: 768,
    heads: 12,
    keyValueHeads: 4,
    intermediate: 2048,
    vocabulary: 32768,
    rows: 4,
    width: 256,
  },
} as const;

const rounds = Number(process.argv[process.argv.indexOf("--rounds") + 1] || 7) || 7;
const wanted = process.argv
  .slice(2)
  .filter((x, i, all): x is keyof typeof sizes => x in sizes && all[i - 1] !== "--rounds");
const python = peerPython();

console.log(
  `| size | parameters | ours ms (min / median) | torch ms | ratio: median (range) | % of GEMM peak | peak MB ours / torch |\n|---|---|---|---|---|---|---|`,
);
for (const name of wanted.length > 0 ? wanted : (["a", "b", "c"] as const)) {
  const size = sizes[name];
  const { rows, width } = size;
  const { folder, parameters } = await makeModel(size);
  const ours = new Side("troupe", "npx", ["jiti", "bench/sides/engine.ts"]);
  const theirs = new Side("torch", python, ["bench/peers/torch_decoder.py"]);
  const tokens = Array.from(
    { length: rows * width },
    (_, i) => (i * 7919 + (i >> 3) * 104729) % size.vocabulary,
  );
  const gradient = Array.from(
    { length: rows * (width - 1) },
    (_, i) => (((i * 37) % 11) - 5) / (rows * width),
  );
  for (const side of [ours, theirs]) {
    await side.ask({ do: "open", folder, threads });
    await side.ask({ do: "batch", rows, width, tokens, gradient });
  }
  const [a, b] = [
    await ours.ask({ do: "train", norms: true }),
    await theirs.ask({ do: "train", norms: true }),
  ];
  check(a, b);
  const product = { do: "matmul", n: 1024, repeat: 8 };
  const peaks: number[] = [];
  const train = (side: Side) => () => side.milliseconds({ do: "train" });
  const result = await alternate(
    rounds,
    async () => {
      peaks.push((2 * 1024 ** 3 * product.repeat) / 1e6 / (await ours.milliseconds(product)));
      return train(ours)();
    },
    train(theirs),
  );
  const flops = trainingFlops(size);
  const achieved = result.ours.map((ms, i) => flops / 1e6 / ms / peaks[i + 1]!);
  const memory = [await ours.ask({ do: "train" }), await theirs.ask({ do: "train" })].map((x) =>
    (x.peak_mb as number).toFixed(0),
  );
  console.log(
    `| ${name} | ${(parameters / 1e6).toFixed(1)} M | ${row(result)} | ${(100 * median(achieved)).toFixed(0)} % of ${median(peaks).toFixed(0)} GF/s | ${memory.join(" / ")} | (${load()})`,
  );
  ours.close();
  theirs.close();
}
process.exit(0);

/** Multiply-adds of matrix products, ×2 for flops, ×3 for forward and backward; attention counted causally, half. */
function trainingFlops({
  layers,
  hidden,
  heads,
  keyValueHeads,
  intermediate,
  vocabulary,
  rows,
  width,
}: (typeof sizes)["a" | "b" | "c"]): number {
  const headSize = hidden / heads;
  const linear = hidden * (2 * heads * headSize + 2 * keyValueHeads * headSize + 3 * intermediate);
  const attention = heads * headSize * width;
  return 6 * rows * width * (layers * (linear + attention) + hidden * vocabulary);
}

function check(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): void {
  const differ = (x: number, y: number) => Math.abs(x - y) > 1e-3 * Math.max(1e-6, Math.abs(y));
  if (differ(a.logprob_sum as number, b.logprob_sum as number))
    throw new Error(`log-probs differ: ${a.logprob_sum} ${b.logprob_sum}`);
  const [ours, theirs] = [a.gradient_norms, b.gradient_norms] as Record<string, number>[];
  for (const [name, norm] of Object.entries(theirs!)) {
    if (differ(ours![name]!, norm)) throw new Error(`gradient of ${name} differs: ${ours![name]} ${norm}`);
  }
}
