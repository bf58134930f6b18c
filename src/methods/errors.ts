/** @file Errors of methods. */

import { TroupeError } from "../errors.ts";

/** A method was given a setting that makes no sense. */
export class MethodSettingsError extends TroupeError {}

/** The arrays of a microbatch do not fit together, or a loss is not a number. */
export class LossError extends TroupeError {}
