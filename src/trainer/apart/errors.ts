/** @file Errors of trainers that run apart. */

import { TroupeError } from "../../errors.ts";

/**
 * Codes:
 * - `E_APART_SETTING` what was asked for cannot be done apart;
 * - `E_APART_OTHER_RUN` the store belongs to a run of another configuration;
 * - `E_APART_STORE_USED` the store belongs to an earlier run;
 * - `E_APART_LOCKED` another process has this place already;
 * - `E_APART_LOST` another process took this one's place;
 * - `E_APART_TIMEOUT` nobody answered in time;
 * - `E_APART_DAMAGED` what is in the store is not what was written;
 * - `E_APART_DIFFERS` a step that was repeated after a crash came out otherwise;
 * - `E_APART_GONE` the store no longer has what a process needs to go on.
 */
export class ApartError extends TroupeError {}
