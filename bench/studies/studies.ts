/** @file The studies by name. Each is loaded when it is asked for. */

import type { Study } from "./study.ts";

const files: Readonly<Record<string, () => Promise<{ readonly study: Study }>>> = {
  hacpo: () => import("./hacpo.ts"),
  mars2: () => import("./mars2.ts"),
  recommend: () => import("./recommend.ts"),
  research: () => import("./research.ts"),
  "tree-grpo": () => import("./tree-grpo.ts"),
};

/** @throws Error naming the studies there are. */
export async function studyNamed(name: string): Promise<Study> {
  const load = files[name];
  if (load === undefined)
    throw new Error(`There is no study "${name}"; there are ${Object.keys(files).join(", ")}.`);
  return (await load()).study;
}
