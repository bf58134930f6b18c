/** @file The model calls of one episode: issued through here, recorded here, exact to the token. */

import type { Policy, SampleResult } from "../engine/policy.ts";
import { TroupeError } from "../errors.ts";
import { key } from "../random/stream.ts";
import { AgentReply, type AnyAgent, parseText, type Stage } from "./agent.ts";
import { stoppedEffect, underDeadline } from "./deadline.ts";
import type { EpisodeScope } from "./episode.ts";
import { DeadlineError, EpisodeError, failureOf, ModelCallError, PromptError } from "./errors.ts";
import type { EncodedPrompt, PromptCache } from "./prompt-cache.ts";
import type { CallRecord } from "./trajectory.ts";
import type { AgentMap, ToolMap, WorkflowContext } from "./workflow.ts";

const none = {
  version: -1,
  output: new Int32Array(0),
  logprobs: new Float32Array(0),
  plainLogprobs: new Float32Array(0),
  mask: new Uint8Array(0),
  text: "",
};

type Issued = Pick<
  CallRecord,
  "id" | "agent" | "occurrence" | "policy" | "sampling" | "prompt" | "startedAt"
>;

export class CallJournal {
  readonly #scope: EpisodeScope;
  readonly #policies: ReadonlyMap<string, Policy>;
  readonly #assignment: ReadonlyMap<string, string>;
  readonly #stage: Stage;
  readonly #prompts: PromptCache;
  readonly #issued: Issued[] = [];
  readonly #settled: (CallRecord | undefined)[] = [];
  readonly #occurrences = new Map<string, number>();
  readonly #repeats = new Map<string, number>();

  constructor(
    scope: EpisodeScope,
    policies: ReadonlyMap<string, Policy>,
    assignment: ReadonlyMap<string, string>,
    stage: Stage,
    prompts: PromptCache,
  ) {
    this.#scope = scope;
    this.#policies = policies;
    this.#assignment = assignment;
    this.#stage = stage;
    this.#prompts = prompts;
  }

  bind(agents: AgentMap): WorkflowContext<unknown, AgentMap, ToolMap>["agents"] {
    const bound: Record<string, (variables: never) => Promise<AgentReply<unknown>>> = {};
    for (const [name, agent] of Object.entries(agents)) {
      bound[name] = (variables) => {
        const reply = this.#call(agent, variables);
        // A reply that nobody awaits must not become an unhandled rejection; whoever awaits it still sees the error.
        reply.catch(() => {});
        return reply;
      };
    }
    return bound as WorkflowContext<unknown, AgentMap, ToolMap>["agents"];
  }

  has(call: number): boolean {
    return this.#settled[call]?.status === "complete";
  }

  /** Names of the calls that are still running. */
  open(): string[] {
    return this.#issued.filter(({ id }) => this.#settled[id] === undefined).map(callName);
  }

  /** All records, in the order of issue; what still runs is cancelled. */
  close(): readonly CallRecord[] {
    const now = this.#scope.clock();
    return this.#issued.map(
      (issued) =>
        this.#settled[issued.id] ?? {
          ...issued,
          ...none,
          status: "cancelled",
          seconds: now - issued.startedAt,
        },
    );
  }

  async #call(agent: AnyAgent, variables: never): Promise<AgentReply<unknown>> {
    if (this.#scope.signal.aborted) return stoppedEffect(this.#scope.signal);
    const { policy, policyName } = this.#policyOf(agent);
    const prompt = this.#encode(agent, variables, policy);
    const sampling = agent.sampling[this.#stage];
    const id = this.#issued.length;
    const occurrence = count(this.#occurrences, agent.name);
    const issued: Issued = {
      id,
      agent: agent.name,
      occurrence,
      policy: policyName,
      sampling,
      prompt: prompt.tokens,
      startedAt: this.#scope.clock(),
    };
    this.#issued.push(issued);
    // Named by agent and prompt, not by order: concurrent branches draw the same numbers whoever comes first.
    const [low, high] = prompt.hash;
    const repeat = count(this.#repeats, `${agent.name}/${low}/${high}`);
    const [k0, k1] = this.#scope.key;
    try {
      const result = await underDeadline(
        { seconds: this.#scope.deadlines.call, parent: this.#scope.signal, onLate: () => this.#late(issued) },
        (signal) =>
          policy.sample({
            prompt: prompt.tokens,
            maxTokens: agent.maxTokens,
            sampling,
            key: key(k0, k1, agent.name, low, high, repeat),
            signal,
            ...(agent.stop.length === 0 ? {} : { stop: agent.stop }),
          }),
      );
      this.#check(issued, result);
      const parse = parseText(agent, result.text);
      const { tokens, logprobs, plainLogprobs, version, text, stopReason } = result;
      this.#settled[id] = {
        ...issued,
        version,
        output: tokens,
        logprobs,
        plainLogprobs,
        mask: new Uint8Array(tokens.length).fill(1),
        text,
        stopReason,
        parse,
        status: "complete",
        seconds: this.#scope.clock() - issued.startedAt,
      };
      return new AgentReply({
        text,
        tokens,
        stopReason,
        call: id,
        agent: agent.name,
        policy: policy.name,
        parse,
      });
    } catch (error) {
      const typed = error instanceof EpisodeError ? error : this.#modelError(issued, error);
      const seconds = this.#scope.clock() - issued.startedAt;
      // Stopped with its episode: not this call's failure.
      const status = this.#scope.signal.aborted ? "cancelled" : "failed";
      const failure = failureOf(typed, { workflow: this.#scope.workflow, episode: this.#scope.id });
      this.#settled[id] = {
        ...issued,
        ...none,
        status,
        seconds,
        ...(status === "failed" ? { failure } : {}),
      };
      throw typed;
    }
  }

  #policyOf({ name }: AnyAgent): { readonly policy: Policy; readonly policyName: string } {
    const assigned = this.#assignment.get(name);
    const policy = assigned === undefined ? undefined : this.#policies.get(assigned);
    if (assigned !== undefined && policy !== undefined) return { policy, policyName: assigned };
    throw new PromptError({
      boundary: "workflow",
      code: "E_POLICY_UNKNOWN",
      message:
        assigned === undefined
          ? `Agent "${name}" of workflow "${this.#scope.workflow}" has no policy.`
          : `Agent "${name}" of workflow "${this.#scope.workflow}" is assigned to policy "${assigned}", which does not exist; there are: ${[...this.#policies.keys()].join(", ")}.`,
      hint: `add it to \`assign\`: { ${name}: "…" }.`,
    });
  }

  #encode(agent: AnyAgent, variables: never, policy: Policy): EncodedPrompt {
    const where = `agent "${agent.name}" in episode ${this.#scope.id} of workflow "${this.#scope.workflow}"`;
    let prompt: EncodedPrompt;
    try {
      prompt = this.#prompts.encode(policy.tokenizer, agent.prompt(variables));
    } catch (error) {
      throw new PromptError({
        boundary: "workflow",
        code: "E_PROMPT",
        message: `The prompt of ${where} could not be made: ${error instanceof Error ? error.message : String(error)}`,
        cause: error,
      });
    }
    const { length } = prompt.tokens;
    if (length === 0) {
      throw new PromptError({
        boundary: "workflow",
        code: "E_PROMPT_EMPTY",
        message: `The prompt of ${where} has no tokens; a model needs at least one to go on from.`,
        hint: "return a text that is not empty from `prompt`.",
      });
    }
    if (length >= policy.contextLength) {
      throw new PromptError({
        boundary: "workflow",
        code: "E_PROMPT_TOO_LONG",
        message: `The prompt of ${where} has ${length} tokens; policy "${policy.name}" can see ${policy.contextLength}, and at least one must stay free for the output.`,
        hint: "shorten what goes into the prompt (fewer or shorter passages); nothing is cut silently.",
        facts: { tokens: length, contextLength: policy.contextLength },
      });
    }
    return prompt;
  }

  /** A log-prob that is missing or not a number would be trained on as if it were one. */
  #check(issued: Issued, { tokens, logprobs, plainLogprobs }: SampleResult): void {
    const broken =
      logprobs.length !== tokens.length || plainLogprobs.length !== tokens.length
        ? `${tokens.length} tokens with ${logprobs.length} and ${plainLogprobs.length} log-probs`
        : logprobs.some(Number.isNaN) || plainLogprobs.some(Number.isNaN)
          ? "a log-prob that is not a number"
          : undefined;
    if (broken === undefined) return;
    throw new ModelCallError({
      boundary: "model",
      code: "E_TOKEN_MISMATCH",
      message: `Policy "${issued.policy}" returned ${broken} for ${callName(issued)} of episode ${this.#scope.id}.`,
      hint: "this is a fault of the engine, not of the workflow; please report it.",
    });
  }

  #late(issued: Issued): DeadlineError {
    const { call } = this.#scope.deadlines;
    return new DeadlineError({
      boundary: "model",
      code: "E_CALL_DEADLINE",
      message: `${callName(issued)} of episode ${this.#scope.id} had no answer from policy "${issued.policy}" after ${call} s (${issued.prompt.length} prompt tokens).`,
      hint: "raise `deadlines.call`, lower `concurrency`, or lower the agent's maxTokens.",
      facts: { seconds: call, agent: issued.agent },
    });
  }

  #modelError(issued: Issued, error: unknown): ModelCallError {
    return new ModelCallError({
      boundary: "model",
      code: "E_MODEL_CALL",
      message: `Policy "${issued.policy}" failed on ${callName(issued)} of episode ${this.#scope.id}: ${error instanceof Error ? error.message : String(error)}`,
      cause: error,
      ...(TroupeError.is(error) ? { facts: { code: error.code } } : {}),
    });
  }
}

const callName = ({ agent, occurrence }: Pick<Issued, "agent" | "occurrence">) =>
  `agent "${agent}" (call ${occurrence})`;

/** How often `name` was counted before. */
export function count(counts: Map<string, number>, name: string): number {
  const before = counts.get(name) ?? 0;
  counts.set(name, before + 1);
  return before;
}
