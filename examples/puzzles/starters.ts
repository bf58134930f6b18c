/** @file The starters, by name: different in size and tokenizer (see pretrain.ts). */

import { fileURLToPath } from "node:url";
import { local } from "troupe/local";

const folder = (name: string) =>
  `${process.env.PUZZLES_MODELS ?? fileURLToPath(new URL("assets", import.meta.url))}/puzzles-${name}`;

export const starter = (name: "small" | "large" | "third") => local(folder(name));
