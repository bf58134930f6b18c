import { appendFile, mkdtemp, open, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AppendFile, FramedLog, readFrames } from "../../src/store/framed-log.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-log-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let number = 0;
const write = async (payloads: readonly Uint8Array[]) => {
  const path = join(folder, `${number++}.log`);
  const { log } = await FramedLog.open(path);
  for (const payload of payloads) log.append(payload);
  await log.flush();
  await log.close();
  return path;
};
const payloads = fc.array(fc.uint8Array({ minLength: 1, maxLength: 200 }), { maxLength: 12 });
const plain = (list: readonly Uint8Array[]) => list.map((payload) => [...payload]);

test("what is appended is read back, over several openings", async () => {
  await fc.assert(
    fc.asyncProperty(payloads, payloads, async (first, second) => {
      const path = await write(first);
      const { log, read } = await FramedLog.open(path);
      expect(plain(read.payloads)).toEqual(plain(first));
      for (const payload of second) log.append(payload);
      await log.close();
      const { payloads: all, damaged } = readFrames(await readFile(path));
      expect(plain(all)).toEqual(plain([...first, ...second]));
      expect(damaged).toEqual([]);
    }),
    { numRuns: 30 },
  );
});

test("cut at any byte, the whole frames before it are there and the log goes on", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { minLength: 1, maxLength: 6 }),
      fc.nat(),
      async (list, at) => {
        const path = await write(list);
        const { length } = await readFile(path);
        const cut = at % length;
        await truncate(path, cut);
        let end = 0;
        const whole = list.filter((payload) => {
          end += 8 + payload.length;
          return end <= cut;
        });
        const { log, read } = await FramedLog.open(path);
        expect(plain(read.payloads)).toEqual(plain(whole));
        expect(read.damaged).toEqual([]);
        log.append(Uint8Array.of(7));
        await log.close();
        expect(plain(readFrames(await readFile(path)).payloads)).toEqual([...plain(whole), [7]]);
      },
    ),
    { numRuns: 60 },
  );
});

test("a changed byte loses its own frame only, and is reported unless it looks like a torn end", async () => {
  const list = [10, 20, 30].map((size) => new Uint8Array(size).fill(size));
  const path = await write(list);
  const bytes = await readFile(path);
  const ends = [18, 46, 84];
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 0x41;
    const { payloads: read, damaged, end } = readFrames(changed);
    const hit = ends.findIndex((frameEnd) => at < frameEnd);
    expect(plain(read), `byte ${at}`).toEqual(plain(list.filter((_, i) => i !== hit)));
    expect(damaged).toHaveLength(hit === 2 ? 0 : 1);
    expect(end).toBe(hit === 2 ? ends[1] : ends[2]);
  }
});

test("zeros behind the end, as a loss of power leaves them, are no frames", async () => {
  const path = await write([Uint8Array.of(1, 2, 3)]);
  await appendFile(path, Buffer.alloc(4096));
  const { log, read } = await FramedLog.open(path);
  await log.close();
  expect(plain(read.payloads)).toEqual([[1, 2, 3]]);
  expect((await readFile(path)).length).toBe(11);
});

test("one turn of the event loop makes one write, of more buffers than the system takes at once", async () => {
  const path = join(folder, "batched.log");
  let writes = 0;
  const counted = async (file: string): Promise<AppendFile> => {
    const handle = await open(file, "a");
    return {
      writev: (async (buffers: Uint8Array[]) => {
        writes++;
        return handle.writev(buffers);
      }) as AppendFile["writev"],
      close: () => handle.close(),
    };
  };
  const { log } = await FramedLog.open(path, counted);
  for (let i = 0; i < 5; i++) log.append(Uint8Array.of(i));
  expect(writes).toBe(0);
  await log.flush();
  expect(writes).toBe(1);
  for (let i = 0; i < 2000; i++) log.append(Uint8Array.of(1));
  await log.close();
  expect(readFrames(await readFile(path)).payloads).toHaveLength(2005);
});

test("writes that take less than they were given are gone on with", async () => {
  const path = join(folder, "short.log");
  const short = async (file: string): Promise<AppendFile> => {
    const handle = await open(file, "a");
    return {
      writev: (async (buffers: Uint8Array[]) => {
        const { bytesWritten } = await handle.write(buffers[0]!.subarray(0, 3));
        return { bytesWritten, buffers };
      }) as AppendFile["writev"],
      close: () => handle.close(),
    };
  };
  const { log } = await FramedLog.open(path, short);
  const list = [Uint8Array.of(1, 2, 3, 4, 5), Uint8Array.of(9, 8, 7, 6)];
  for (const payload of list) log.append(payload);
  await log.close();
  expect(plain(readFrames(await readFile(path)).payloads)).toEqual(plain(list));
});

test("a full disk is typed, shows at the next flush, and stays", async () => {
  const path = join(folder, "full.log");
  const full = async (): Promise<AppendFile> => ({
    writev: (() =>
      Promise.reject(Object.assign(new Error("no space"), { code: "ENOSPC" }))) as AppendFile["writev"],
    close: async () => {},
  });
  const { log } = await FramedLog.open(path, full);
  log.append(Uint8Array.of(1));
  await expect(log.flush()).rejects.toMatchObject({ code: "E_STORE_WRITE", facts: { reason: "ENOSPC" } });
  log.append(Uint8Array.of(2));
  await expect(log.flush()).rejects.toThrow(/full\.log could not be written: the disk is full/);
  await log.close();
});

test("a folder in the place of the file is typed", async () => {
  await expect(FramedLog.open(folder)).rejects.toMatchObject({ code: "E_STORE_READ" });
  await writeFile(join(folder, "file"), "");
  await expect(FramedLog.open(join(folder, "file", "log"))).rejects.toMatchObject({ name: "StoreError" });
});
