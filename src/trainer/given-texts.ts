/**
 * @file Texts that a method gives a policy to learn besides what it sampled (`GivenText`): the prompt of the call in the
 * learner's own tokens, and the text encoded behind it. What was sampled is never encoded again; this is the one
 * exception (HACPO, arXiv 2603.02604: foreign text is decoded and re-tokenised), so every text that does not survive it is
 * refused and counted.
 */

import type { AnyPolicy, PolicyTokenizer } from "../engine/policy.ts";
import { isTextPolicy, isTrainable } from "../engine/policy-spec.ts";
import { LossError } from "../methods/errors.ts";
import type { GivenText } from "../methods/method.ts";
import { PromptCache } from "../workflow/prompt-cache.ts";
import type { CallRecord } from "../workflow/trajectory.ts";
import { agentsOf } from "../workflow/workflow.ts";
import type { CreditedCall } from "./credit-groups.ts";
import type { TellingRunner, ToldGroup } from "./told-group.ts";

/** Why a text is not trained on. Closed. */
export type Refusal =
  /** It has no tokens. */
  | "empty"
  /** The learner's tokenizer decodes it to something else. */
  | "roundTrip"
  /** It does not fit the learner's context, or the agent's `maxTokens`. */
  | "tooLong"
  /** The learner cannot be given the prompt: its template refuses it, or the agent has tools. */
  | "prompt";

/** [policy][reason] */
export type Refusals = Readonly<Record<string, Readonly<Partial<Record<Refusal, number>>>>>;

export interface GivenCalls {
  readonly calls: readonly CreditedCall[];
  readonly refused: Refusals;
}

/** @throws LossError if a given text names an episode, a call or a policy that is not there. */
export function givenCalls<Task>(
  told: ToldGroup,
  given: readonly GivenText[],
  runner: TellingRunner<Task>,
): GivenCalls {
  if (given.length === 0) return { calls: [], refused: {} };
  const calls: CreditedCall[] = [];
  const refused: Record<string, Partial<Record<Refusal, number>>> = {};
  const prompts = new PromptCache();
  const agents = agentsOf(runner.settings.workflow);
  for (const text of given) {
    const { call, trajectory, learner } = placeOf(told, text, runner);
    const { task, dataset, episodes } = told.rewarded;
    const made = encoded(call, text, learner, prompts, agents.get(call.agent));
    if (typeof made === "string") {
      const counts = refused[text.policy] ?? {};
      counts[made] = (counts[made] ?? 0) + 1;
      refused[text.policy] = counts;
      continue;
    }
    calls.push({
      trajectory,
      call: { ...call, ...made, policy: text.policy, stopReason: "end" },
      advantage: text.advantage,
      given: text.oldLogprob === undefined ? "without log-probs" : "with log-probs",
      told: { task, dataset, rewarded: episodes[text.episode]!.calls[text.call]! },
      ...(text.link === undefined ? {} : { link: text.link }),
    });
  }
  return { calls, refused };
}

type Learner = { readonly tokenizer: PolicyTokenizer; readonly contextLength: number };

function placeOf<Task>(told: ToldGroup, text: GivenText, { settings, policies }: TellingRunner<Task>) {
  const trajectory = told.trajectories[text.episode];
  const call = told.calls[text.episode]?.[text.call];
  const policy = policies.get(text.policy);
  const fault =
    trajectory === undefined || call === undefined
      ? `after call ${text.call} of episode ${text.episode} of a group, which there is not`
      : learnerFault(policy);
  if (fault !== undefined || trajectory === undefined || call === undefined) {
    throw new LossError({
      code: "E_GIVEN_TEXT",
      message: `Method "${settings.method.name}" gives policy "${text.policy}" a text to learn ${fault}.`,
      hint: "name places in the group as `credit` saw it, and a policy of the run that can be trained.",
      facts: { method: settings.method.name, policy: text.policy, episode: text.episode, call: text.call },
    });
  }
  if (!Number.isFinite(text.advantage) || (text.oldLogprob !== undefined && !(text.oldLogprob <= 0))) {
    throw new LossError({
      code: "E_CREDIT_NOT_FINITE",
      message: `Method "${settings.method.name}" gives policy "${text.policy}" a text with advantage ${text.advantage} and log-prob ${text.oldLogprob} to learn, from episode ${trajectory.id}.`,
      hint: "advantages are finite numbers, and log-probs are at most 0.",
    });
  }
  return { trajectory, call, learner: policy as AnyPolicy as Learner };
}

function learnerFault(policy: AnyPolicy | undefined): string | undefined {
  if (policy === undefined) return "which is not a policy of the run";
  if (isTextPolicy(policy)) return "which speaks text only";
  return isTrainable(policy) ? undefined : "which is frozen";
}

/** The fields of a call that differ for the learner. */
function encoded(
  call: CallRecord,
  { policy, text = call.text, oldLogprob }: GivenText,
  learner: Learner,
  prompts: PromptCache,
  agent: { readonly tools: readonly unknown[]; readonly maxTokens: number } | undefined,
): Pick<CallRecord, "prompt" | "output" | "logprobs" | "plainLogprobs" | "mask"> | Refusal {
  const { tokenizer, contextLength } = learner;
  const own = call.policy === policy;
  if (!own && (agent?.tools.length ?? 0) > 0) return "prompt";
  let prompt = call.prompt;
  if (!own) {
    try {
      prompt = prompts.encode(tokenizer, call.input).tokens;
    } catch {
      return "prompt";
    }
  }
  // The other tokenizer's end token is no part of the text, and is not scored.
  const output = tokenizer.encode(text, { addSpecial: false });
  if (output.length === 0 || prompt.length === 0) return "empty";
  if (tokenizer.decode(output) !== text) return "roundTrip";
  if (prompt.length + output.length > contextLength || output.length > (agent?.maxTokens ?? Infinity))
    return "tooLong";
  const logprobs = new Float32Array(output.length).fill(oldLogprob ?? 0);
  return { prompt, output, logprobs, plainLogprobs: logprobs, mask: new Uint8Array(output.length).fill(1) };
}
