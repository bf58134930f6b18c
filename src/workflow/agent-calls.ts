/** @file The model calls of one episode: issued here, answered by a policy or by the journal, recorded to the token. */

import type { AnyPolicy, ChatTool, Policy, SamplingSettings, TextResult } from "../engine/policy.ts";
import { isTextPolicy } from "../engine/policy-spec.ts";
import { type Key, key } from "../random/stream.ts";
import { type AnyAgent, type CallOptions, parseText } from "./agent.ts";
import { callName, checkResult, lateCall, modelError } from "./call-faults.ts";
import { encodePrompt } from "./call-prompt.ts";
import {
  type Answer,
  allSampled,
  answerMessage,
  completeRecord,
  type Issued,
  nothing,
} from "./call-record.ts";
import { Conversations } from "./conversation.ts";
import { type Effect, promptText } from "./effect.ts";
import { count, EffectIds } from "./effect-ids.ts";
import { EpisodeError, type EpisodeFailure, failureOf, PromptError, restoreFailure } from "./errors.ts";
import type { EffectView } from "./open-effect.ts";
import { type EncodedPrompt, fingerprint, fingerprintText, type PromptCache } from "./prompt-cache.ts";
import type { EpisodeRuntime } from "./runtime.ts";
import type { Scope } from "./scope.ts";
import { type CallRecord, covers, type Prompt } from "./trajectory.ts";

/** How the calls of an episode are answered; absent in a replay. */
export interface Participants {
  readonly policies: ReadonlyMap<string, AnyPolicy>;
  /** φ: agent name → policy name. */
  readonly assignment: ReadonlyMap<string, string>;
  readonly prompts: PromptCache;
  /** Instead of each agent's own settings for the stage. */
  readonly sampling?: (agent: AnyAgent) => SamplingSettings;
}

/** One request of an agent, ready to be issued. */
export interface CallPlan {
  readonly agent: AnyAgent;
  readonly scope: Scope;
  readonly input: Prompt;
  readonly tools: readonly ChatTool[] | undefined;
  readonly options: CallOptions;
}

export class AgentCalls {
  readonly #runtime: EpisodeRuntime;
  readonly #participants: Participants | undefined;
  readonly #ids: EffectIds;
  /** By id. */
  readonly #issued: (Issued | undefined)[] = [];
  readonly #settled: (CallRecord | undefined)[] = [];
  readonly #occurrences = new Map<string, number>();
  readonly #repeats = new Map<string, number>();
  readonly #conversations = new Conversations();

  constructor(runtime: EpisodeRuntime, participants: Participants | undefined) {
    this.#runtime = runtime;
    this.#participants = participants;
    this.#ids = new EffectIds(runtime.recorded?.ids("call"));
  }

  has(call: number, scope: string): boolean {
    const record = this.#settled[call];
    return record?.status === "complete" && covers(scope, record.scope);
  }

  /** All records, in the order of issue; what still runs is cancelled. */
  close(): readonly CallRecord[] {
    const now = this.#runtime.seconds();
    return this.#issued.flatMap((issued) =>
      issued === undefined
        ? []
        : [
            this.#settled[issued.id] ?? {
              ...issued,
              ...nothing,
              settled: -1,
              status: "cancelled",
              seconds: now - issued.startedAt,
            },
          ],
    );
  }

  /** Issues one call and gives its record once it is complete; rejects if it fails. */
  async perform(plan: CallPlan): Promise<CallRecord> {
    const runtime = this.#runtime;
    const { agent, scope, input } = plan;
    runtime.countCall(agent.name);
    const issued = runtime.issue();
    const occurrence = count(this.#occurrences, `${scope.path}\n${agent.name}`);
    const { repeat, known } = runtime.ask(
      { scope: scope.path, kind: "call", name: agent.name, argument: promptText(input) },
      issued,
    );
    if (known?.kind === "call") return this.#answerFromJournal(known, issued, plan);
    const { policy, policyName } = this.#policyOf(agent);
    const sampling =
      plan.options.sampling ?? this.#participants?.sampling?.(agent) ?? agent.sampling[runtime.stage];
    const base = {
      id: this.#ids.next(),
      scope: scope.path,
      issued,
      agent: agent.name,
      occurrence,
      policy: policyName,
      sampling,
      input,
      startedAt: runtime.seconds(),
    };
    if (!isTextPolicy(policy)) return this.#sample(policy, policyName, plan, base, repeat);
    const streamKey = this.#streamKey(agent.name, scope.path, fingerprintText(promptText(input)));
    return this.#settle(plan, { ...base, prompt: nothing.output, origin: "text" }, repeat, (open) =>
      this.#generate(policy, plan, sampling, streamKey, open),
    );
  }

  #sample(
    policy: Policy,
    policyName: string,
    plan: CallPlan,
    base: Omit<Issued, "prompt" | "origin">,
    repeat: number,
  ): Promise<CallRecord> {
    const { agent, scope, input, tools, options } = plan;
    const prompts = this.#participants!.prompts;
    const place = { agent: agent.name, episode: this.#runtime.id, workflow: this.#runtime.workflow };
    const continued = this.#conversations.continue(policyName, policy, input, tools);
    let prompt: EncodedPrompt;
    try {
      prompt = encodePrompt(policy, prompts, input, tools, continued, place);
    } catch (error) {
      // An effect that fails, like any other: a workflow that lives with it does so in a replay too.
      const refuse = () => Promise.reject(error);
      return this.#settle(plan, { ...base, prompt: nothing.output, origin: "sampled" }, repeat, refuse);
    }
    const issued: Issued = {
      ...base,
      prompt: prompt.tokens,
      origin: "sampled",
      ...(continued === undefined ? {} : { continues: continued.call }),
    };
    const stop = options.stop ?? agent.stop;
    const streamKey = this.#streamKey(agent.name, scope.path, prompt.hash);
    return this.#settle(plan, issued, repeat, async (open) => {
      const result = await policy.sample({
        prompt: prompt.tokens,
        maxTokens: options.maxTokens ?? agent.maxTokens,
        sampling: base.sampling,
        key: streamKey,
        get signal() {
          return open.signal;
        },
        ...(stop.length === 0 ? {} : { stop }),
      });
      checkResult(issued, result, this.#runtime.id);
      const { tokens, logprobs, plainLogprobs, version, text, stopReason } = result;
      const parsed = agent.tools.length === 0 ? undefined : policy.tokenizer.parseToolCalls?.(text);
      return {
        version,
        output: tokens,
        logprobs,
        plainLogprobs,
        mask: allSampled(tokens.length),
        text,
        stopReason,
        ...(parsed === undefined || parsed.calls.length === 0
          ? {}
          : { toolCalls: parsed.calls, content: parsed.content }),
        // What looks like a tool call and is none is no answer either.
        ...(parsed === undefined || parsed.calls.length > 0 || parsed.faults.length === 0
          ? {}
          : { parse: { ok: false, reason: `a tool call that cannot be read: ${parsed.faults.join("; ")}` } }),
      };
    });
  }

  async #generate(
    policy: Exclude<AnyPolicy, Policy>,
    { agent, input, tools, options }: CallPlan,
    sampling: CallRecord["sampling"],
    streamKey: Key,
    open: EffectView,
  ): Promise<Answer> {
    const stop = options.stop ?? agent.stop;
    const result: TextResult = await policy.generate({
      messages: typeof input === "string" ? [{ role: "user", content: input }] : input,
      maxTokens: options.maxTokens ?? agent.maxTokens,
      sampling,
      key: streamKey,
      signal: open.signal,
      ...(stop.length === 0 ? {} : { stop }),
      ...(tools === undefined ? {} : { tools }),
    });
    const { text, stopReason, toolCalls, usage, cost } = result;
    return {
      ...nothing,
      version: policy.version,
      text,
      stopReason,
      usage: cost === undefined ? usage : { ...usage, cost },
      ...(toolCalls === undefined || toolCalls.length === 0 ? {} : { toolCalls }),
    };
  }

  async #settle(
    { agent, options, tools }: CallPlan,
    issued: Issued,
    repeat: number,
    answer: (open: EffectView) => Promise<Answer>,
  ): Promise<CallRecord> {
    const runtime = this.#runtime;
    this.#issued[issued.id] = issued;
    try {
      const given = await runtime.perform({
        name: callName(issued),
        seconds: runtime.deadlines.call,
        gate: runtime.gates.policy(issued.policy),
        onLate: (open) => lateCall(issued, open, runtime),
        work: answer,
        signal: options.signal,
      });
      // Several outputs of one conversation: only the one without tool calls is the agent's answer.
      const parse = given.toolCalls === undefined ? (given.parse ?? parseText(agent, given.text)) : undefined;
      const record = completeRecord(issued, given, parse, runtime.settle(), runtime.seconds());
      this.#keep(record, tools);
      runtime.journal({ kind: "call", record, repeat });
      return record;
    } catch (error) {
      throw this.#fail(issued, repeat, error, options.signal?.aborted === true);
    }
  }

  #fail(issued: Issued, repeat: number, error: unknown, cancelled: boolean): EpisodeError {
    const runtime = this.#runtime;
    const typed = error instanceof EpisodeError ? error : modelError(issued, error, runtime.id);
    const failure = failureOf(typed, { workflow: runtime.workflow, episode: runtime.id });
    const record: CallRecord = {
      ...issued,
      ...nothing,
      settled: cancelled ? -1 : runtime.settle(),
      status: cancelled ? "cancelled" : "failed",
      seconds: runtime.seconds() - issued.startedAt,
      ...(cancelled ? {} : { failure }),
    };
    this.#settled[issued.id] = record;
    if (!cancelled) runtime.journal({ kind: "call", record, repeat });
    return typed;
  }

  async #answerFromJournal(
    known: Extract<Effect, { readonly kind: "call" }>,
    issued: number,
    { agent, scope, tools, options }: CallPlan,
  ): Promise<CallRecord> {
    const runtime = this.#runtime;
    const recorded = known.record;
    const strict = runtime.recorded!.strict;
    // What happens anew afterwards counts the same request as made; in a replay nothing does.
    if (!strict) {
      const { origin, prompt } = recorded;
      const hash = origin === "text" ? fingerprintText(promptText(recorded.input)) : fingerprint(prompt);
      this.#streamKey(agent.name, scope.path, hash);
    }
    // The parser may have changed since; what the workflow sees is what it says now.
    const unreadable = agent.tools.length > 0 && recorded.parse?.ok === false;
    const reparse = recorded.parse !== undefined && agent.parse !== undefined && !unreadable;
    const parsed = reparse ? { ...recorded, parse: parseText(agent, recorded.text) } : recorded;
    const open = strict ? parsed : { ...parsed, issued };
    this.#issued[recorded.id] = open;
    // Whether an answer came before the end or after is the clock's affair: a replay takes the record's word.
    if (strict) this.#settled[recorded.id] = open;
    try {
      await runtime.turn(callName(open), known, options.signal);
    } catch (error) {
      // By the workflow's own signal, as it was.
      throw modelError(open, error, runtime.id);
    }
    const record = strict ? open : { ...open, settled: runtime.settle() };
    this.#keep(record, tools, recorded.failure);
    if (recorded.failure !== undefined) throw restoreFailure(recorded.failure);
    return record;
  }

  #keep(record: CallRecord, tools: CallPlan["tools"], failure?: EpisodeFailure): void {
    this.#settled[record.id] = record;
    if (failure !== undefined) return;
    const { usage, prompt, output } = record;
    this.#runtime.use(
      usage?.promptTokens ?? prompt.length,
      usage?.outputTokens ?? output.length,
      usage?.cost,
    );
    if (output.length === 0) return;
    this.#conversations.add({
      call: record.id,
      policy: record.policy,
      input: record.input,
      tools,
      prompt,
      output,
      text: record.text,
      answer: answerMessage(record),
    });
  }

  /** Names a stream by agent and prompt, not by order: concurrent branches draw the same numbers whoever comes first. */
  #streamKey(agent: string, scope: string, [low, high]: readonly [number, number]): Key {
    const repeat = count(this.#repeats, `${scope}\n${agent}/${low}/${high}`);
    const [k0, k1] = this.#runtime.key;
    return scope === ""
      ? key(k0, k1, agent, low, high, repeat)
      : key(k0, k1, scope, agent, low, high, repeat);
  }

  #policyOf({ name }: AnyAgent): { readonly policy: AnyPolicy; readonly policyName: string } {
    const { assignment, policies } = this.#participants ?? { assignment: new Map(), policies: new Map() };
    const assigned = assignment.get(name);
    const policy = assigned === undefined ? undefined : policies.get(assigned);
    if (assigned !== undefined && policy !== undefined) return { policy, policyName: assigned };
    throw new PromptError({
      boundary: "workflow",
      code: "E_POLICY_UNKNOWN",
      message:
        assigned === undefined
          ? `Agent "${name}" of workflow "${this.#runtime.workflow}" has no policy.`
          : `Agent "${name}" of workflow "${this.#runtime.workflow}" is assigned to policy "${assigned}", which does not exist; there are: ${[...policies.keys()].join(", ")}.`,
      hint: `add it to \`assign\`: { ${name}: "…" }.`,
    });
  }
}
