/** @file Intervals of evaluations. They are searches' too, which know nothing of runs. */

export { bootstrapIntervals, type Interval } from "../random/bootstrap.ts";
