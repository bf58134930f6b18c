/** @file What the checks of methods throw. */

import { TroupeError } from "../errors.ts";

/** A method broke a rule that all methods keep; the message says where. */
export class MethodCheckError extends TroupeError {}
