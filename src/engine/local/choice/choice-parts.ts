/** @file What a choice policy is made of. */

import type { AdamWKernel } from "../model/adamw.ts";
import type { ParameterTable } from "../model/parameters.ts";
import type { FlatTensors } from "../model/weights.ts";
import type { OrtBackend } from "../ort/backend.ts";
import type { ChoiceIdentity } from "./choice-folder.ts";
import type { ChoiceSettings } from "./choice-settings.ts";
import type { Exploration } from "./exploration.ts";
import type { Network } from "./network.ts";
import type { TextStates } from "./text-states.ts";

/** CHOSEN: rows of one run of the networks; a thousand of them are a few megabytes of activations. */
export const rowsAtOnce = 512;

/** Everything that is made when a choice policy is opened. */
export interface ChoiceParts {
  readonly settings: ChoiceSettings;
  readonly identity: ChoiceIdentity;
  readonly table: ParameterTable;
  readonly weights: FlatTensors;
  readonly policy: Network;
  readonly value: Network | null;
  readonly states: TextStates;
  readonly exploration: Exploration;
  readonly backend: OrtBackend;
  /** Null where it does not train. */
  readonly kernel: AdamWKernel | null;
}
