/** @file What a run says while it goes on: to a terminal, to a log, or as JSON lines. */

/** One training step, as shown. */
export interface StepView {
  readonly step: number;
  readonly steps: number;
  readonly reward: number;
  readonly groupsWithoutSignal: number;
  readonly groups: number;
  readonly failed: number;
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
  /** First metric of the newest evaluation. */
  readonly heldOut: { readonly name: string; readonly value: number; readonly step: number } | undefined;
}

export interface Reporter {
  /** Something worth a line of its own. */
  info(text: string): void;
  warn(text: string): void;
  step(view: StepView): void;
  /** What goes on right now; shown only where a line can be rewritten. */
  status(text: string): void;
  /** A fact for machines; people see it in another form. */
  event(facts: Readonly<Record<string, unknown>>): void;
  /** Nothing follows: leave the terminal clean. */
  close(): void;
}

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const formatRate = (rate: number) => (rate < 1000 ? rate.toFixed(0) : `${(rate / 1000).toFixed(1)}k`);

export function describeStep(view: StepView): string {
  const { step, steps, reward, groups, groupsWithoutSignal, failed, heldOut } = view;
  return [
    `step ${step}/${steps}`,
    `reward ${reward.toFixed(3)}`,
    ...(heldOut === undefined ? [] : [`held-out ${heldOut.name} ${heldOut.value.toFixed(3)}`]),
    `${formatRate(view.tokensPerSecond)} tokens/s`,
    `${formatSeconds(view.secondsLeft)} left`,
    ...(groupsWithoutSignal === 0 ? [] : [`${groupsWithoutSignal}/${groups} groups without signal`]),
    ...(failed === 0 ? [] : [`${failed} failed`]),
  ].join(" · ");
}

/** On a terminal one line that is rewritten; elsewhere a plain line for every step. */
export function consoleReporter(output: Output = process.stdout): Reporter {
  const live = output.isTTY === true && process.env.CI === undefined;
  let shown = false;
  const clear = () => {
    if (shown) output.write("\r\u001b[K");
    shown = false;
  };
  const line = (text: string) => {
    clear();
    output.write(`${text}\n`);
  };
  const rewrite = (text: string) => {
    clear();
    // A line that wraps could not be rewritten.
    output.write(text.slice(0, (output.columns ?? 120) - 1));
    shown = true;
  };
  return {
    info: line,
    warn: (text) => line(`warning: ${text}`),
    step: (view) => (live ? rewrite(describeStep(view)) : line(describeStep(view))),
    status: (text) => {
      if (live) rewrite(text);
    },
    event: () => {},
    close: () => {
      if (shown) output.write("\n");
      shown = false;
    },
  };
}

/** Every report as one JSON object a line. */
export function jsonReporter(output: Output = process.stdout): Reporter {
  const line = (facts: Readonly<Record<string, unknown>>) => output.write(`${JSON.stringify(facts)}\n`);
  return {
    info: (text) => line({ kind: "info", text }),
    warn: (text) => line({ kind: "warning", text }),
    step: (view) => line({ kind: "progress", ...view }),
    status: () => {},
    event: line,
    close: () => {},
  };
}

export const silentReporter: Reporter = {
  info: () => {},
  warn: () => {},
  step: () => {},
  status: () => {},
  event: () => {},
  close: () => {},
};
