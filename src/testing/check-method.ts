/**
 * @file Checks that every method must pass, for tests of methods of one's own: gradients against finite differences, the
 * same loss however a batch is cut, advantages that do not depend on the order of episodes, memory that survives a
 * checkpoint. They draw their batches from keyed random numbers, so a failure comes back.
 */

import type {
  GroupCredit,
  LossInput,
  LossOutput,
  Method,
  RewardedGroup,
  StepFacts,
} from "../methods/method.ts";
import { stream } from "../random/stream.ts";
import { MethodCheckError } from "./check-method-error.ts";
import { checkSampler } from "./check-sampler.ts";
import {
  creditsOf,
  microbatchOf,
  type RandomBatchOptions,
  randomBatch,
  randomGroups,
} from "./random-batch.ts";

export interface CheckOptions extends Omit<RandomBatchOptions, "seed"> {
  /** Batches that are drawn. Default 6. */
  readonly batches?: number;
}

export interface GradientCheckOptions extends CheckOptions {
  /**
   * "constant": the gradient takes the ratio for a constant, as CISPO's does; then so do the differences. Default
   * "differentiated".
   */
  readonly ratio?: "differentiated" | "constant";
  /**
   * What part of the differences is the gradient at texts that were given: 1/(1 + α) where a power α of the ratio is taken
   * for a constant there, as HACPO's damping is. Default 1.
   */
  readonly givenShare?: number;
  /** Relative to the largest gradient of the batch. Default 1e-3. */
  readonly tolerance?: number;
  /** Tokens a batch whose gradients are compared, for each of ℓ, H and v. Default 40. */
  readonly tokens?: number;
}

/** Exact in float32 next to log-probs. */
const step = 2 ** -10;

/**
 * ∂L/∂ℓ, and ∂L/∂H and ∂L/∂v where the method has them, against one-sided finite differences: a gradient must lie between
 * the one from the left and the one from the right, so that a kink, such as the edge of a clip range, is no failure.
 * Masked tokens must have no gradient.
 * @returns how many gradients were compared, and how many of these are not 0.
 * @throws MethodCheckError E_CHECK_GRADIENT
 */
export function checkGradients(
  method: Method,
  {
    batches = 6,
    ratio = "differentiated",
    givenShare = 1,
    tolerance = 1e-3,
    tokens = 40,
    ...options
  }: GradientCheckOptions = {},
): { readonly compared: number; readonly moving: number } {
  let compared = 0;
  let moving = 0;
  for (let seed = 0; seed < batches; seed++) {
    const { input } = randomBatch(method, { ...options, seed });
    if (input.lengths.length === 0) continue;
    const { gradients } = method.loss(input);
    for (const field of ["logprobs", "entropies", "values"] as const) {
      const given = gradients[field];
      const at = input[field];
      if (given === undefined || at === undefined) continue;
      if (given.length !== at.length)
        throw wrongGradient(method, seed, `∂L/∂${field} has ${given.length} entries for ${at.length}`);
      const lossAt = (i: number, by: number) => {
        const copy = Float32Array.from(at);
        copy[i] = copy[i]! + by;
        const moved = { ...input, [field]: copy };
        const old = ratio === "constant" && field === "logprobs" ? { oldLogprobs: kept(input, copy) } : {};
        return { x: copy[i]!, loss: method.loss({ ...moved, ...old }).loss };
      };
      const owners = tokensOf(input).flatMap((all, i) => all.map(() => i));
      const width = at.length / input.logprobs.length;
      const shareAt = (i: number) =>
        field === "logprobs" && input.given?.[owners[Math.floor(i / width)]!] === 1 ? givenShare : 1;
      const chosen = stream("check", seed, field)
        .shuffled([...at.keys()])
        .slice(0, tokens);
      const differences = chosen.map((i) => {
        const [down, here, up] = [lossAt(i, -step), lossAt(i, 0), lossAt(i, step)];
        return {
          i,
          left: (shareAt(i) * (here.loss - down.loss)) / (here.x - down.x),
          right: (shareAt(i) * (up.loss - here.loss)) / (up.x - here.x),
        };
      });
      const largest = Math.max(...given.map(Math.abs), ...differences.map(({ left }) => Math.abs(left)));
      const room = tolerance * largest + 1e-12;
      for (const { i, left, right } of differences) {
        const found = given[i]!;
        compared++;
        if (found !== 0) moving++;
        if (found >= Math.min(left, right) - room && found <= Math.max(left, right) + room) continue;
        const token = `∂L/∂${field} of token ${i} is ${found}; differences say ${left} from the left and ${right} from the right`;
        throw wrongGradient(method, seed, token);
      }
      const idle = method.needs.tokensWithoutAdvantage ? [] : idleTokens(input);
      const wakes = idle.find((t) => given[t] !== 0);
      if (field !== "values" && wakes !== undefined) {
        const token = `token ${wakes} has advantage 0 and ∂L/∂${field} ${given[wakes]}, and \`needs.tokensWithoutAdvantage\` is false`;
        throw wrongGradient(method, seed, token);
      }
      const leaked = given.findIndex((value, i) => value !== 0 && input.mask?.[Math.floor(i / width)] === 0);
      if (leaked >= 0)
        throw wrongGradient(method, seed, `masked entry ${leaked} has ∂L/∂${field} ${given[leaked]}`);
    }
  }
  if (moving === 0) {
    throw new MethodCheckError({
      code: "E_CHECK_GRADIENT",
      message: `Method "${method.name}": all gradients of ${batches} batches are 0.`,
      hint: "give `episode` rewards that the method can learn from.",
      facts: { method: method.name },
    });
  }
  return { compared, moving };
}

/** Tokens of sequences that a run leaves out where only advantages have a gradient. */
function idleTokens(input: LossInput): readonly number[] {
  const tokens = tokensOf(input);
  return units(input)
    .map((unit) => unit.flatMap((i) => tokens[i]!))
    .filter((all) => all.every((t) => input.advantages[t] === 0))
    .flat();
}

/** [sequences] places of the tokens of each. */
function tokensOf({ lengths }: LossInput): readonly (readonly number[])[] {
  let at = 0;
  return lengths.map((length) => Array.from({ length }, () => at++));
}

/** Old log-probs that leave every ratio as it is at `input`, whatever log-probs are now. */
function kept({ logprobs, oldLogprobs }: LossInput, now: Float32Array): Float32Array {
  return oldLogprobs.map((old, i) => old + (now[i]! - logprobs[i]!));
}

function wrongGradient(method: Method, seed: number, says: string): MethodCheckError {
  return new MethodCheckError({
    code: "E_CHECK_GRADIENT",
    message: `Method "${method.name}", batch ${seed}: ${says}.`,
    hint: 'compare `loss` with its gradients term by term; a ratio that is a constant needs `ratio: "constant"`.',
    facts: { method: method.name, seed },
  });
}

/**
 * Cut into microbatches, sequence by sequence and in random parts, a batch has the same loss, gradients and statistics.
 * Linked sequences stay together.
 * @throws MethodCheckError E_CHECK_MICROBATCHES
 */
export function checkMicrobatches(method: Method, { batches = 6, ...options }: CheckOptions = {}): void {
  for (let seed = 0; seed < batches; seed++) {
    const { input } = randomBatch(method, { ...options, seed });
    const whole = method.loss(input);
    const apart = units(input);
    const random = stream("cut", seed);
    const parts = new Map<number, number[]>();
    for (const unit of random.shuffled(apart)) {
      const part = random.integer(3);
      parts.set(part, [...(parts.get(part) ?? []), ...unit]);
    }
    compareCut(method, seed, input, whole, apart);
    compareCut(method, seed, input, whole, [...parts.values()]);
  }
}

/** Places of sequences that may not be parted. */
function units({ lengths, links }: LossInput): readonly (readonly number[])[] {
  const found = new Map<number, number[]>();
  for (const i of lengths.keys()) {
    const link = links?.[i] ?? -1;
    const unit = link < 0 ? -2 - i : link;
    found.set(unit, [...(found.get(unit) ?? []), i]);
  }
  return [...found.values()];
}

function compareCut(
  method: Method,
  seed: number,
  input: LossInput,
  whole: LossOutput,
  parts: readonly (readonly number[])[],
): void {
  const refuse = (what: string, found: number | undefined, wanted: number | undefined): never => {
    throw new MethodCheckError({
      code: "E_CHECK_MICROBATCHES",
      message: `Method "${method.name}", batch ${seed}: cut into ${parts.length} microbatches ${what} is ${found}, and ${wanted} in one.`,
      hint: "normalise by `totals`, and compute what needs all of the batch in `estimate` or `prepare`.",
      facts: { method: method.name, seed },
    });
  };
  const outputs = parts.map((places) => method.loss(microbatchOf(input, places)));
  const sum = (of: (output: LossOutput) => number) =>
    outputs.reduce((total, output) => total + of(output), 0);
  const loss = sum((output) => output.loss);
  if (!near(loss, whole.loss)) refuse("the loss", loss, whole.loss);
  const tokens = sum(({ statistics }) => statistics.tokens);
  if (tokens !== whole.statistics.tokens) refuse("the number of tokens", tokens, whole.statistics.tokens);
  for (const [name, wanted] of Object.entries(whole.statistics.sums)) {
    const found = sum(({ statistics }) => statistics.sums[name] ?? 0);
    if (!near(found, wanted)) refuse(`statistic "${name}"`, found, wanted);
  }
  outputs.forEach((output, k) => {
    for (const field of ["logprobs", "entropies", "values"] as const) {
      const wanted = whole.gradients[field];
      const found = output.gradients[field];
      if (wanted === undefined) continue;
      const same = microbatchOf({ ...input, logprobs: input.logprobs, values: wanted }, parts[k]!).values!;
      const wrong = same.findIndex((value, i) => !near(found?.[i] ?? Number.NaN, value));
      if (wrong >= 0) refuse(`a gradient ∂L/∂${field}`, found?.[wrong], same[wrong]);
    }
  });
}

function near(found: number, wanted: number): boolean {
  return Math.abs(found - wanted) <= 1e-6 * Math.max(1e-3, Math.abs(wanted));
}

/**
 * In another order the episodes of a group have the same advantages. Calls that branches share count together: which copy
 * of them is trained on may depend on the order.
 * @throws MethodCheckError E_CHECK_ORDER
 */
export function checkOrder(method: Method, { batches = 6, ...options }: CheckOptions = {}): void {
  for (let seed = 0; seed < batches; seed++) {
    const groups = randomGroups(method, { ...options, seed }).map(untied);
    const random = stream("order", seed);
    const moved = groups.map((group) => ({ ...group, episodes: random.shuffled(group.episodes) }));
    const wanted = byNode(groups, creditsOf(method, groups));
    for (const [node, found] of byNode(moved, creditsOf(method, moved))) {
      if (near(found, wanted.get(node) ?? Number.NaN)) continue;
      throw new MethodCheckError({
        code: "E_CHECK_ORDER",
        message: `Method "${method.name}", batch ${seed}: in another order of episodes call ${node} has advantage ${found} instead of ${wanted.get(node)}.`,
        hint: "take nothing from an episode's place in its group.",
        facts: { method: method.name, seed },
      });
    }
  }
}

/** Rewards without ties: where two are best, a method may take either. */
function untied(group: RewardedGroup): RewardedGroup {
  return {
    ...group,
    episodes: group.episodes.map((episode, i) => {
      const by = (i + 1) * 1e-4;
      return {
        ...episode,
        reward: episode.reward + by,
        calls: episode.calls.map((call) => ({ ...call, reward: call.reward + by })),
      };
    }),
  };
}

function byNode(groups: readonly RewardedGroup[], credits: readonly GroupCredit[]): Map<string, number> {
  const sums = new Map<string, number>();
  groups.forEach(({ task, episodes }, k) => {
    episodes.forEach(({ id, calls }, i) => {
      calls.forEach((call, j) => {
        const { advantages, trained } = credits[k]!;
        const node = call.node ?? `${task} ${id} ${j}`;
        const value = trained?.[i]?.[j] === 0 ? 0 : advantages[i]![j]!;
        sums.set(node, (sums.get(node) ?? 0) + value);
      });
    });
    for (const { episode, call, policy, advantage } of credits[k]!.given ?? []) {
      const { id, calls } = episodes[episode]!;
      const node = `${calls[call]!.node ?? `${task} ${id} ${call}`} given to ${policy}`;
      sums.set(node, (sums.get(node) ?? 0) + advantage);
    }
  });
  return sums;
}

/**
 * What a method has learned survives a checkpoint: after some steps, its state goes through JSON into a new method, and
 * both give equal advantages and learn on alike. Crediting alone must change nothing: evaluations and dry groups do it too.
 * @throws MethodCheckError E_CHECK_STATE
 */
export function checkState(make: () => Method, { batches = 6, ...options }: CheckOptions = {}): void {
  const method = make();
  const refuse = (says: string): never => {
    throw new MethodCheckError({
      code: "E_CHECK_STATE",
      message: `Method "${method.name}": ${says}.`,
      hint: "learn in `observe` alone, and give all that was learned as JSON in `state`.",
      facts: { method: method.name },
    });
  };
  if (method.observe !== undefined && method.state === undefined)
    refuse("it observes steps and has no `state`, so a run that goes on has forgotten them");
  for (let seed = 0; seed < batches; seed++) {
    const before = JSON.stringify(method.state?.());
    const { groups, input, credits } = randomBatch(method, { ...options, seed });
    method.loss(input);
    if (JSON.stringify(method.state?.()) !== before) refuse("crediting a batch changed its state");
    const restored = make();
    if (method.state !== undefined) restored.restore?.(JSON.parse(before!));
    if (JSON.stringify(creditsOf(restored, groups).map(numbersOf)) !== JSON.stringify(credits.map(numbersOf)))
      refuse(`restored after ${seed} steps, it gives other advantages`);
    const facts: StepFacts = {
      step: seed + 1,
      steps: batches,
      groups,
      statistics: { policy: { entropy: 1 / (seed + 1), kl: 0.01, ratio: 1, clipFraction: 0 } },
    };
    method.observe?.(facts);
    restored.observe?.(facts);
    if (JSON.stringify(method.state?.()) !== JSON.stringify(restored.state?.()))
      refuse(`restored after ${seed} steps, it learns something else from the next`);
    const names = groups.map(({ task }) => task);
    const weights = (of: Method) => JSON.stringify(Array.from(of.taskWeights?.(names) ?? []));
    if (weights(method) !== weights(restored))
      refuse(`restored after ${seed} steps, it weighs tasks otherwise`);
    for (const [name, value] of Object.entries(method.metrics?.() ?? {}))
      if (!Number.isFinite(value)) refuse(`metric "${name}" is ${value} after ${seed + 1} steps`);
  }
}

const numbersOf = ({ advantages, hasSignal, given }: GroupCredit) => [
  advantages.map((row) => [...row]),
  hasSignal,
  given,
];

/** All of the above, and `checkSampler` where there is a sampler. @throws MethodCheckError */
export function checkMethod(make: () => Method, options: GradientCheckOptions = {}): void {
  const { ratio: _, tolerance: __, tokens: ___, givenShare: ____, ...drawn } = options;
  checkGradients(make(), options);
  checkMicrobatches(make(), drawn);
  checkOrder(make(), drawn);
  checkState(make, drawn);
  const { sampler } = make();
  if (sampler !== undefined) checkSampler(sampler, drawn);
}
