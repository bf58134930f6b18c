#!/usr/bin/env node
/** @file Entry point of the `troupe` command. */

import { endWithOutput } from "./closed-pipe.ts";
import { runCommandLine } from "./program.ts";

endWithOutput(process.stdout);
process.exitCode = await runCommandLine(process.argv.slice(2));

// Whatever is still open (an engine's thread that does not end) must not keep a finished command from returning.
setTimeout(() => process.exit(), 3000).unref();
