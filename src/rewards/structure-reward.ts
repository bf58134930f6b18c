/**
 * @file RL-Struct: how well an output keeps to a structure, R = Σ w r / Σ w over valid (it parses), structure (share of the
 * required keys), format (fence and style), correct (F1 against the reference) and length (within a band). Syntax weighs
 * most, so that it is learnt first and meaning second.
 * Source: RL-Struct (arXiv 2512.00319). Read through notes; its weights were not found. CHOSEN: all weights; JSON; format is one
 * fence around everything; correct is the F1 of the leaves; length is in characters.
 */

import type { MethodCard } from "../methods/card.ts";
import type { UntypedTask } from "../workflow/workflow.ts";
import { leafF1 } from "./leaf-f1.ts";
import { resultText } from "./result-text.ts";
import type { FinishedEpisode, RewardTerm } from "./reward.ts";
import { checkFinite, wrongRewardSetting } from "./setting.ts";
import { perEpisode } from "./terms.ts";

const defaults = { valid: 1, structure: 1, format: 0.5, correct: 1, length: 0.2 } as const;

/** Each in [0, 1]; what is absent is not asked, and its weight is not counted. */
export type StructureParts = { readonly [part in keyof typeof defaults]?: number };

/**
 * Weighted mean.
 * @param weights Default: valid 1, structure 1, format 0.5, correct 1, length 0.2 (CHOSEN)
 * @throws RewardDefinitionError if a weight is negative, or none of what is there has weight
 */
export function structureReward(parts: StructureParts, weights: StructureParts = {}): number {
  const all = { ...defaults, ...weights };
  checkFinite("A structure reward", "a weight", Object.values(all));
  let total = 0;
  let weight = 0;
  for (const part of partNames) {
    const value = parts[part];
    if (all[part] < 0)
      throw wrongRewardSetting("A structure reward", `weight of ${part}`, all[part], "at least 0");
    if (value === undefined) continue;
    checkFinite("A structure reward", part, [value]);
    total += all[part] * value;
    weight += all[part];
  }
  if (weight === 0) throw wrongRewardSetting("A structure reward", "total weight", weight, "above 0");
  return total / weight;
}

const partNames = Object.keys(defaults) as readonly (keyof typeof defaults)[];

export interface StructureRules {
  /** Keys that the outermost object must have. */
  readonly required: readonly string[];
  /** Fence and style rule. Default: the whole text is one fence of Markdown that says json. */
  readonly isWellFormed?: (text: string) => boolean;
  /** What it should say; absent: not asked. */
  readonly reference?: unknown;
  /** Characters of the text, both ends in it; absent: not asked. */
  readonly length?: readonly [least: number, most: number];
}

/** What one text keeps to. A text that does not parse has 0 in structure and correct. */
export function structureParts(
  text: string,
  { required, isWellFormed = isOneFence, reference, length }: StructureRules,
): StructureParts {
  const parsed = parsedJson(text);
  const keys = typeof parsed?.value === "object" && parsed.value !== null ? Object.keys(parsed.value) : [];
  const present = required.filter((key) => keys.includes(key)).length;
  const share = required.length === 0 ? 1 : present / required.length;
  return {
    valid: parsed === undefined ? 0 : 1,
    structure: parsed === undefined ? 0 : share,
    format: isWellFormed(text) ? 1 : 0,
    ...(reference === undefined
      ? {}
      : { correct: parsed === undefined ? 0 : leafF1(parsed.value, reference) }),
    ...(length === undefined ? {} : { length: text.length >= length[0] && text.length <= length[1] ? 1 : 0 }),
  };
}

const fence = /^\s*```(?:json)?\s*\n([\s\S]*?)\n?```\s*$/u;
const isOneFence = (text: string) => /^\s*```json\s*\n[\s\S]*\n```\s*$/u.test(text);

function parsedJson(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(fence.exec(text)?.[1] ?? text) };
  } catch {
    return undefined;
  }
}

export interface StructuredOptions<Task> extends Omit<StructureRules, "reference"> {
  /** Default: the result, if it is a text. */
  readonly text?: (episode: FinishedEpisode<Task>) => string;
  readonly reference?: (episode: FinishedEpisode<Task>) => unknown;
  readonly weights?: StructureParts;
}

/**
 * One reward an episode; its parts are logged as `<name>.valid` and so on.
 * @throws RewardDefinitionError
 *
 * @example
 * const reward = structured<Task>("card", { required: ["title", "year"], reference: ({ task }) => task.card, length: [20, 400] });
 */
export function structured<Task = UntypedTask>(
  name: string,
  { text = resultText, reference, weights = {}, ...rules }: StructuredOptions<NoInfer<Task>>,
): RewardTerm<Task> {
  structureReward({ valid: 0, structure: 0, format: 0 }, weights);
  return perEpisode<Task>(name, async (episode) => {
    const wanted = reference?.(episode);
    if (reference !== undefined && wanted === undefined)
      throw new TypeError("`reference` returned undefined: there is nothing to compare with");
    const parts = structureParts(text(episode), {
      ...rules,
      ...(wanted === undefined ? {} : { reference: wanted }),
    });
    return {
      rewards: [
        { name, value: structureReward(parts, weights) },
        ...Object.entries(parts).map(([part, value]) => ({
          name: `${name}.${part}`,
          value,
          logged: true as const,
        })),
      ],
    };
  });
}

export const structureRewardCard: MethodCard = {
  name: "structure-reward",
  title: "Structure reward (RL-Struct)",
  stage: "reward",
  line: "pays output step by step for parsing, having its keys, its form, its content and its length",
  use: 'import { structured } from "troupe/rewards"',
  formula: ["R = Σ w r / Σ w over valid, structure, format, correct, length"],
  defaults: {
    weights: { value: defaults, source: "CHOSEN: the paper's were not found" },
  },
  source: "RL-Struct, arXiv 2512.00319",
  notes: ["CHOSEN: JSON; F1 of leaves; characters."],
};
