/** @file A number among a method's settings that is out of its range, in the same words everywhere. */

import { wrongSetting } from "./errors.ts";

export interface NumberRange {
  /** The smallest that is allowed. */
  readonly least?: number;
  /** The largest that is allowed. */
  readonly most?: number;
  /** All that are allowed are above it. */
  readonly above?: number;
  /** Default false. */
  readonly integer?: boolean;
}

/** @throws MethodSettingsError E_METHOD_SETTING */
export function checkNumber(method: string, name: string, value: number, range: NumberRange = {}): void {
  const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY, integer = false } = range;
  const { above = Number.NEGATIVE_INFINITY } = range;
  const fits = integer ? Number.isInteger(value) : Number.isFinite(value);
  if (fits && value >= least && value <= most && value > above) return;
  const bounds = [
    range.above === undefined ? "" : `above ${above}`,
    range.least === undefined ? "" : `of at least ${least}`,
    range.most === undefined ? "" : `${range.least === undefined ? "of " : ""}at most ${most}`,
  ].filter((bound) => bound !== "");
  throw wrongSetting(
    method,
    name,
    value,
    [integer ? "an integer" : "a finite number", bounds.join(" and ")]
      .filter((word) => word !== "")
      .join(" "),
  );
}
