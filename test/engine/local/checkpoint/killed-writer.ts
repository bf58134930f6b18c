/** @file Replaces a folder and dies, without warning, at the stage that it is told. Run by atomic-folder.test.ts. */

import { type FolderStage, writeFolder } from "../../../../src/engine/local/checkpoint/atomic-folder.ts";

const [target, stage] = process.argv.slice(2) as [string, FolderStage | "in-file"];
const die = (): void => {
  process.kill(process.pid, "SIGKILL");
};

await writeFolder(
  target,
  async (folder) => {
    await folder.text("a.txt", "new");
    await folder.file("b.bin", async (sink) => {
      await sink.write(new Uint8Array(100_000));
      if (stage === "in-file") die();
      await sink.write(new Uint8Array(100_000));
    });
  },
  {
    replace: true,
    onStage: (passed) => {
      if (passed === stage) die();
    },
  },
);
