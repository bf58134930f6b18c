/** @file Errors of task loading. */

import { TroupeError } from "../errors.ts";

/** A task file cannot be read, or a line of it is wrong; the message names file and line. */
export class TaskFileError extends TroupeError {}
