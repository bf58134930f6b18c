/**
 * @file A policy that answers with one of a few names: a small network over an embedding of the prompt, on the same kernels,
 * with the same update and the same checkpoints as a language model. What selects an expert, a tool or an agent is trained
 * with the agents.
 *
 * π(a | s) = softmax(W₃ relu(W₂ relu(W₁ e(s))) / τ),  V(s) a network of its own of the same widths.
 *
 * Source: the selector of MixRAGRec (MMAPO): two networks [256, 128] with ReLU, dropout 0.1, zero output layers, 64 numbers
 * of state. CHOSEN: dropout 0 by default, and with it the same units for a text in sampling and in every pass; the state is
 * an embedding of hashed words, where the published code has features made by hand. Biases of hidden layers start at 0.
 */

import type {
  StepOptions,
  StepResult,
  TokenGradients,
  TrainablePolicy,
  TrainingSequence,
} from "../../policy.ts";
import { AdamW, AdamWKernel } from "../model/adamw.ts";
import { parameterTable } from "../model/parameters.ts";
import { FlatTensors } from "../model/weights.ts";
import { openBackend } from "../ort/open.ts";
import { TrainingError } from "../training/errors.ts";
import { checkTokenGradients } from "../training/token-arrays.ts";
import { readChoiceTraining, readChoiceWeights, saveChoiceFolder } from "./choice-folder.ts";
import { type ChoiceParts, rowsAtOnce } from "./choice-parts.ts";
import { choiceRows } from "./choice-rows.ts";
import { type ChoicePolicyOptions, checkChoiceSettings } from "./choice-settings.ts";
import { logitGradients, scoreChoices } from "./distribution.ts";
import { Exploration } from "./exploration.ts";
import { FrozenChoicePolicy } from "./frozen-choice.ts";
import { initialiseNetwork, Network, type NetworkShape, networkShapes } from "./network.ts";
import { ofPolicy, ofValue, openEmbedding, TextStates } from "./text-states.ts";

/** @throws ChoicePolicyError, CheckpointError */
export async function openChoicePolicy(
  name: string,
  options: ChoicePolicyOptions,
  seed: number,
): Promise<ChoicePolicy | FrozenChoicePolicy> {
  const settings = checkChoiceSettings(options);
  const { choices, hidden, dropout, valueHeads } = settings;
  const exploration = new Exploration(choices.length, options.exploration);
  const { embed, width } = await openEmbedding(settings);
  const trainable = options.trainable !== false;
  const own = options.seed ?? seed;
  const policyShape: NetworkShape = { name: "policy", widths: [width, ...hidden, choices.length], dropout };
  const valueShape: NetworkShape = { name: "value", widths: [width, ...hidden, valueHeads], dropout };
  const shapes = valueHeads > 0 ? [policyShape, valueShape] : [policyShape];
  const identity = { choices, features: width, hidden, valueHeads, dropout };
  const table = parameterTable(shapes.flatMap(networkShapes));
  const backend = await openBackend(options.threads === undefined ? {} : { threads: options.threads });
  const made: { dispose(): void }[] = [backend];
  try {
    const weights = new FlatTensors(backend, table);
    for (const shape of shapes) initialiseNetwork(shape, weights, own);
    if (options.from !== undefined) weights.flat.set(await readChoiceWeights(options.from, identity, table));
    const policy = await Network.create(backend, policyShape, trainable);
    made.push(policy);
    const value = valueHeads > 0 ? await Network.create(backend, valueShape, trainable) : null;
    if (value) made.push(value);
    const kernel = trainable ? await AdamWKernel.create(backend) : null;
    const states = new TextStates(embed, policyShape, valueShape, own);
    const parts = { settings, identity, table, weights, policy, value, states, exploration, backend, kernel };
    return trainable ? new ChoicePolicy(name, parts) : new FrozenChoicePolicy(name, parts);
  } catch (error) {
    for (const part of made.toReversed()) part.dispose();
    throw error;
  }
}

export class ChoicePolicy extends FrozenChoicePolicy implements TrainablePolicy {
  /** What backward passes have added since the last step, laid out like the weights. */
  readonly gradients: FlatTensors;
  readonly #optimizer: AdamW;
  #accumulated = false;
  /** A pass has added a part and not yet all; stays true where it failed. */
  #incomplete = false;

  constructor(name: string, parts: ChoiceParts) {
    super(name, parts);
    this.gradients = new FlatTensors(parts.backend, parts.table);
    this.#optimizer = new AdamW(parts.kernel!, parts.weights, this.gradients);
  }

  override get version(): number {
    return this.#optimizer.steps;
  }

  async backward(batch: readonly TrainingSequence[], gradients: TokenGradients): Promise<void> {
    const { policy, value, weights, settings, exploration } = this.parts();
    const { valueHeads, choices } = settings;
    if (gradients.values !== undefined && value === null) throw this.noValueHead();
    const rows = choiceRows(batch, this.tokenizer);
    checkTokenGradients(gradients, rows.length, valueHeads);
    const states = await this.states(rows);
    if (rows.length === 0) return;
    this.#accumulated = true;
    this.#incomplete = true;
    for (let from = 0; from < rows.length; from += rowsAtOnce) {
      const part = states.slice(from, from + rowsAtOnce);
      const logits = policy.forward(weights, part.map(ofPolicy));
      const slopes = new Float32Array(logits.length);
      for (let i = 0; i < part.length; i++) {
        const { place, temperature } = rows[from + i]!;
        if (place < 0) continue;
        const g = gradients.logprobs[from + i]!;
        const h = gradients.entropies?.[from + i] ?? 0;
        const [start, end] = [i * choices.length, (i + 1) * choices.length];
        const scored = scoreChoices(logits.subarray(start, end), temperature);
        logitGradients(scored, place, temperature, g, h, slopes.subarray(start, end));
      }
      policy.backward(weights, part.map(ofPolicy), slopes, this.gradients);
      if (gradients.values === undefined) continue;
      const valueSlopes = gradients.values.slice(from * valueHeads, (from + part.length) * valueHeads);
      value!.backward(weights, part.map(ofValue), valueSlopes, this.gradients);
    }
    for (const { place } of rows) if (place >= 0) exploration.saw(place);
    this.#incomplete = false;
  }

  /** @throws TrainingError E_STEP_WITHOUT_GRADIENT, E_GRADIENT_INCOMPLETE; OptimizerError. */
  async step(options: StepOptions): Promise<StepResult> {
    this.parts();
    if (!this.#accumulated || this.#incomplete)
      throw new TrainingError({
        code: this.#incomplete ? "E_GRADIENT_INCOMPLETE" : "E_STEP_WITHOUT_GRADIENT",
        message: this.#incomplete
          ? `A step of policy "${this.name}" was asked for after a backward pass that failed halfway.`
          : `A step of policy "${this.name}" was asked for, but no gradient has come since the last one.`,
        hint: this.#incomplete ? "call clearGradients and run the batch again." : "call backward first.",
      });
    const { learningRate, betas = [0.9, 0.999], epsilon = 1e-8, weightDecay = 0, maxGradientNorm } = options;
    const result = this.#optimizer.step({
      ...{ learningRate, betas, epsilon, weightDecay },
      ...(maxGradientNorm === undefined ? {} : { maxGradientNorm }),
    });
    this.parts().exploration.stepped();
    this.#clear();
    return { ...result, version: this.version };
  }

  async clearGradients(): Promise<void> {
    this.parts().exploration.dropped();
    this.#clear();
  }

  async save(folder: string, { optimizer = false }: { readonly optimizer?: boolean } = {}): Promise<void> {
    const { identity, weights, table, exploration } = this.parts();
    const { first, second, steps } = this.#optimizer;
    const training = {
      optimizer: { table, first, second },
      progress: { step: steps, counts: exploration.counts },
    };
    await saveChoiceFolder(folder, identity, weights, optimizer ? training : undefined);
  }

  /** Restores what `save` wrote with `optimizer`; where it cannot, this policy is as it was. */
  async restore(folder: string): Promise<void> {
    const { identity, weights, table, exploration, settings } = this.parts();
    const saved = await readChoiceWeights(folder, identity, table);
    const { optimizer, progress } = await readChoiceTraining(folder, table, settings.choices.length);
    weights.flat.set(saved);
    this.#optimizer.first.set(optimizer.first);
    this.#optimizer.second.set(optimizer.second);
    this.#optimizer.steps = progress.step;
    exploration.counts = progress.counts;
    this.#clear();
  }

  override async close(): Promise<void> {
    this.parts();
    this.#optimizer.dispose();
    this.gradients.dispose();
    await super.close();
  }

  #clear(): void {
    this.gradients.flat.fill(0);
    this.#accumulated = false;
    this.#incomplete = false;
  }
}
