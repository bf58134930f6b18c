/** @file What a run's loop works with, in one process or apart. */

import type { EpisodeRunner } from "./groups.ts";
import type { OpenPolicies } from "./policies.ts";
import type { RunProgress } from "./progress.ts";
import type { Reporter } from "./reporter.ts";
import type { RunFolder } from "./run-folder.ts";
import type { RunSaver } from "./save-run.ts";

export interface LoopParts<Task> {
  readonly runner: EpisodeRunner<Task>;
  readonly policies: OpenPolicies;
  readonly folder: RunFolder;
  readonly progress: RunProgress;
  readonly saver: RunSaver;
  readonly reporter: Reporter;
  readonly tasks: readonly Task[];
  readonly heldOut: readonly Task[];
  /** Steps that an earlier attempt has taken; their results are in the policies and in `progress`. */
  readonly stepsDone: number;
}
