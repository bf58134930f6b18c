/** @file Where in an episode something happens: the workflow itself, or one of the child workflows that it spawned. */

export interface Scope {
  /** "" for the episode's own workflow; "research#0/check#1" for a child of its first child. */
  readonly path: string;
  readonly workflow: string;
  /** 0 for the episode's own workflow. */
  readonly depth: number;
}

/** `before`: how many children there were of this path, less the number. Names that differ in slashes alone share one. */
export function childScope(
  { path, depth }: Scope,
  workflow: string,
  before: (unnumbered: string) => number,
): Scope {
  const own = workflow.replace(/[/#\n]/g, "-");
  const unnumbered = path === "" ? own : `${path}/${own}`;
  return { path: `${unnumbered}#${before(unnumbered)}`, workflow, depth: depth + 1 };
}
