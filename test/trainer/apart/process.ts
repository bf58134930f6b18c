/**
 * @file One process of the run that is trained apart: `node --import jiti/register process.ts <folder> [policy]`; without a
 * policy it is the controller. Updates take a little time, so that kills land inside.
 */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { PolicySpec } from "../../../src/engine/policy-spec.ts";
import { type TabularPolicy, tabularPolicy } from "../../../src/testing/tabular-policy.ts";
import { collectApart, trainApart } from "../../../src/trainer/apart/index.ts";
import { silentReporter } from "../../../src/trainer/reporter.ts";
import { words } from "../toy-team.ts";
import { apartRun } from "./apart-run.ts";

const [folder = "apart", policy] = process.argv.slice(2);

function slow(spec: PolicySpec<TabularPolicy>): PolicySpec<TabularPolicy> {
  return {
    ...spec,
    open: async (context) => {
      const opened = await spec.open(context);
      const { step } = opened;
      opened.step = async (options) => {
        await sleep(20);
        return step.call(opened, options);
      };
      return opened;
    },
  };
}

const options = {
  ...apartRun(folder, {
    policies: { first: slow(tabularPolicy({ words })), second: slow(tabularPolicy({ words })) },
  }),
  store: join(folder, "store"),
};
const control = {
  reporter: { ...silentReporter, info: console.log, warn: console.log },
  beat: 0.1,
  timeout: 60,
};
if (policy === undefined) await collectApart(options, control);
else await trainApart({ ...options, policy }, control);
