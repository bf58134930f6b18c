/** @file Errors of the sandbox itself. What goes wrong inside a program is data, not an error. */

import { TroupeError } from "../../errors.ts";

export class SandboxError extends TroupeError {}
