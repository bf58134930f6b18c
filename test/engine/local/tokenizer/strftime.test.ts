/** @file Dates as Python's strftime writes them (values from Python 3.11). */

import { expect, test } from "vitest";
import { strftime } from "../../../../src/engine/local/tokenizer/strftime.ts";

const at = new Date(2026, 2, 5, 14, 7, 9, 42);

test.each([
  ["%d %b %Y", "05 Mar 2026"],
  ["%Y-%m-%d", "2026-03-05"],
  ["%A, %B %e, %y (%a %w)", "Thursday, March  5, 26 (Thu 4)"],
  ["%H:%M:%S.%f", "14:07:09.042000"],
  ["%I:%M %p %j", "02:07 PM 064"],
  ["%-d %-m %-H %-j", "5 3 14 64"],
  ["%F %T %R %D 100%%", "2026-03-05 14:07:09 14:07 03/05/26 100%"],
])("%s", (format, expected) => expect(strftime(at, format)).toBe(expected));

test("midnight and noon", () => {
  expect(strftime(new Date(2026, 0, 1, 0), "%I %p %j %-H")).toBe("12 AM 001 0");
  expect(strftime(new Date(2026, 11, 31, 12), "%I %p %j")).toBe("12 PM 365");
});

test("an unknown directive is an error", () => {
  expect(() => strftime(at, "%Q")).toThrow(expect.objectContaining({ code: "E_CHAT_TEMPLATE_DATE" }));
});
