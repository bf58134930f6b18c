/**
 * @file How likely a policy finds each of a question's options: P = softmax over Σ ℓ of each option's tokens after the
 * prompt. For options of one token that is the softmax of their logits alone.
 *
 * Source: MixRAGRec (official code), whose confidence and information gain are made of restricted option logits. All
 * options of a prompt are one batch, kept by prompt and version of the policy, and count in the run's limits.
 */

import { createHash } from "node:crypto";
import type { AnyPolicy, ScoringPolicy, TrainingSequence } from "../engine/policy.ts";
import { canScore } from "../engine/policy-spec.ts";
import { TroupeError } from "../errors.ts";
import type { Prompt } from "../workflow/trajectory.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { underDeadline } from "./failures.ts";
import { type RewardContext, RewardDefinitionError, type RewardTerm } from "./reward.ts";
import { checkName } from "./terms.ts";

/** A policy cannot be asked for its options' scores. */
export class OptionScoreError extends TroupeError {}

/** A term that scores given tokens with policies, by name, beside asking them. */
export interface ScoringTerm<Task = UntypedTask> extends RewardTerm<Task> {
  /** Names of the run's policies that must be able to score. */
  readonly scores: readonly string[];
}

export interface OptionScorerSettings {
  /** Name of a policy of the run, or an opened one. */
  readonly policy: string | AnyPolicy;
  /** Questions that are kept in memory. Default 4096; 0: none. */
  readonly cache?: number;
}

/** One policy's scores of options, cached. */
export class OptionScorer {
  readonly name: string;
  readonly #policy: string | AnyPolicy;
  readonly #capacity: number;
  readonly #known = new WeakMap<AnyPolicy, Map<string, Promise<Float64Array>>>();
  readonly #usage = { questions: 0, cached: 0, scoredTokens: 0 };

  /** @throws RewardDefinitionError E_REWARD_POLICY for a policy that cannot score; E_REWARD_RANGE, E_REWARD_NAME */
  constructor(name: string, { policy, cache = 4096 }: OptionScorerSettings) {
    checkName(name);
    if (!(Number.isInteger(cache) && cache >= 0)) {
      throw new RewardDefinitionError({
        code: "E_REWARD_RANGE",
        message: `Reward "${name}" keeps ${cache} questions; it must be an integer of at least 0.`,
      });
    }
    if (typeof policy !== "string" && !canScore(policy)) throw cannotScore(name, policy.name);
    this.name = name;
    this.#policy = policy;
    this.#capacity = cache;
  }

  /** Of the run's policies, those that it asks. */
  get policies(): readonly string[] {
    return typeof this.#policy === "string" ? [this.#policy] : [];
  }

  usage(): Readonly<Record<string, number>> {
    return { ...this.#usage };
  }

  /**
   * The name of the policy that is asked.
   * @throws RewardDefinitionError E_REWARD_POLICY if the run has no such policy, or one that cannot score.
   */
  policyOf({ policies }: Pick<RewardContext, "policies">): ScoringPolicy {
    const asked = this.#policy;
    const policy = typeof asked === "string" ? policies?.get(asked) : asked;
    if (policy !== undefined && canScore(policy)) return policy;
    throw cannotScore(this.name, policy?.name ?? String(asked), policy === undefined);
  }

  /**
   * [options] log P of each option after the prompt, in the order given.
   * @param prompt text, messages, or exact tokens
   * @throws RewardDefinitionError E_REWARD_POLICY; OptionScoreError E_OPTION_SCORES
   */
  async logDistribution(
    prompt: Prompt | Int32Array,
    options: readonly string[],
    context: RewardContext,
  ): Promise<Float64Array> {
    const policy = this.policyOf(context);
    const tokens = tokensOf(policy, prompt);
    const name = createHash("sha256")
      .update(`${policy.version}\n${JSON.stringify(options)}\n`)
      .update(tokens)
      .digest("hex");
    const known = this.#known.get(policy) ?? new Map<string, Promise<Float64Array>>();
    this.#known.set(policy, known);
    this.#usage.questions++;
    const found = known.get(name);
    if (found !== undefined) {
      this.#usage.cached++;
      return found;
    }
    const scored = this.#score(policy, tokens, options, context);
    if (this.#capacity === 0) return scored;
    // The oldest goes: the prompts of a step are rarely those of the next.
    if (known.size >= this.#capacity) known.delete(known.keys().next().value!);
    known.set(name, scored);
    scored.catch(() => known.delete(name));
    return scored;
  }

  async #score(
    policy: ScoringPolicy,
    prompt: Int32Array,
    options: readonly string[],
    context: RewardContext,
  ): Promise<Float64Array> {
    const rows = options.map((option) => this.#row(policy, prompt, option));
    const gate = context.gates?.policy(policy.name);
    if (gate !== undefined) await new Promise<void>((enter) => gate.enter(enter));
    let logprobs: Float32Array;
    try {
      // Not left before it has ended: weights wait for it to change.
      const work = Promise.resolve().then(() => policy.forward(rows));
      if (gate !== undefined) work.then(gate.leave.bind(gate), gate.leave.bind(gate));
      ({ logprobs } = await underDeadline(context, () => work));
    } catch (error) {
      if (context.signal?.aborted === true) throw error;
      throw this.#failed(policy, error instanceof Error ? error.message : String(error), error);
    }
    this.#usage.scoredTokens += logprobs.length;
    let at = 0;
    const sums = rows.map(({ tokens }) => {
      let sum = 0;
      for (const end = at + tokens.length - prompt.length; at < end; at++) sum += logprobs[at]!;
      return sum;
    });
    const wrong = sums.find((sum) => !Number.isFinite(sum));
    if (wrong !== undefined) throw this.#failed(policy, `an option has the log-prob ${wrong}`);
    return logSoftmax(sums);
  }

  #row(policy: ScoringPolicy, prompt: Int32Array, option: string): TrainingSequence {
    const output = policy.tokenizer.encode(option, { addSpecial: false });
    const length = prompt.length + output.length;
    if (prompt.length === 0 || output.length === 0)
      throw this.#failed(
        policy,
        `${prompt.length === 0 ? "the prompt" : `option ${JSON.stringify(option)}`} has no tokens`,
      );
    if (length > policy.contextLength)
      throw this.#failed(
        policy,
        `the prompt and option ${JSON.stringify(option)} have ${length} tokens; it takes ${policy.contextLength}`,
      );
    const tokens = new Int32Array(length);
    tokens.set(prompt);
    tokens.set(output, prompt.length);
    return { tokens, mask: new Uint8Array(length).fill(1, prompt.length) };
  }

  #failed(policy: ScoringPolicy, says: string, cause?: unknown): OptionScoreError {
    return new OptionScoreError({
      code: "E_OPTION_SCORES",
      message: `"${this.name}" could not score options with policy "${policy.name}": ${says}`,
      hint: "shorten the evidence, or use options that the policy's tokenizer can write; nothing is cut silently.",
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

/** Numerically safe; [n] log-probabilities of n logits. */
export function logSoftmax(logits: readonly number[]): Float64Array {
  const most = Math.max(...logits);
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
  return Float64Array.from(logits, (logit) => logit - most - total);
}

/**
 * For a run, once its policies are open and before its first step.
 * @throws RewardDefinitionError E_REWARD_POLICY if a term, or a part of one, scores with a policy that cannot.
 */
export function checkScorers<Task>(term: RewardTerm<Task>, policies: ReadonlyMap<string, AnyPolicy>): void {
  for (const name of "scores" in term ? (term as ScoringTerm<Task>).scores : []) {
    const policy = policies.get(name);
    if (policy === undefined || !canScore(policy)) throw cannotScore(term.name, name, policy === undefined);
  }
  for (const part of term.parts ?? []) checkScorers(part, policies);
}

function tokensOf({ tokenizer }: ScoringPolicy, prompt: Prompt | Int32Array): Int32Array {
  if (prompt instanceof Int32Array) return prompt;
  return typeof prompt === "string"
    ? tokenizer.encode(prompt)
    : tokenizer.encodeChat(prompt, { addGenerationPrompt: true });
}

const cannotScore = (term: string, policy: string, missing = false) =>
  new RewardDefinitionError({
    code: "E_REWARD_POLICY",
    message: missing
      ? `Reward "${term}" scores options with policy "${policy}", which the run does not have.`
      : `Reward "${term}" scores options with policy "${policy}", which speaks text only: it has no log-probs of given tokens.`,
    hint: missing
      ? "add it to `policies` of the run."
      : "use a policy with open weights, or give `similarity`, which compares texts instead.",
    facts: { reward: term, policy },
  });
