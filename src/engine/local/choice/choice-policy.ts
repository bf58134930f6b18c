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

import { uniformAt } from "../../../random/stream.ts";
import type {
  ForwardOptions,
  ForwardResult,
  SampleRequest,
  SampleResult,
  ScoringPolicy,
  StepOptions,
  StepResult,
  TokenGradients,
  TrainablePolicy,
  TrainingSequence,
} from "../../policy.ts";
import { AdamW, AdamWKernel } from "../model/adamw.ts";
import { type ParameterTable, parameterTable } from "../model/parameters.ts";
import { FlatTensors } from "../model/weights.ts";
import type { OrtBackend } from "../ort/backend.ts";
import { openBackend } from "../ort/open.ts";
import { NoTokenAllowedError } from "../sampling/errors.ts";
import { ConstraintWalk, checkRequest } from "../sampling/request.ts";
import { compileRules } from "../sampling/token-rules.ts";
import { TrainingError } from "../training/errors.ts";
import { checkTokenGradients } from "../training/token-arrays.ts";
import { EngineError } from "../worker/errors.ts";
import {
  type ChoiceIdentity,
  readChoiceTraining,
  readChoiceWeights,
  saveChoiceFolder,
} from "./choice-folder.ts";
import { choiceRows } from "./choice-rows.ts";
import { type ChoicePolicyOptions, type ChoiceSettings, checkChoiceSettings } from "./choice-settings.ts";
import { ChoiceTokenizer } from "./choice-tokenizer.ts";
import { drawPlace, logitGradients, sampledDistribution, scoreChoices } from "./distribution.ts";
import { Exploration } from "./exploration.ts";
import { initialiseNetwork, Network, type NetworkShape, networkShapes } from "./network.ts";
import { openEmbedding, type TextState, TextStates } from "./text-states.ts";

/** CHOSEN: rows of one run of the networks; a thousand of them are a few megabytes of activations. */
const rowsAtOnce = 512;

/** Everything that is made when a choice policy is opened. */
interface Parts {
  readonly settings: ChoiceSettings;
  readonly identity: ChoiceIdentity;
  readonly table: ParameterTable;
  readonly weights: FlatTensors;
  readonly policy: Network;
  readonly value: Network | null;
  readonly states: TextStates;
  readonly exploration: Exploration;
  readonly backend: OrtBackend;
  /** Null where it does not train. */
  readonly kernel: AdamWKernel | null;
}

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

/** Answers and scores. */
export class FrozenChoicePolicy implements ScoringPolicy {
  readonly name: string;
  readonly tokenizer: ChoiceTokenizer;
  readonly contextLength: number;
  readonly #parts: Parts;
  #closed = false;

  constructor(name: string, parts: Parts) {
    this.name = name;
    this.tokenizer = new ChoiceTokenizer(parts.settings.choices);
    this.contextLength = parts.settings.contextLength;
    this.#parts = parts;
  }

  get version(): number {
    return 0;
  }

  /** Those of both networks, live: names begin with "policy." and "value.". */
  get weights(): FlatTensors {
    return this.parts().weights;
  }

  /** Elements of both networks. */
  get parameterCount(): number {
    return this.#parts.table.count;
  }

  /**
   * One choice. A request is computed alone, so that what else is asked cannot change a bit of it.
   * @throws InvalidSampleRequestError, ContextOverflowError, NoTokenAllowedError, NonFiniteLogitsError
   */
  async sample(request: SampleRequest): Promise<SampleResult> {
    const { tokenizer, contextLength } = this;
    const { vocabularySize } = tokenizer;
    const { prompt, sampling = {}, key, onToken } = request;
    request.signal?.throwIfAborted();
    checkRequest(request, { vocabularySize, contextLength });
    // Biases by place; those of bytes can have no effect, and ids that do not exist are refused all the same.
    compileRules(sampling, vocabularySize);
    const rules = compileRules({ ...sampling, logitBias: this.#biases(sampling.logitBias) }, vocabularySize);
    const allowed = this.#allowed(request);
    if (allowed.length === 0) return this.#nothing();
    const state = await this.parts().states.of(tokenizer.decode(prompt));
    request.signal?.throwIfAborted();
    const { policy, weights, exploration } = this.parts();
    const { features } = state;
    const explores = !rules.greedy && exploration.active;
    // Greedy answers are those of the whole network.
    const logits = policy.forward(weights, [rules.greedy ? { features } : { features, kept: state.policy }]);
    const { bonus } = exploration;
    const seen = [...new Set(prompt)].map((token) => tokenizer.placeOf(token)).filter((place) => place >= 0);
    const probabilities = sampledDistribution(logits, {
      ...{ rules, allowed, seen },
      ...(explores && bonus ? { bonus } : {}),
    });
    if (explores) exploration.mix(probabilities, allowed);
    const place = drawPlace(probabilities, uniformAt(key, 0));
    const token = tokenizer.tokenOf(place);
    const choice = tokenizer.choices[place]!;
    const cut = Math.min(...(request.stop ?? []).map((stop) => choice.indexOf(stop)).filter((at) => at >= 0));
    const text = choice.slice(0, cut);
    const logprob = Math.log(probabilities[place]!);
    onToken?.({ token, logprob, text });
    return {
      tokens: Int32Array.of(token),
      logprobs: Float32Array.of(logprob),
      plainLogprobs: Float32Array.of(scoreChoices(logits, 1).logprobs[place]!),
      text,
      stopReason: Number.isFinite(cut) ? "stop" : "end",
      version: this.version,
      sharedPromptTokens: 0,
    };
  }

  /** @throws ChoicePolicyError E_CHOICE_ROW; TrainingError E_NO_VALUE_HEAD. */
  async forward(batch: readonly TrainingSequence[], options: ForwardOptions = {}): Promise<ForwardResult> {
    const { value, weights, policy, settings } = this.parts();
    if (options.values === true && value === null) throw this.noValueHead();
    const rows = choiceRows(batch, this.tokenizer);
    const states = await this.states(rows);
    const choices = settings.choices.length;
    const logprobs = new Float32Array(rows.length);
    const entropies = new Float32Array(rows.length);
    const values = new Float32Array(rows.length * settings.valueHeads);
    for (let from = 0; from < rows.length; from += rowsAtOnce) {
      const part = states.slice(from, from + rowsAtOnce);
      const logits = policy.forward(weights, part.map(ofPolicy));
      for (let i = 0; i < part.length; i++) {
        const { place, temperature } = rows[from + i]!;
        if (place < 0) continue;
        const scored = scoreChoices(logits.subarray(i * choices, (i + 1) * choices), temperature);
        logprobs[from + i] = scored.logprobs[place]!;
        entropies[from + i] = scored.entropy;
      }
      if (options.values === true)
        values.set(value!.forward(weights, part.map(ofValue)), from * settings.valueHeads);
    }
    return {
      logprobs,
      ...(options.entropy === true ? { entropies } : {}),
      ...(options.values === true ? { values } : {}),
    };
  }

  async close(): Promise<void> {
    const { backend, policy, value, weights, kernel } = this.parts();
    this.#closed = true;
    for (const part of [weights, kernel, value, policy, backend]) part?.dispose();
  }

  /** @throws EngineError after `close`. */
  protected parts(): Parts {
    if (!this.#closed) return this.#parts;
    throw new EngineError({
      code: "E_POLICY_CLOSED",
      message: `Policy "${this.name}" was closed.`,
      hint: "open it again, or close it after the last call.",
      facts: { policy: this.name },
    });
  }

  protected states(rows: readonly { readonly text: string }[]): Promise<TextState[]> {
    const { states } = this.parts();
    return Promise.all(rows.map(({ text }) => states.of(text)));
  }

  protected noValueHead(): TrainingError {
    return new TrainingError({
      code: "E_NO_VALUE_HEAD",
      message: `Policy "${this.name}" has no value network.`,
      hint: "open it with valueHead: true.",
    });
  }

  #biases(biases: Readonly<Record<number, number>> = {}): Readonly<Record<number, number>> {
    return Object.fromEntries(
      Object.entries(biases)
        .map(([token, bias]) => [this.tokenizer.placeOf(Number(token)), bias] as const)
        .filter(([place]) => place >= 0),
    );
  }

  /** Places that a request allows, ascending; none where its automaton begins in a state that ends the output. */
  #allowed({ allowedTokens }: SampleRequest): readonly number[] {
    const { tokenizer } = this;
    if (allowedTokens === undefined) return tokenizer.choices.map((_, place) => place);
    const tokens =
      allowedTokens instanceof Int32Array
        ? allowedTokens
        : new ConstraintWalk(allowedTokens, tokenizer.vocabularySize).allowed;
    if (tokens.length === 0) return [];
    const places = [...new Set(tokens)]
      .map((token) => tokenizer.placeOf(token))
      .filter((place) => place >= 0);
    if (places.length > 0) return places.sort((a, b) => a - b);
    throw new NoTokenAllowedError({
      code: "E_NO_TOKEN_ALLOWED",
      message: `None of the ${tokens.length} tokens that a request to policy "${this.name}" allows is a choice.`,
      hint: `allow ids of choices: ${tokenizer.tokenOf(0)} to ${tokenizer.tokenOf(tokenizer.choices.length - 1)}.`,
      facts: { policy: this.name, allowed: tokens.length },
    });
  }

  #nothing(): SampleResult {
    const none = {
      tokens: new Int32Array(0),
      logprobs: new Float32Array(0),
      plainLogprobs: new Float32Array(0),
    };
    return { ...none, text: "", stopReason: "constraint", version: this.version, sharedPromptTokens: 0 };
  }
}

export class ChoicePolicy extends FrozenChoicePolicy implements TrainablePolicy {
  /** What backward passes have added since the last step, laid out like the weights. */
  readonly gradients: FlatTensors;
  readonly #optimizer: AdamW;
  #accumulated = false;
  /** A pass has added a part and not yet all; stays true where it failed. */
  #incomplete = false;

  constructor(name: string, parts: Parts) {
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

const ofPolicy = ({ features, policy }: TextState) => ({ features, kept: policy });
const ofValue = ({ features, value }: TextState) => ({ features, kept: value });
