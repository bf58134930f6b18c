/** @file What goes wrong between a batch and an update. */

import { TroupeError } from "../../../errors.ts";

export class TrainingError extends TroupeError {}
