/** @file Weights that nobody changes: read once on this thread, shared by every adapter and frozen policy over a folder. */

import { resolve } from "node:path";
import type { FlatTensors } from "../model/weights.ts";

interface SharedBase {
  readonly weights: FlatTensors;
  users: number;
}

const bases = new Map<string, SharedBase>();

export function hasSharedBase(folder: string): boolean {
  return bases.has(resolve(folder));
}

/** The weights of a folder; `read` is called where nobody holds them yet. The caller holds a share. */
export async function shareBase(folder: string, read: () => Promise<FlatTensors>): Promise<FlatTensors> {
  const path = resolve(folder);
  let base = bases.get(path);
  if (!base) {
    base = { weights: await read(), users: 0 };
    bases.set(path, base);
  }
  base.users += 1;
  return base.weights;
}

/** Gives a share back, or frees weights that were never shared. */
export function releaseWeights(weights: FlatTensors): void {
  for (const [path, base] of bases) {
    if (base.weights !== weights) continue;
    base.users -= 1;
    if (base.users > 0) return;
    bases.delete(path);
    break;
  }
  weights.dispose();
}
