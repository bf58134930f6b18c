/** @file Errors of training runs. */

import { TroupeError } from "../errors.ts";

/** The configuration of a run is wrong; thrown before anything is spent. */
export class TrainConfigError extends TroupeError {}

/** The run folder cannot be used. */
export class RunFolderError extends TroupeError {}

/** A run was stopped because what it would do next is worthless: too many failures, stale samples. */
export class RunStoppedError extends TroupeError {}
