/** @file Trainers that run apart: a controller and one trainer a policy, joined by a folder. See docs/apart.md. */

export type { ApartControl, ApartOptions } from "./apart-options.ts";
export { collectApart } from "./collect-apart.ts";
export { ApartError } from "./errors.ts";
export { type TrainedApart, trainApart } from "./train-apart.ts";
