import type { MethodCard, MethodStage } from "../src/methods/card.ts";

export const root: string;
export function sources(options?: { readonly tracked?: boolean }): string[];
export function cardsOf(text: string): string[];
export function cardsModule(options?: { readonly tracked?: boolean }): string;
export function indexPage(
  catalog: readonly MethodCard[],
  stageTitles: Readonly<Record<MethodStage, string>>,
): string;
