/**
 * @file One whole GRPO step, 4 prompts × 8 samples, 44-token prompts, 64 new tokens: our trainer against TRL's
 * GRPOTrainer on the CPU, same weights, prompts and lengths, interleaved step by step.
 *   npm run build && TROUPE_PEERS_PYTHON=… npx jiti bench/grpo-step.ts [0.1|5|24 …] [--rounds 7]
 */

import { alternate, load, peerPython, row, Side } from "./alternate.ts";
import { makeModel } from "./make-model.ts";

const sizes = {
  "0.1": { layers: 2, hidden: 64, heads: 4, keyValueHeads: 2, intermediate: 128, vocabulary: 320 },
  "5": { layers: 6, hidden: 256, heads: 8, keyValueHeads: 4, intermediate: 704, vocabulary: 1024 },
  "24": { layers: 8, hidden: 512, heads: 8, keyValueHeads: 4, intermediate: 1408, vocabulary: 2048 },
} as const;
const rounds = Number(process.argv[process.argv.indexOf("--rounds") + 1] || 7) || 7;
const wanted = process.argv
  .slice(2)
  .filter((x, i, all): x is keyof typeof sizes => x in sizes && all[i - 1] !== "--rounds");
const [promptTokens, samples, completion, threads] = [44, 8, 64, 2];
const texts = Array.from({ length: 4 }, (_, i) =>
  `${"abcdefgh"[i]} prompt of forty-four characters, exactly!!`
    .padEnd(promptTokens, "!")
    .slice(0, promptTokens),
);
const python = peerPython();

console.log(
  "| parameters | ours ms a step (min / median) | TRL ms a step | ratio: median (range) | |\n|---|---|---|---|---|",
);
for (const name of wanted.length > 0 ? wanted : (["0.1", "5", "24"] as const)) {
  const { folder, parameters } = await makeModel(sizes[name]);
  const ours = new Side("troupe", "npx", ["jiti", "bench/sides/grpo.ts"]);
  const theirs = new Side("trl", python, ["bench/peers/trl_grpo.py"]);
  const open = { do: "open", folder, texts, prompts: texts.length, samples, completion, threads };
  await ours.ask(open);
  const versions = await theirs.ask(open);
  if (!(versions.prompt_tokens as number[]).every((n) => n === promptTokens))
    throw new Error(`TRL sees prompts of ${versions.prompt_tokens} tokens`);
  const step = (side: Side) => () => side.milliseconds({ do: "step" });
  await step(ours)();
  await step(theirs)();
  console.log(
    `| ${(parameters / 1e6).toFixed(2)} M | ${row(await alternate(rounds, step(ours), step(theirs)))} | (TRL ${versions.trl}, torch ${versions.torch}, ${load()})`,
  );
  ours.close();
  theirs.close();
}
process.exit(0);
