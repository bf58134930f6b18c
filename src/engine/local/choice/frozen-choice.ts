/** @file A choice policy that answers and scores, and does not learn. */

import { uniformAt } from "../../../random/stream.ts";
import type {
  ForwardOptions,
  ForwardResult,
  SampleRequest,
  SampleResult,
  ScoringPolicy,
  TrainingSequence,
} from "../../policy.ts";
import type { FlatTensors } from "../model/weights.ts";
import { NoTokenAllowedError } from "../sampling/errors.ts";
import { ConstraintWalk, checkRequest } from "../sampling/request.ts";
import { compileRules } from "../sampling/token-rules.ts";
import { TrainingError } from "../training/errors.ts";
import { EngineError } from "../worker/errors.ts";
import { type ChoiceParts, rowsAtOnce } from "./choice-parts.ts";
import { choiceRows } from "./choice-rows.ts";
import { ChoiceTokenizer } from "./choice-tokenizer.ts";
import { drawPlace, sampledDistribution, scoreChoices } from "./distribution.ts";
import { ofPolicy, ofValue, type TextState } from "./text-states.ts";

/** Answers and scores. */
export class FrozenChoicePolicy implements ScoringPolicy {
  readonly name: string;
  readonly tokenizer: ChoiceTokenizer;
  readonly contextLength: number;
  readonly #parts: ChoiceParts;
  #closed = false;

  constructor(name: string, parts: ChoiceParts) {
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
  protected parts(): ChoiceParts {
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
