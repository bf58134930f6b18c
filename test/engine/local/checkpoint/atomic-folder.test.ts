/** @file A folder appears whole or not at all: full disks, failing writes, and a kill at each stage. */

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { FolderStage, WritableFile } from "../../../../src/engine/local/checkpoint/atomic-folder.ts";
import {
  ModelFolder,
  recoverFolder,
  saveModelFolder,
  verifyFolder,
  writeFolder,
} from "../../../../src/engine/local/checkpoint/index.ts";
import { bits, fixture, loadModel, temporaryFolder } from "./fixtures.ts";

const everything = (folder: string) => readdirSync(folder).sort();

async function write(target: string, text: string, replace = true): Promise<void> {
  await writeFolder(target, (folder) => folder.text("a.txt", text), { replace });
}

const textOf = (target: string) => readFileSync(join(target, "a.txt"), "utf8");

describe("the plain way", () => {
  test("files, manifest, nothing else", async () => {
    const parent = temporaryFolder();
    const target = join(parent, "deep", "er", "checkpoint");
    const manifest = await writeFolder(
      target,
      async (folder) => {
        await folder.text("a.txt", "hello");
        await folder.json("b.json", { x: 1 });
        await folder.copy("c.json", fixture("models/llama/config.json"));
      },
      { facts: { step: 3 } },
    );
    expect(everything(join(parent, "deep", "er"))).toEqual(["checkpoint"]);
    expect(everything(target)).toEqual(["a.txt", "b.json", "c.json", "manifest.json"]);
    expect(manifest.files["a.txt"]).toEqual({
      size: 5,
      sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    });
    expect(await verifyFolder(target)).toEqual(manifest);
    expect(readFileSync(join(target, "c.json"))).toEqual(readFileSync(fixture("models/llama/config.json")));
  });

  test("an existing target is refused, or replaced whole", async () => {
    const target = join(temporaryFolder(), "checkpoint");
    await writeFolder(target, async (folder) => {
      await folder.text("a.txt", "old");
      await folder.text("only-in-old.txt", "");
    });
    await expect(write(target, "new", false)).rejects.toMatchObject({ code: "E_CHECKPOINT_EXISTS" });
    expect(textOf(target)).toBe("old");
    await write(target, "new");
    expect(everything(target)).toEqual(["a.txt", "manifest.json"]);
    expect(everything(join(target, ".."))).toEqual(["checkpoint"]);
  });

  test.each(["../x", "a/b", "", "..", "a\0b"])("a file cannot be called %j", async (name) => {
    const parent = temporaryFolder();
    await expect(writeFolder(join(parent, "x"), (folder) => folder.text(name, ""))).rejects.toThrow(
      RangeError,
    );
    expect(everything(parent)).toEqual([]);
  });

  test("the same name twice is a fault", async () => {
    const writing = writeFolder(join(temporaryFolder(), "x"), async (folder) => {
      await folder.text("a.txt", "1");
      await folder.text("a.txt", "2");
    });
    await expect(writing).rejects.toThrow(/cannot be the name of a new file/);
  });

  test("an error of the caller passes unchanged and leaves nothing", async () => {
    const parent = temporaryFolder();
    const writing = writeFolder(join(parent, "x"), async (folder) => {
      await folder.text("a.txt", "1");
      throw new Error("mine");
    });
    await expect(writing).rejects.toThrow(/^mine$/);
    expect(everything(parent)).toEqual([]);
  });
});

describe("a disk that fails", () => {
  /** A file system that takes `capacity` bytes in all. */
  function smallDisk(capacity: number, code = "ENOSPC"): (file: string) => Promise<WritableFile> {
    let left = capacity;
    return async (file) => {
      const handle = await open(file, "wx");
      return {
        async write(bytes) {
          if (left === 0) throw Object.assign(new Error(`${code}: write`), { code });
          // Like a real disk: takes what still fits, then fails.
          const taken = bytes.subarray(0, Math.min(left, bytes.length));
          left -= taken.length;
          return handle.write(taken);
        },
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
    };
  }

  test.each([0, 100, 5000, 60_000, 100_000, 158_000])(
    "full after %i bytes: names file and tensor, keeps the old checkpoint",
    async (capacity) => {
      const model = await loadModel(fixture("models/llama"));
      const parent = temporaryFolder();
      const target = join(parent, "checkpoint");
      await saveModelFolder(target, model);
      const before = bits(model.flat).slice();
      const changed = { ...model, flat: model.flat.map((value) => value * 2) };
      const saving = saveModelFolder(target, changed, { replace: true, openFile: smallDisk(capacity) });
      await expect(saving).rejects.toMatchObject({ code: "E_CHECKPOINT_WRITE", facts: { reason: "ENOSPC" } });
      await expect(saving).rejects.toThrow(
        capacity < 1000
          ? /checkpoint\/config\.json could not be written: the disk is full/
          : /checkpoint\/model\.safetensors could not be written: the disk is full \(ENOSPC, (tensor "[a-z_.0-9]+"|the header), after [\d.]+ k?B\)\. What was there before is unchanged/,
      );
      expect(everything(parent)).toEqual(["checkpoint"]);
      expect(bits((await loadModel(target)).flat)).toEqual(before);
    },
  );

  test("a failing flush is a failed save", async () => {
    const parent = temporaryFolder();
    const writing = writeFolder(join(parent, "x"), (folder) => folder.text("a.txt", "1"), {
      openFile: async (file) => {
        const handle = await open(file, "wx");
        return {
          write: (bytes) => handle.write(bytes),
          sync: async () => {
            throw Object.assign(new Error("EIO: fsync"), { code: "EIO" });
          },
          close: () => handle.close(),
        };
      },
    });
    await expect(writing).rejects.toThrow(
      /a\.txt could not be written: the disk reported an error \(EIO, after 1 B\)/,
    );
    expect(everything(parent)).toEqual([]);
  });

  test("a parent that is a file", async () => {
    const parent = join(temporaryFolder(), "file");
    writeFileSync(parent, "");
    await expect(write(join(parent, "x"), "1")).rejects.toMatchObject({ code: "E_CHECKPOINT_WRITE" });
  });

  const mounted: string[] = [];
  afterEach(() => {
    for (const folder of mounted.splice(0)) execFileSync("umount", [folder]);
  });

  /** A real file system of 192 kB, where this user may mount one. */
  function tinyDisk(): string | undefined {
    const folder = temporaryFolder();
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=192k", "tmpfs", folder]);
    if (mount.status !== 0) return undefined;
    mounted.push(folder);
    return folder;
  }

  test("a real full file system", async (context) => {
    const disk = tinyDisk();
    if (disk === undefined)
      return context.skip("this user may not mount a tmpfs; the injected disk above stands in");
    const model = await loadModel(fixture("models/llama"));
    const target = join(disk, "checkpoint");
    await saveModelFolder(target, model, { format: "BF16" });
    const kept = bits((await loadModel(target)).flat).slice();
    const saving = saveModelFolder(target, model, { replace: true });
    await expect(saving).rejects.toThrow(
      /model\.safetensors could not be written: the disk is full \(ENOSPC, tensor "/,
    );
    expect(everything(disk)).toEqual(["checkpoint"]);
    expect(bits((await loadModel(target)).flat)).toEqual(kept);
  });
});

describe("a process that is killed", () => {
  const script = fixture("../engine/local/checkpoint/killed-writer.ts");

  function killedAt(stage: FolderStage | "in-file", target: string): void {
    const child = spawnSync(process.execPath, ["--import", "jiti/register", script, target, stage], {
      encoding: "utf8",
    });
    expect(child.signal, child.stderr).toBe("SIGKILL");
  }

  test.each([
    ["begun", "old"],
    ["in-file", "old"],
    ["written", "old"],
    ["sealed", "old"],
    ["moved-aside", "old"],
    ["in-place", "new"],
  ] as const)("at %s: the target is the %s one, and the next save cleans up", async (stage, expected) => {
    const parent = temporaryFolder();
    const target = join(parent, "checkpoint");
    await write(target, "old");
    killedAt(stage, target);
    await recoverFolder(target);
    await verifyFolder(target);
    expect(textOf(target)).toBe(expected);
    await write(target, "next");
    expect(everything(parent)).toEqual(["checkpoint"]);
    expect(textOf(target)).toBe("next");
  });

  test("a reader finds the old checkpoint after a kill between the two renames", async () => {
    const parent = temporaryFolder();
    const target = join(parent, "checkpoint");
    await saveModelFolder(target, await loadModel(fixture("models/llama")));
    killedAt("moved-aside", target);
    expect(everything(parent)).not.toContain("checkpoint");
    const model = await ModelFolder.open(target);
    await model.close();
    expect(everything(parent)).toContain("checkpoint");
  });

  test("with no earlier checkpoint nothing is there", async () => {
    const parent = temporaryFolder();
    const target = join(parent, "checkpoint");
    killedAt("sealed", target);
    await recoverFolder(target);
    expect(everything(parent).filter((name) => !name.startsWith(".tmp-checkpoint-"))).toEqual([]);
  });
});

describe("what others left", () => {
  const host = hostname().replaceAll(/[^A-Za-z0-9]/g, "_");
  /** No process has this number: it is above Linux's limit. */
  const nobody = 2 ** 22 + 1;

  test("temporary folders of dead writers of this target go; those of living ones and of others stay", async () => {
    const parent = temporaryFolder();
    const names = {
      dead: `.tmp-checkpoint-${host}-${nobody}-00000000`,
      alive: `.tmp-checkpoint-${host}-${process.ppid}-00000000`,
      elsewhere: `.tmp-checkpoint-other_host-${nobody}-00000000`,
      otherTarget: `.tmp-checkpoint-2-${host}-${nobody}-00000000`,
      notOurs: ".tmp-checkpoint-backup",
    };
    for (const name of Object.values(names)) mkdirSync(join(parent, name));
    await write(join(parent, "checkpoint"), "1");
    const { dead, ...kept } = names;
    expect(everything(parent)).toEqual([...Object.values(kept), "checkpoint"].sort());
    expect(dead).toMatch(/^\.tmp-/);
  });

  test("an old folder is put back only if its target is missing", async () => {
    const parent = temporaryFolder();
    const target = join(parent, "checkpoint");
    await write(target, "newer");
    await write(join(parent, "aside"), "older");
    renameSync(join(parent, "aside"), join(parent, `.old-checkpoint-${host}-${nobody}-00000000`));
    utimesSync(parent, new Date(), new Date());
    await recoverFolder(target);
    expect(textOf(target)).toBe("newer");
  });
});
