/**
 * @file Which step's episodes are in flight. With staleness 0 the episodes of a step begin when the step before has
 * updated the weights: strictly on-policy. With staleness s the episodes of up to s further steps are under way
 * meanwhile, so that sampling and updating overlap and one slow episode does not stop everything.
 *
 * Admission paces it: episodes of step k begin once step k − s is reached, and a step is trained on all its episodes, in
 * order. So nothing is thrown away for being late, slow tasks are not starved, and no call is older than s updates:
 * it was sampled by version k − 1 − s or newer, and is trained on at version k − 1. After: Fu et al., "AReaL" (arXiv
 * 2505.24298), §5.1, where the bound is on admission as well.
 */

export interface SamplingAheadOptions<Groups> {
  /** Updates that a call may lag behind the weights it trains. 0: strictly on-policy. */
  readonly staleness: number;
  /** The last step. */
  readonly steps: number;
  readonly sample: (step: number) => Promise<Groups>;
}

export class SamplingAhead<Groups> {
  readonly #options: SamplingAheadOptions<Groups>;
  readonly #inFlight = new Map<number, Promise<Groups>>();
  #admitted: number;

  /** `first`: the step to begin with; more than 1 in a run that is continued. */
  constructor(options: SamplingAheadOptions<Groups>, first = 1) {
    this.#options = options;
    this.#admitted = first - 1;
  }

  /** The groups of a step, once all its episodes have ended; begins those of later steps that may begin now. */
  take(step: number): Promise<Groups> {
    const { staleness, steps, sample } = this.#options;
    while (this.#admitted < Math.min(step + staleness, steps)) {
      const next = ++this.#admitted;
      const groups = sample(next);
      // It is awaited when its step comes; until then a failure is nobody's unhandled rejection.
      groups.catch(() => {});
      this.#inFlight.set(next, groups);
    }
    const groups = this.#inFlight.get(step);
    if (groups === undefined)
      throw new RangeError(`Step ${step} was taken already, or is beyond step ${steps}.`);
    this.#inFlight.delete(step);
    return groups;
  }

  /** Waits for everything in flight, whatever comes of it: for a run that ends early. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#inFlight.values());
  }
}
