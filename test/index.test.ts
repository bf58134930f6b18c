import { expect, test } from "vitest";
import * as troupe from "../src/index.ts";
import * as methods from "../src/methods/index.ts";

test("the public surface changes only on purpose", () => {
  expect(Object.keys(troupe).sort()).toMatchInlineSnapshot(`
    [
      "AgentReply",
      "DeadlineError",
      "EpisodeError",
      "ModelCallError",
      "ParseError",
      "PromptError",
      "RewardError",
      "RunFolderError",
      "RunStoppedError",
      "Stream",
      "ToolError",
      "TrainConfigError",
      "TroupeError",
      "WorkflowDefinitionError",
      "agent",
      "consoleReporter",
      "describeEpisode",
      "dryRun",
      "evaluatePolicies",
      "exactMatch",
      "grpo",
      "isTrainable",
      "jsonReporter",
      "jsonl",
      "key",
      "runEpisode",
      "scriptedPolicy",
      "silentReporter",
      "stream",
      "tabularPolicy",
      "taskOf",
      "tokenF1",
      "tool",
      "train",
      "trainConfig",
      "trajectoryReward",
      "workflow",
    ]
  `);
  expect(Object.keys(methods).sort()).toMatchInlineSnapshot(`
    [
      "LossError",
      "MethodSettingsError",
      "groupCredit",
      "grpo",
      "normalise",
      "spreadOf",
    ]
  `);
});
