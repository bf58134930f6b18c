/**
 * @file Fresh weights. Each tensor has a random stream of its own, named by the seed and the tensor, so that its
 * values depend on nothing else.
 */

import { philox } from "../../../random/philox.ts";
import { key } from "../../../random/stream.ts";
import type { Parameter } from "./parameters.ts";
import type { FlatTensors } from "./weights.ts";

/**
 * A new model: norms 1, biases 0, everything else normal with standard deviation 0.02 (Radford et al., 2019: GPT-2).
 * Value heads start at zero, so that the first values are 0 and not noise.
 */
export function initialiseModel(weights: FlatTensors, seed: number, deviation = 0.02): void {
  for (const parameter of weights.table.parameters) {
    const view = weights.view(parameter.name);
    if (parameter.name.endsWith("norm.weight")) view.fill(1);
    else if (parameter.name.endsWith(".bias") || parameter.name.startsWith("value_head.")) view.fill(0);
    else fillNormal(view, seed, parameter.name, deviation);
  }
}

/**
 * A new adapter (Hu et al., 2021), as PEFT does it: B is zero, so that the adapter begins as the identity; A is
 * uniform in ±1/√in (Kaiming with a = √5).
 */
export function initialiseAdapter(adapter: FlatTensors, seed: number): void {
  for (const parameter of adapter.table.parameters) {
    const view = adapter.view(parameter.name);
    if (parameter.name.endsWith(".lora_A.weight")) fillUniform(view, seed, parameter);
    else view.fill(0);
  }
}

function fillNormal(view: Float32Array, seed: number, name: string, deviation: number): void {
  eachBlock(view.length, seed, name, (i, bits) => {
    for (let pair = 0; pair < 4; pair += 2) {
      // Box-Muller; the half keeps the logarithm finite.
      const radius = deviation * Math.sqrt(-2 * Math.log((bits[pair]! + 0.5) * toUnit));
      const angle = 2 * Math.PI * bits[pair + 1]! * toUnit;
      if (i + pair < view.length) view[i + pair] = radius * Math.cos(angle);
      if (i + pair + 1 < view.length) view[i + pair + 1] = radius * Math.sin(angle);
    }
  });
}

function fillUniform(view: Float32Array, seed: number, { name, shape }: Parameter): void {
  const bound = 1 / Math.sqrt(shape[1]!);
  eachBlock(view.length, seed, name, (i, bits) => {
    for (let j = 0; j < 4 && i + j < view.length; j++) view[i + j] = (2 * bits[j]! * toUnit - 1) * bound;
  });
}

const toUnit = 1 / 0x1_0000_0000;

/** Four 32-bit draws for every four elements. */
function eachBlock(
  length: number,
  seed: number,
  name: string,
  fill: (i: number, bits: Uint32Array) => void,
): void {
  const [k0, k1] = key(seed, "initialise", name);
  const bits = new Uint32Array(4);
  for (let i = 0; i < length; i += 4) fill(i, philox(i / 4, 0, 0, 0, k0, k1, bits));
}
