/**
 * @file What the effects of one episode share: their order, their deadlines, the way they are stopped, the limits of the
 * episode and what has been recorded so far. No effect is a timer or a listener of its own: thousands of episodes run at
 * once in one process.
 */

import type { Key } from "../random/stream.ts";
import type { Stage } from "./agent.ts";
import type { Clock } from "./clock.ts";
import type { Effect, EffectRequest } from "./effect.ts";
import { count } from "./effect-ids.ts";
import { EpisodeError, LimitError } from "./errors.ts";
import type { Gates } from "./gate.ts";
import { type EffectPlan, OpenEffect, type OpenView } from "./open-effect.ts";
import { fingerprintText } from "./prompt-cache.ts";
import type { AnsweredEffect, RecordedEffects } from "./recorded-effects.ts";
import type { DrawRecord } from "./trajectory.ts";

/** Seconds; Infinity switches one off. */
export interface Deadlines {
  /** One model call, waiting included. Default 300. */
  readonly call?: number;
  /** One tool call. Default 60. */
  readonly tool?: number;
  /** The whole episode. Default 900. */
  readonly episode?: number;
}

/** How far one episode may go; passing a limit is an error at the effect that passes it. */
export interface EpisodeLimits {
  /** Model calls, children included. Default 512. */
  readonly calls?: number;
  /** Sampled tokens, over all calls. Default: no limit. */
  readonly tokens?: number;
  /** Levels of child workflows. Default 8. */
  readonly depth?: number;
  /** Of the whole episode; the run's deadline holds as well, if it is shorter. Default: no limit. */
  readonly seconds?: number;
}

export const defaultDeadlines: Required<Deadlines> = { call: 300, tool: 60, episode: 900 };
export const defaultLimits: Required<EpisodeLimits> = {
  calls: 512,
  tokens: Number.POSITIVE_INFINITY,
  depth: 8,
  seconds: Number.POSITIVE_INFINITY,
};

const deliveriesInARow = 64;
const mostRefusals = 1000;

/** What an episode has used so far. */
export interface Meter {
  readonly calls: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
  readonly seconds: number;
  /** US dollars, of policies that report them. */
  readonly cost: number;
}

export interface RuntimeOptions {
  readonly id: string;
  readonly workflow: string;
  readonly stage: Stage;
  readonly key: Key;
  readonly clock: Clock;
  readonly deadlines: Required<Deadlines>;
  readonly limits: Required<EpisodeLimits>;
  readonly gates: Gates;
  readonly recorded: RecordedEffects | undefined;
  readonly onEffect: ((effect: Effect) => void) | undefined;
}

export class EpisodeRuntime {
  readonly id: string;
  readonly workflow: string;
  readonly stage: Stage;
  /** Names the episode's random streams. */
  readonly key: Key;
  readonly clock: Clock;
  readonly deadlines: Required<Deadlines>;
  readonly limits: Required<EpisodeLimits>;
  readonly gates: Gates;
  readonly recorded: RecordedEffects | undefined;
  readonly draws: DrawRecord[] = [];
  /** The first failure that no `catch` of the workflow may hide: a bad reward, a replay that diverges. */
  fatal: EpisodeError | undefined;
  /** Ends the episode; set while its workflow runs. */
  onGiveUp: ((error: EpisodeError) => void) | undefined;
  readonly #began: number;
  readonly #onEffect: ((effect: Effect) => void) | undefined;
  readonly #open = new Set<OpenView>();
  readonly #asked = new Map<string, number>();
  #controller: AbortController | undefined;
  #stopReason: unknown;
  #stopped = false;
  readonly #deliveries: (() => void)[] = [];
  #delivering = false;
  #delivered = 0;
  #refusals = 0;
  #refusedAt = -1;
  #events = 0;
  #calls = 0;
  #promptTokens = 0;
  #outputTokens = 0;
  #cost = 0;

  constructor(options: RuntimeOptions) {
    this.id = options.id;
    this.workflow = options.workflow;
    this.stage = options.stage;
    this.key = options.key;
    this.clock = options.clock;
    const { deadlines, limits } = options;
    this.deadlines = { ...deadlines, episode: Math.min(deadlines.episode, limits.seconds) };
    this.limits = options.limits;
    this.gates = options.gates;
    this.recorded = options.recorded;
    this.#onEffect = options.onEffect;
    this.#began = options.clock.now();
  }

  /** Seconds since the episode began. */
  seconds(): number {
    return (this.clock.now() - this.#began) / 1000;
  }

  /** Aborts when the episode is late, stopped or over. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#stopped) this.#controller.abort(this.#stopReason);
    }
    return this.#controller.signal;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Effects issued and settled so far: a watchdog sees whether it grows. */
  get progress(): number {
    return this.#events;
  }

  open(): readonly OpenView[] {
    return [...this.#open];
  }

  /** One count for issues and settlements, so that it shows what was known when something was asked. */
  issue(): number {
    return this.#events++;
  }

  settle(): number {
    return this.#events++;
  }

  /** A settled effect goes to the run's journal. */
  journal(effect: Effect): void {
    this.#onEffect?.(effect);
  }

  meter(): Meter {
    return {
      calls: this.#calls,
      promptTokens: this.#promptTokens,
      outputTokens: this.#outputTokens,
      seconds: this.seconds(),
      cost: this.#cost,
    };
  }

  use(promptTokens: number, outputTokens: number, cost = 0): void {
    this.#promptTokens += promptTokens;
    this.#outputTokens += outputTokens;
    this.#cost += cost;
  }

  /** @throws LimitError if the episode may not make another call. */
  countCall(agent: string): void {
    const { calls, tokens } = this.limits;
    if (this.#calls >= calls)
      throw this.#beyond("calls", calls, `agent "${agent}" would be call ${this.#calls}`);
    if (this.#outputTokens >= tokens)
      throw this.#beyond("tokens", tokens, `${this.#outputTokens} were sampled before agent "${agent}"`);
    this.#calls++;
  }

  countDepth(depth: number, child: string): void {
    if (depth > this.limits.depth)
      throw this.#beyond("depth", this.limits.depth, `child workflow "${child}"`);
  }

  #beyond(limit: keyof EpisodeLimits, value: number, what: string): LimitError {
    return new LimitError({
      boundary: "workflow",
      code: "E_EPISODE_LIMIT",
      message: `Episode ${this.id} of workflow "${this.workflow}" reached its limit of ${value} ${limit}: ${what}.`,
      hint: `look for a loop that does not end, or raise \`limits.${limit}\`.`,
      facts: { limit, value },
    });
  }

  /** Stops all that is open, and whatever is asked for later. */
  stop(reason: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stopReason = reason;
    this.#controller?.abort(reason);
    this.recorded?.dispose();
    for (const open of [...this.#open]) open.abandon(reason);
  }

  /** What an effect gives back that is asked for after its episode was stopped: nothing, ever. */
  afterStop(): Promise<never> {
    return new Promise(() => {});
  }

  /**
   * An agent, a tool or a child was refused with this error. Refused again and again without any effect in between, a
   * workflow that tries again would hold up the whole process: no timer and no other episode gets its turn.
   */
  refused(error: unknown): void {
    if (this.#refusedAt !== this.#events) this.#refusals = 0;
    this.#refusedAt = this.#events;
    if (++this.#refusals >= mostRefusals && error instanceof EpisodeError) this.giveUp(error);
  }

  /** Ends the episode at once with a failure that no `catch` of the workflow may hide. */
  giveUp(error: EpisodeError): void {
    this.fatal ??= error;
    this.onGiveUp?.(error);
  }

  /** Runs one effect behind its gate and under its deadline. It stays pending when its episode stops or ends before. */
  perform<T>(plan: EffectPlan<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const open = new OpenEffect<T>(this, plan, resolve, reject);
      this.#open.add(open);
      open.start();
    });
  }

  /**
   * How often the same was asked before, and the record that the journal has of it. Counted only where a journal is
   * written or read.
   *
   * @throws ReplayDivergenceError in a replay, if the journal has no such request.
   */
  ask(
    request: EffectRequest,
    issued: number,
  ): { readonly repeat: number; readonly known: AnsweredEffect | undefined } {
    if (this.recorded === undefined && this.#onEffect === undefined) return { repeat: 0, known: undefined };
    const { scope, kind, name, argument } = request;
    // Live by fingerprint: prompts are long, and many episodes are in flight. A replay holds the texts anyway.
    const named = this.recorded === undefined ? fingerprintText(argument).join() : argument;
    const repeat = count(this.#asked, `${scope}\n${kind}\n${name}\n${named}`);
    return { repeat, known: this.recorded?.take(request, repeat, issued) };
  }

  /**
   * Waits for the turn of an effect that is answered from the journal; stopped with the episode, never late. One that the
   * workflow stopped by its own signal is stopped so again.
   */
  turn(name: string, known: AnsweredEffect, signal?: AbortSignal): Promise<void> {
    return this.perform({
      name,
      seconds: Number.POSITIVE_INFINITY,
      gate: undefined,
      onLate: () => new Error("what is recorded has no deadline"),
      work: () => this.recorded!.turn(known),
      fromJournal: true,
      signal: known.record.settled < 0 ? signal : undefined,
    });
  }

  /**
   * @internal Settles one effect at a time, in the order of arrival, and lets the workflow react to each before it hears
   * of the next: a tick that is asked for by a microtask comes when no microtask is left. A replay settles effects in the
   * same way, so what user code sees does not depend on how many promises lie between.
   */
  deliver(settle: () => void, fromJournal: boolean): void {
    const { recorded } = this;
    if (recorded?.strict === true) {
      settle();
      return;
    }
    // What happens anew settles after all that had settled before.
    if (!fromJournal && recorded?.exhausted === false) {
      recorded.afterAll(() => this.deliver(settle, true));
      return;
    }
    this.#deliveries.push(settle);
    if (this.#delivering) return;
    this.#delivering = true;
    this.#scheduleDelivery();
  }

  #scheduleDelivery(): void {
    // A loop over effects that are there at once must let timers and other episodes have their turn.
    if (++this.#delivered % deliveriesInARow === 0) setImmediate(this.#deliverNext);
    else queueMicrotask(this.#nextTick);
  }

  readonly #nextTick = (): void => process.nextTick(this.#deliverNext);

  readonly #deliverNext = (): void => {
    this.#deliveries.shift()?.();
    if (this.#deliveries.length === 0) this.#delivering = false;
    else this.#scheduleDelivery();
  };

  /** @internal An effect of this episode has settled. */
  closed(effect: OpenView): void {
    this.#open.delete(effect);
  }
}
