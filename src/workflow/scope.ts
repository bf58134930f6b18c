/** @file Where in an episode something happens: the workflow itself, or one of the child workflows that it spawned. */

export interface Scope {
  /** "" for the episode's own workflow; "research#0/check#1" for a child of its first child. */
  readonly path: string;
  readonly workflow: string;
  /** 0 for the episode's own workflow. */
  readonly depth: number;
}

export function childScope({ path, depth }: Scope, workflow: string, occurrence: number): Scope {
  const own = `${workflow.replace(/[/#\n]/g, "-")}#${occurrence}`;
  return { path: path === "" ? own : `${path}/${own}`, workflow, depth: depth + 1 };
}
