/**
 * @file AB-MCTS: at every node a bandit chooses between widening (GEN: a new child here) and deepening (CONT: descend
 * into a child). Several participants grow one tree; a second bandit chooses who.
 *
 * Sources: Inoue et al., "Wider or Deeper?" (arXiv 2503.04412); the multi-participant form of MARS² (arXiv 2602.07848
 * and 2604.14564) as its public code has it. Of a node p with children c, values r and everything below them:
 *   GEN(p)   has seen r of each child
 *   CONT(p)  has seen r of everything below the children (a new child never updates its own parent's CONT)
 *   arm of c has seen r of c and of everything below it
 * The default posterior is Beta since rewards there are 0 or 1 (the public default is Gaussian; which one made the
 * published numbers is UNVERIFIED).
 */

import type { Stream } from "../random/stream.ts";
import { SearchError } from "./errors.ts";
import { type Moments, merged, noMoments } from "./moments.ts";
import { beta, type Posterior } from "./posterior.ts";
import type { Choice, SearchPlan } from "./search.ts";
import { root, type TreeView } from "./tree.ts";

export interface ParticipantAction {
  /** Who makes the node: a policy, a team, a prompt; the expansion function knows. */
  readonly participant: string;
}

/** How a participant is chosen. Closed; the names in parentheses are those of the public code. */
export type ParticipantStrategy =
  /** Node first; then a Thompson draw over each one's rewards in the whole tree. (`multiarm_bandit_thompson`) */
  | "thompson"
  /**
   * Node first; then mean + √2·√(ln N / n), who was not tried yet comes first. A try that failed or is pending is a try
   * without a reward, or else one whose engine is down would be chosen for ever. (`multiarm_bandit_ucb`)
   */
  | "ucb"
  /** Participant first, at every node; then its own GEN or CONT there, then its own children. (`stack`) */
  | "stack";

/** What a pending node counts for while it is pending. Closed. */
export type PendingTreatment =
  /** Nothing: the draws differ by themselves (Kandasamy et al., "Parallelised Thompson Sampling", AISTATS 2018). */
  | "ignore"
  /** One more reward of the arm's own mean: narrows the belief, moves it nowhere. */
  | "mean"
  /** One more reward of 0, a virtual loss. */
  | "loss";

export interface AbMctsOptions {
  /** Budget of the tree; a failed node counts. */
  readonly nodes: number;
  readonly participants: readonly string[];
  /** Default `beta()` with Jeffreys' prior. */
  readonly posterior?: Posterior;
  /** Default "thompson". */
  readonly strategy?: ParticipantStrategy;
  /** "mean" puts the posterior's mean in place of each draw: no randomness at all. Default "sample". */
  readonly estimate?: "sample" | "mean";
  /** Default "ignore". CHOSEN. */
  readonly pending?: PendingTreatment;
  /** Factor on GEN's draw; see `depthPenalty`. Default: none. */
  readonly genWeight?: GenWeight;
}

/**
 * @param depth of the child that GEN would make: 1 under the root.
 * @param generated nodes that this depth has already.
 */
export type GenWeight = (depth: number, generated: number) => number;

/**
 * γ(d)^{c_d}, the depth-guided penalty of MARTI-MARS2-T+. The schedule γ(d) and the meaning of c are UNVERIFIED: "about
 * .98 where shallow, falling with depth". Here c counts the nodes at the depth of the child to be made, and γ is .98
 * everywhere unless a function is given.
 */
export function depthPenalty(gamma: number | ((depth: number) => number) = 0.98): GenWeight {
  return (depth, generated) => (typeof gamma === "number" ? gamma : gamma(depth)) ** generated;
}

/** Selection for `search`. */
export function abMcts<State>(options: AbMctsOptions): SearchPlan<State, ParticipantAction> {
  const { nodes, participants } = options;
  if (participants.length === 0 || new Set(participants).size < participants.length) {
    throw new SearchError({
      code: "E_SEARCH_OPTION",
      message: `abMcts() was given the participants ${JSON.stringify(participants)}; it needs at least one, each once.`,
    });
  }
  return { nodes, select: (tree, { random }) => new Selection(tree, options, random).choose() };
}

/** What an arm has seen, and how many of its nodes are pending. */
interface Arm {
  readonly seen: Moments;
  readonly pending: number;
}

const noArm: Arm = { seen: noMoments, pending: 0 };

function both(left: Arm, right: Arm): Arm {
  if (right === noArm) return left;
  return { seen: merged(left.seen, right.seen), pending: left.pending + right.pending };
}

/** One walk from the root to where the tree grows. */
class Selection {
  readonly #tree: TreeView<unknown, ParticipantAction>;
  readonly #options: AbMctsOptions;
  readonly #posterior: Posterior;
  readonly #random: Stream;
  #widths: number[] | undefined;

  constructor(tree: TreeView<unknown, ParticipantAction>, options: AbMctsOptions, random: Stream) {
    this.#tree = tree;
    this.#options = options;
    this.#posterior = options.posterior ?? beta();
    this.#random = random;
  }

  choose(): Choice<ParticipantAction> {
    const stacked = this.#options.strategy === "stack";
    let parent = root;
    for (;;) {
      const participant = stacked ? this.#stackedParticipant(parent) : undefined;
      const children = this.#tree.children(parent).filter((child) => this.#made(child, participant));
      const open = children.filter((child) => this.#tree.nodes[child]!.status === "complete");
      // Without a child to descend into there is no choice to make.
      if (open.length === 0 || this.#widens(parent, children)) {
        return { parent, action: { participant: participant ?? this.#participant() } };
      }
      parent = this.#best(open, (child) => this.#estimate(this.#armOf(child)));
    }
  }

  #made(child: number, participant: string | undefined): boolean {
    return participant === undefined || this.#tree.nodes[child]!.action.participant === participant;
  }

  /** A tie goes to GEN, which is listed first. */
  #widens(parent: number, children: readonly number[]): boolean {
    const { genWeight } = this.#options;
    const gen = children.reduce((arm, child) => both(arm, this.#own(child)), noArm);
    const cont = children.reduce((arm, child) => both(arm, this.#below(child)), noArm);
    const depth = (this.#tree.nodes[parent]?.depth ?? 0) + 1;
    const weight = genWeight === undefined ? 1 : genWeight(depth, this.#width(depth));
    return this.#estimate(gen) * weight >= this.#estimate(cont);
  }

  #participant(): string {
    const { participants, strategy } = this.#options;
    if (participants.length === 1) return participants[0]!;
    const arms = new Map<string, Arm>(participants.map((name) => [name, noArm]));
    const tries = new Map<string, number>();
    for (const { index, action } of this.#tree.nodes) {
      const { participant } = action;
      const known = arms.get(participant);
      if (known === undefined) continue;
      arms.set(participant, both(known, this.#own(index)));
      tries.set(participant, (tries.get(participant) ?? 0) + 1);
    }
    if (strategy !== "ucb") return this.#best(participants, (name) => this.#estimate(arms.get(name)!));
    const total = [...tries.values()].reduce((sum, count) => sum + count, 0);
    return this.#best(participants, (name) => {
      const count = tries.get(name) ?? 0;
      if (count === 0) return Number.POSITIVE_INFINITY;
      // Tried, but nothing has come back: the prior's mean stands in.
      const { seen } = arms.get(name)!;
      const mean = seen.count === 0 ? this.#posterior.mean(noMoments) : seen.mean;
      return mean + Math.SQRT2 * Math.sqrt(Math.log(total) / count);
    });
  }

  /** Among participants at one node, by what each one's children there and everything below them were worth. */
  #stackedParticipant(parent: number): string {
    const { participants } = this.#options;
    if (participants.length === 1) return participants[0]!;
    const children = this.#tree.children(parent);
    return this.#best(participants, (name) =>
      this.#estimate(
        children
          .filter((child) => this.#made(child, name))
          .reduce((arm, child) => both(arm, this.#armOf(child)), noArm),
      ),
    );
  }

  #own(index: number): Arm {
    const node = this.#tree.nodes[index]!;
    if (node.status === "pending") return { seen: noMoments, pending: 1 };
    if (node.status === "failed") return noArm;
    this.#posterior.check(node.value, index);
    return { seen: { count: 1, mean: node.value, squares: 0 }, pending: 0 };
  }

  #below(index: number): Arm {
    const seen = this.#tree.below(index);
    const pending = this.#tree.pendingBelow(index);
    return seen.count === 0 && pending === 0 ? noArm : { seen, pending };
  }

  #armOf(index: number): Arm {
    return both(this.#own(index), this.#below(index));
  }

  #estimate({ seen, pending }: Arm): number {
    const { estimate = "sample", pending: treatment = "ignore" } = this.#options;
    const counted = treatment === "ignore" ? 0 : pending;
    const assumed =
      counted === 0
        ? seen
        : merged(seen, {
            count: counted,
            mean: treatment === "loss" ? 0 : this.#posterior.mean(seen),
            squares: 0,
          });
    return estimate === "mean"
      ? this.#posterior.mean(assumed)
      : this.#posterior.sample(assumed, this.#random);
  }

  /** The first of the best: each is valued once, in order. */
  #best<T extends string | number>(items: readonly T[], worth: (item: T) => number): T {
    let best = items[0]!;
    if (items.length === 1) return best;
    let highest = Number.NEGATIVE_INFINITY;
    for (const item of items) {
      const value = worth(item);
      if (value > highest) {
        highest = value;
        best = item;
      }
    }
    return best;
  }

  #width(depth: number): number {
    if (this.#widths === undefined) {
      this.#widths = [];
      for (const node of this.#tree.nodes) this.#widths[node.depth] = (this.#widths[node.depth] ?? 0) + 1;
    }
    return this.#widths[depth] ?? 0;
  }
}
