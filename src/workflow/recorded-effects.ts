/**
 * @file Answers effects from a journal. Each request finds its record by scope, kind, name, argument and how often the
 * same was asked before, so that concurrent branches find theirs whatever their order; and records settle in the order
 * in which they settled when they were made, so that races end as they ended.
 */

import type { Clock } from "./clock.ts";
import { describeRequest, type Effect, type EffectRequest, keyOf, requestOf } from "./effect.ts";
import { ReplayDivergenceError } from "./errors.ts";
import type { DrawRecord } from "./trajectory.ts";

/** What to do with a request that the journal does not have. */
export type MissingEffect =
  /** A replay: everything must be in the journal. */
  | "diverges"
  /** A fork or a recovery: what is not in the journal happens anew. */
  | "happens";

/** Effects that are asked for and answered. */
export type AnsweredEffect = Exclude<Effect, { readonly kind: "draw" }>;

/** The records of one request by how often the same was asked before; those that were taken are gone. */
interface Bucket {
  readonly left: Map<number, AnsweredEffect>;
  size: number;
}

/** Milliseconds without progress after which the recorded order is given up: user code awaits something of its own. */
const patience = 20;

export class RecordedEffects {
  readonly missing: MissingEffect;
  readonly #buckets = new Map<string, Bucket>();
  readonly #draws = new Map<string, { readonly values: readonly DrawRecord[]; next: number }>();
  /** Settled entries in the order of their settling; `#next` is the first that has not settled again. */
  readonly #order: readonly AnsweredEffect[];
  readonly #ids = { call: new Set<number>(), tool: new Set<number>() };
  #next = 0;
  readonly #waiting = new Map<AnsweredEffect, () => void>();
  readonly #released = new Set<AnsweredEffect>();
  readonly #clock: Clock;
  #pumping = false;
  #disposed = false;
  /** Effects that happen anew and wait for the recorded ones. */
  readonly #later: (() => void)[] = [];
  #givenUp = false;

  /** `keep`: which of the effects are answered; all of them count. */
  constructor(
    effects: readonly Effect[],
    missing: MissingEffect,
    clock: Clock,
    keep: (effect: Effect) => boolean = () => true,
  ) {
    this.missing = missing;
    this.#clock = clock;
    const answered: AnsweredEffect[] = [];
    const draws = new Map<string, DrawRecord[]>();
    for (const effect of [...effects].sort((left, right) => left.record.issued - right.record.issued)) {
      if (effect.kind === "draw") {
        if (!keep(effect)) continue;
        const { record } = effect;
        const name = `${record.scope}\n${record.kind}`;
        const known = draws.get(name);
        if (known === undefined) draws.set(name, [record]);
        else known.push(record);
        continue;
      }
      const key = keyOf(requestOf(effect));
      const bucket = this.#buckets.get(key) ?? { left: new Map(), size: 0 };
      this.#buckets.set(key, bucket);
      const repeat = effect.repeat ?? bucket.size;
      bucket.size++;
      if (!keep(effect)) continue;
      bucket.left.set(repeat, effect);
      if (effect.kind !== "memory") this.#ids[effect.kind].add(effect.record.id);
      if (effect.record.settled >= 0) answered.push(effect);
    }
    for (const [name, values] of draws) this.#draws.set(name, { values, next: 0 });
    this.#order = answered.sort((left, right) => left.record.settled - right.record.settled);
  }

  /**
   * The record of a request, or undefined if it has to happen anew.
   * @throws ReplayDivergenceError in a replay, if the journal has no such request.
   */
  take(request: EffectRequest, repeat: number, issued: number): AnsweredEffect | undefined {
    const left = this.#buckets.get(keyOf(request))?.left;
    const effect = left?.get(repeat);
    if (left !== undefined && effect !== undefined) {
      left.delete(repeat);
      return effect;
    }
    if (this.missing === "diverges") throw this.#unknown(request, issued);
    return undefined;
  }

  /** The next recorded random number or time of a scope; undefined if there is none left. */
  draw(kind: DrawRecord["kind"], scope: string, issued: number): DrawRecord | undefined {
    const draws = this.#draws.get(`${scope}\n${kind}`);
    const found = draws?.values[draws.next];
    if (draws !== undefined && found !== undefined) {
      draws.next++;
      return found;
    }
    if (this.missing === "happens") return undefined;
    throw new ReplayDivergenceError({
      boundary: "workflow",
      code: "E_REPLAY_DIVERGED",
      message: `The replay asks for ${kind === "random" ? "a random number" : "the time"} (effect ${issued}) more often than the recorded episode did (${draws?.values.length ?? 0} times).`,
      hint: "the workflow has changed since the episode was recorded, or it depends on something outside its context.",
      facts: { effect: issued },
    });
  }

  /** Ids that recorded calls or tools have: whatever else is issued gets others. */
  ids(kind: "call" | "tool"): ReadonlySet<number> {
    return this.#ids[kind];
  }

  /** A replay gives records as they are; a fork or a recovery goes on from them, with times and an order of its own. */
  get strict(): boolean {
    return this.missing === "diverges";
  }

  /** Resolves when it is this effect's turn to settle. One that never settled stays pending. */
  turn(effect: AnsweredEffect): Promise<void> {
    return new Promise((resolve) => {
      if (effect.record.settled < 0) return;
      this.#waiting.set(effect, resolve);
      this.#pump();
    });
  }

  /** All recorded effects have settled again, or it is clear that the rest will not be asked for. */
  get exhausted(): boolean {
    return this.#givenUp || this.#disposed || this.#released.size === this.#order.length;
  }

  /** Runs `work` once the recorded effects are exhausted. */
  afterAll(work: () => void): void {
    this.#later.push(work);
    this.#pump();
  }

  /** What the journal has and nobody asked for. */
  untaken(): AnsweredEffect[] {
    return [...this.#buckets.values()].flatMap(({ left }) => [...left.values()]);
  }

  untakenDraws(): DrawRecord[] {
    return [...this.#draws.values()].flatMap(({ values, next }) => values.slice(next));
  }

  dispose(): void {
    this.#disposed = true;
  }

  #pump(): void {
    if (this.#pumping || this.#disposed) return;
    this.#pumping = true;
    // The workflow reacts to one settling before it hears of the next, as it did live: a tick that is asked for by a
    // microtask comes when no microtask is left.
    queueMicrotask(() => process.nextTick(() => this.#settleNext(this.#clock.now())));
  }

  #settleNext(since: number): void {
    this.#skipReleased();
    const next = this.#order[this.#next];
    const resolve = next === undefined ? undefined : this.#waiting.get(next);
    if (next !== undefined && resolve !== undefined) {
      this.#next++;
      this.#release(next, resolve);
      return;
    }
    const idle = this.#waiting.size === 0;
    if (this.#disposed || (idle && (this.#later.length === 0 || this.exhausted))) {
      this.#pumping = false;
      this.#runLater();
      return;
    }
    // Somebody waits, but not the one whose turn it is: it will be asked for once user code has gone on.
    if (this.#clock.now() - since < patience) {
      setImmediate(() => this.#settleNext(since));
      return;
    }
    if (idle) {
      this.#givenUp = true;
      this.#pumping = false;
      this.#runLater();
      return;
    }
    const [first] = [...this.#waiting.keys()].sort(
      (left, right) => left.record.settled - right.record.settled,
    );
    this.#release(first!, this.#waiting.get(first!)!);
  }

  #release(effect: AnsweredEffect, resolve: () => void): void {
    this.#released.add(effect);
    this.#waiting.delete(effect);
    resolve();
    this.#pumping = false;
    if (this.#waiting.size > 0 || this.#later.length > 0) this.#pump();
  }

  #runLater(): void {
    for (const work of this.#later.splice(0)) work();
  }

  #skipReleased(): void {
    while (this.#next < this.#order.length && this.#released.has(this.#order[this.#next]!)) this.#next++;
  }

  #unknown(request: EffectRequest, issued: number): ReplayDivergenceError {
    const recorded = this.untaken()
      .map(requestOf)
      .find(
        ({ scope, kind, name }) => scope === request.scope && kind === request.kind && name === request.name,
      );
    const what = `effect ${issued}, ${describeRequest(request)}`;
    return new ReplayDivergenceError({
      boundary: "workflow",
      code: "E_REPLAY_DIVERGED",
      message:
        recorded === undefined
          ? `The replay diverges at ${what}: the recorded episode made no such request${this.untaken().length === 0 ? " any more" : `; there it went on with ${describeRequest(requestOf(this.untaken()[0]!))}`}.`
          : `The replay diverges at ${what}: ${firstDifference(recorded.argument, request.argument)}`,
      hint: "the workflow has changed since the episode was recorded, or it depends on something outside its context.",
      facts: { effect: issued, scope: request.scope, name: request.name },
    });
  }
}

function firstDifference(recorded: string, now: string): string {
  let at = 0;
  while (at < recorded.length && recorded[at] === now[at]) at++;
  const excerpt = (text: string) => JSON.stringify(text.slice(Math.max(0, at - 20), at + 40));
  return `its argument differs from the recorded one at character ${at}: recorded ${excerpt(recorded)}, now ${excerpt(now)}.`;
}
