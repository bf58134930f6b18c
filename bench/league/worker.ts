/** @file A process that runs what it is told, a JSON line for each order, and answers with a JSON line. */

import { createInterface } from "node:readline";
import { entryNamed } from "./entries.ts";
import { type RaceOrder, race } from "./race.ts";
import { taskNamed } from "./tasks.ts";

export interface WorkerOrder extends RaceOrder {
  /** Where run folders are made. */
  readonly folder: string;
}

for await (const line of createInterface({ input: process.stdin })) {
  const { folder, ...order } = JSON.parse(line) as WorkerOrder;
  const result = await race(order, taskNamed(order.task), entryNamed(order.method), folder);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
