/** @file The reward terms that a workflow gives while it runs. A bad term fails the episode even if its error is caught. */

import type { AgentCalls } from "./agent-calls.ts";
import { RewardError } from "./errors.ts";
import type { EpisodeRuntime } from "./runtime.ts";
import type { Scope } from "./scope.ts";
import type { RewardRecord } from "./trajectory.ts";
import type { AgentMap, RewardOptions } from "./workflow.ts";

export class RewardLedger {
  readonly terms: RewardRecord[] = [];
  readonly #runtime: EpisodeRuntime;
  readonly #calls: AgentCalls;

  constructor(runtime: EpisodeRuntime, calls: AgentCalls) {
    this.#runtime = runtime;
    this.#calls = calls;
  }

  give(scope: Scope, agents: AgentMap, value: number, options: RewardOptions = {}): void {
    const { name = "reward", agent, call } = options;
    if (this.#runtime.stopped) return;
    const term = `reward "${name}" of episode ${this.#runtime.id} in workflow "${scope.workflow}"`;
    if (typeof value !== "number" || !Number.isFinite(value)) {
      throw this.#refuse(
        "E_REWARD_NOT_FINITE",
        `The ${term} is ${typeof value === "number" ? value : `a ${typeof value}`}, not a finite number.`,
        "check the scoring function for divisions by zero and for missing answers; await it if it is async.",
      );
    }
    if (agent !== undefined && !Object.values(agents).some((known) => known.name === agent)) {
      throw this.#refuse(
        "E_REWARD_PLACE",
        `The ${term} is for agent "${agent}", but the workflow's agents are ${Object.values(agents)
          .map((known) => known.name)
          .join(", ")}.`,
        "use the name that was given to agent(…).",
      );
    }
    if (call !== undefined && !this.#calls.has(call, scope.path)) {
      throw this.#refuse(
        "E_REWARD_PLACE",
        `The ${term} is for call ${call}, which ${scope.path === "" ? "this episode" : `child workflow ${scope.path}`} has not made.`,
        "pass `reply.call` of a reply of the same workflow.",
      );
    }
    this.terms.push({
      name,
      value,
      ...(agent === undefined ? {} : { agent }),
      ...(call === undefined ? {} : { call }),
      ...(scope.path === "" ? {} : { scope: scope.path }),
    });
  }

  #refuse(code: string, message: string, hint: string): RewardError {
    const error = new RewardError({ boundary: "reward", code, message, hint });
    this.#runtime.fatal ??= error;
    return error;
  }
}
