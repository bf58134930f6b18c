/** @file Errors of the decoder's body. */

import { TroupeError } from "../../../errors.ts";

export class BodyError extends TroupeError {}
