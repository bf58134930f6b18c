/** @file Python's `strftime` for the directives that chat templates use, in local time and English (the C locale). */

import { ChatTemplateError } from "./errors.ts";

const months = "January February March April May June July August September October November December".split(
  " ",
);
const days = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split(" ");
const padded = (value: number, length = 2): string => String(value).padStart(length, "0");

const directives: Readonly<Record<string, (at: Date) => string>> = {
  Y: (at) => String(at.getFullYear()),
  y: (at) => padded(at.getFullYear() % 100),
  m: (at) => padded(at.getMonth() + 1),
  B: (at) => months[at.getMonth()]!,
  b: (at) => months[at.getMonth()]!.slice(0, 3),
  d: (at) => padded(at.getDate()),
  e: (at) => String(at.getDate()).padStart(2),
  A: (at) => days[at.getDay()]!,
  a: (at) => days[at.getDay()]!.slice(0, 3),
  w: (at) => String(at.getDay()),
  H: (at) => padded(at.getHours()),
  I: (at) => padded(at.getHours() % 12 || 12),
  p: (at) => (at.getHours() < 12 ? "AM" : "PM"),
  M: (at) => padded(at.getMinutes()),
  S: (at) => padded(at.getSeconds()),
  f: (at) => padded(at.getMilliseconds() * 1000, 6),
  j: (at) =>
    padded(
      Math.round(
        (Date.UTC(at.getFullYear(), at.getMonth(), at.getDate()) - Date.UTC(at.getFullYear(), 0, 1)) /
          86_400_000,
      ) + 1,
      3,
    ),
  F: (at) => strftime(at, "%Y-%m-%d"),
  T: (at) => strftime(at, "%H:%M:%S"),
  R: (at) => strftime(at, "%H:%M"),
  D: (at) => strftime(at, "%m/%d/%y"),
  "%": () => "%",
};

/** `%-d` (no padding) is known, as on Linux. */
export function strftime(at: Date, format: string): string {
  return format.replace(/%(-?)([A-Za-z%])/g, (directive, unpadded: string, letter: string) => {
    const render = directives[letter];
    if (!render) {
      throw new ChatTemplateError({
        code: "E_CHAT_TEMPLATE_DATE",
        message: `The chat template formats the date with ${JSON.stringify(directive)}, which is not supported.`,
        hint: `use one of %${Object.keys(directives).join(" %")} in the template.`,
      });
    }
    return unpadded === "" ? render(at) : render(at).replace(/^[0 ]+(?=.)/, "");
  });
}
