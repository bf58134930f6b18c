/**
 * @file All methods and parts of the library by what they say of themselves. It stands above methods, rewards and search,
 * since their cards are gathered here and none of them may know the others.
 */

import { TroupeError } from "../errors.ts";
import type { MethodCard, MethodStage } from "../methods/card.ts";
import { allCards } from "./cards.ts";
import { editDistance } from "./edit-distance.ts";

/** Nothing in the catalogue has that name, or no stage is called so. */
export class CatalogError extends TroupeError {}

/** Stages in the order in which they run, a whole method first, with the heading of each. */
export const stageTitles: Readonly<Record<MethodStage, string>> = {
  method: "Whole methods",
  reward: "Rewards",
  sampler: "Samplers",
  credit: "Credit",
  advantage: "Advantages",
  "sequence weight": "Weights of sequences",
  "token weight": "Weights of tokens",
  loss: "Losses",
  regulariser: "Regularisers",
  schedule: "Schedules",
};

export const stages = Object.keys(stageTitles) as readonly MethodStage[];

/** By stage, then by name. */
export const catalog: readonly MethodCard[] = [...allCards].sort(
  (left, right) =>
    stages.indexOf(left.stage) - stages.indexOf(right.stage) || (left.name < right.name ? -1 : 1),
);

/** What a card's `use` line imports: `import { fGrpo } from "troupe/methods"` → fGrpo of troupe/methods. */
export function importOf(card: MethodCard): { readonly name: string; readonly from: string } | undefined {
  const [, name, from] = /import \{ (\w+)(?:, [\w, ]+)? \} from "(troupe(?:\/\w+)?)"/.exec(card.use) ?? [];
  return name === undefined || from === undefined ? undefined : { name, from };
}

/**
 * @param name a card's name or the name that is imported: "f-grpo" or "fGrpo"
 * @throws CatalogError E_METHOD_UNKNOWN, with the nearest names
 */
export function findCard(name: string): MethodCard {
  const wanted = name.toLowerCase();
  const found =
    catalog.find((card) => card.name === wanted) ??
    catalog.find((card) => importOf(card)?.name.toLowerCase() === wanted);
  if (found !== undefined) return found;
  const near = nearestNames(wanted);
  throw new CatalogError({
    code: "E_METHOD_UNKNOWN",
    message: `There is no method or part called "${name}".`,
    hint:
      near.length > 0
        ? `${near.map((one) => `\`troupe methods ${one}\``).join(" or ")}; \`troupe methods\` lists all.`
        : "`troupe methods` lists all.",
    facts: { name, nearest: near },
  });
}

/** At most three: names with few edits between, and names that contain it. */
function nearestNames(wanted: string): readonly string[] {
  return catalog
    .flatMap((card) => {
      const names = [card.name, importOf(card)?.name.toLowerCase() ?? card.name];
      const distance = Math.min(...names.map((name) => editDistance(wanted, name)));
      const contains = wanted.length > 2 && names.some((name) => name.includes(wanted));
      const limit = Math.max(2, Math.floor(wanted.length / 3));
      return distance <= limit || contains ? [{ name: card.name, distance: contains ? 0 : distance }] : [];
    })
    .sort((left, right) => left.distance - right.distance)
    .slice(0, 3)
    .map(({ name }) => name);
}

/** @throws CatalogError E_METHOD_STAGE */
export function cardsOfStage(stage: string): readonly MethodCard[] {
  if (stages.includes(stage as MethodStage)) return catalog.filter((card) => card.stage === stage);
  throw new CatalogError({
    code: "E_METHOD_STAGE",
    message: `There is no stage called "${stage}".`,
    hint: `stages are ${stages.map((one) => `"${one}"`).join(", ")}.`,
    facts: { stage },
  });
}
