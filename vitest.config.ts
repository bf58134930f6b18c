import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^troupe$/, replacement: source("index.ts") },
      { find: /^troupe\/(local|remote)$/, replacement: `${source("engine")}/$1/index.ts` },
      {
        find: /^troupe\/(engine|methods|rewards|search|testing|tools)$/,
        replacement: `${source("")}$1/index.ts`,
      },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    // Native sessions share two cores: one file at a time per core keeps them from fighting for threads.
    maxWorkers: 2,
    pool: "forks",
    testTimeout: 60_000,
  },
});
