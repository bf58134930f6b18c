/**
 * @file The research run in three processes that share nothing but a folder: `npx jiti examples/research/apart.ts [store]`
 * starts a controller that samples, and a trainer each for "main" and "sub". Kill any of them and start the script again:
 * the run goes on where it was. On several machines, start each with its role and a store on a shared disk:
 * `npx jiti examples/research/apart.ts /shared/run-7 sub`.
 */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { collectApart, trainApart } from "troupe";
import { researchRecipe } from "./recipe.ts";
import { researchTasks } from "./tasks.ts";

const [store = "runs/research-apart-store", role, steps = "40"] = process.argv.slice(2);
const config = {
  ...researchRecipe("m-grpo", {
    run: "research-apart",
    steps: Number(steps),
    // A short run is for seeing that it works, and shows little else.
    ...(Number(steps) < 40 ? { evaluate: researchTasks("test", 24, 1) } : {}),
  }),
  store,
};

if (role === "controller") await collectApart(config);
else if (role === "main" || role === "sub") await trainApart({ ...config, policy: role });
else {
  const jiti = import.meta.resolve("jiti/register");
  const codes = await Promise.all(
    ["controller", "main", "sub"].map(
      (name) =>
        new Promise<number>((resolve, reject) => {
          const args = ["--import", jiti, fileURLToPath(import.meta.url), store, name, steps];
          const child = spawn(process.execPath, args, { stdio: "inherit" });
          child.on("error", reject);
          child.on("close", (code) => resolve(code ?? 1));
        }),
    ),
  );
  process.exitCode = Math.max(...codes);
}
