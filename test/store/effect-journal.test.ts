import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EffectJournal } from "../../src/store/effect-journal.ts";
import { TabularPolicy } from "../../src/testing/tabular-policy.ts";
import { runRecorded } from "../../src/trainer/recorded-episode.ts";
import { agent } from "../../src/workflow/agent.ts";
import type { EpisodeOptions } from "../../src/workflow/episode.ts";
import { tool } from "../../src/workflow/tool.ts";
import type { EpisodeIdentity, Trajectory } from "../../src/workflow/trajectory.ts";
import { type Workflow, workflow } from "../../src/workflow/workflow.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-journal-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const words = ["a", "b", "c", "go"];
const identity = (sample = 0, step = 3): EpisodeIdentity => ({
  purpose: "train",
  step,
  group: 1,
  task: 0,
  sample,
});

/** Counts what really happens; `stopAt` ends the process in the middle, as far as the journal can tell. */
class World {
  readonly policy = new TabularPolicy("small", { words });
  calls = 0;
  tools = 0;
  stopAt = Number.POSITIVE_INFINITY;
  readonly dead = new AbortController();

  constructor() {
    const { sample } = this.policy;
    this.policy.sample = async (request) => {
      if (this.calls === this.stopAt) return new Promise(() => setTimeout(() => this.dead.abort(), 5));
      this.calls++;
      return sample.call(this.policy, request);
    };
  }

  readonly search = tool("search", {
    description: "doubles",
    run: async ({ n }: { n: number }) => {
      this.tools++;
      return { n: n * 2, list: [0.1, 1 / 3] };
    },
  });
}

const writer = agent("writer", { prompt: (v: { text: string }) => `${v.text} go`, maxTokens: 3 });

const story = (world: World, ending: (texts: readonly string[]) => unknown = (texts) => texts) =>
  workflow(
    "story",
    { agents: { writer }, tools: { search: world.search } },
    async ({ agents, tools, reward, random, now }) => {
      const first = await agents.writer({ text: "a" });
      const found = await tools.search({ n: 2 });
      const both = await Promise.all(["b", "c"].map((text) => agents.writer({ text })));
      const last = await agents.writer({ text: random.uniform() < 0.5 ? "a a" : "b b" });
      reward(found.n + now() * 0);
      return ending([first, ...both, last].map(({ text }) => text));
    },
  );

const options = (world: World, flow: Workflow<never>, at = identity()): EpisodeOptions<unknown> => ({
  workflow: flow as unknown as Workflow<unknown>,
  task: { question: "?" },
  policies: new Map([["small", world.policy]]),
  assignment: new Map([["writer", "small"]]),
  stage: "train",
  identity: at,
  seed: 5,
  signal: world.dead.signal,
});

/** Without times, and without the order in which concurrent effects settled, which is one of time, too. */
const timeless = ({ calls, tools, seconds: _, draws, ...rest }: Trajectory) => ({
  ...rest,
  draws: draws.filter(({ kind }) => kind === "random").map(({ value }) => value),
  calls: calls.map(({ startedAt: _, seconds: __, issued: ___, settled: ____, ...call }) => call),
  tools: tools.map(({ startedAt: _, seconds: __, issued: ___, settled: ____, ...call }) => call),
});

async function attempt(name: string, stopAt: number, ending?: (texts: readonly string[]) => unknown) {
  const world = new World();
  world.stopAt = stopAt;
  const journal = new EffectJournal(join(folder, name));
  const flow = story(world, ending) as unknown as Workflow<never>;
  const trajectory = await runRecorded(journal, options(world, flow));
  await journal.flush();
  await journal.close();
  return { world, trajectory };
}

test("an episode killed after any number of calls goes on where it was, and comes out the same", async () => {
  const whole = (await attempt("whole", 99)).trajectory;
  expect(whole.status).toBe("complete");
  for (const stopAt of [0, 1, 2, 3]) {
    const broken = await attempt(`cut-${stopAt}`, stopAt);
    expect(broken.trajectory.status).toBe("cancelled");
    const { world, trajectory } = await attempt(`cut-${stopAt}`, 99);
    expect(timeless(trajectory)).toEqual(timeless(whole));
    // Only what the journal did not have was asked for again.
    expect(world.calls).toBe(4 - stopAt);
    expect(world.tools).toBe(stopAt === 0 ? 1 : 0);
    expect(trajectory.calls[0]!.logprobs).toBeInstanceOf(Float32Array);
    // And now it has all of it.
    const again = await attempt(`cut-${stopAt}`, 99);
    expect(again.world.calls + again.world.tools).toBe(0);
    expect(again.trajectory).toEqual(trajectory);
  }
});

test("killed several times, one call further each time", async () => {
  const whole = (await attempt("whole", 99)).trajectory;
  for (let i = 0; i < 4; i++) await attempt("thrice", 1);
  const { world, trajectory } = await attempt("thrice", 99);
  expect(world.calls).toBe(0);
  expect(timeless(trajectory)).toEqual(timeless(whole));
});

test("an ended episode is taken as it was, although its workflow would say something else now", async () => {
  const first = await attempt("ended", 99, () => "then");
  const second = await attempt("ended", 99, () => "now");
  expect(second.trajectory).toEqual(first.trajectory);
  expect(second.trajectory.result).toBe("then");
});

test("a result that is no JSON is made again from the recorded effects", async () => {
  const ending = () => new Map([["a", 1]]);
  await attempt("classes", 99, ending);
  const { world, trajectory } = await attempt("classes", 99, ending);
  expect(world.calls).toBe(0);
  expect(trajectory.result).toBeInstanceOf(Map);
});

test("calls of other weights are not used, and what is recorded after them is", async () => {
  await attempt("weights", 2);
  const world = new World();
  await world.policy.step({ learningRate: 0 });
  const flow = story(world) as unknown as Workflow<never>;
  for (const expected of [4, 4]) {
    const journal = new EffectJournal(join(folder, "weights"));
    const trajectory = await runRecorded(journal, options(world, flow));
    await journal.close();
    expect(trajectory.calls.map(({ version }) => version)).toEqual([1, 1, 1, 1]);
    expect(world.calls).toBe(expected);
  }
});

test("a torn end costs the last effect only; damage inside is reported", async () => {
  await attempt("torn", 3);
  const path = join(folder, "torn", "000003.log");
  const bytes = await readFile(path);
  await writeFile(path, bytes.subarray(0, bytes.length - 5));
  expect((await attempt("torn", 99)).world.calls).toBe(2);

  await attempt("damaged", 3);
  const damaged = join(folder, "damaged", "000003.log");
  const changed = await readFile(damaged);
  changed[20]! ^= 1;
  await writeFile(damaged, changed);
  const said: string[] = [];
  const world = new World();
  const journal = new EffectJournal(join(folder, "damaged"), { warn: (text) => said.push(text) });
  const trajectory = await runRecorded(journal, options(world, story(world) as unknown as Workflow<never>));
  await journal.close();
  expect(trajectory.status).toBe("complete");
  expect(said.join()).toContain("are damaged");
});

test("files up to a checkpoint's step are removed, later ones stay", async () => {
  const world = new World();
  const journal = new EffectJournal(join(folder, "steps"));
  const flow = story(world) as unknown as Workflow<never>;
  for (const step of [0, 1, 2, 3]) await runRecorded(journal, options(world, flow, identity(0, step)));
  await journal.forget(2);
  expect(await readdir(join(folder, "steps"))).toEqual(["000003.log"]);
  await journal.close();
});

test("a disk that is full is typed in `flush`, and the episode is not harmed", async () => {
  const world = new World();
  const journal = new EffectJournal(join(folder, "full"), {
    openFile: async () => ({
      writev: () => Promise.reject(Object.assign(new Error("no space"), { code: "ENOSPC" })),
      close: async () => {},
    }),
  });
  const flow = story(world) as unknown as Workflow<never>;
  expect((await runRecorded(journal, options(world, flow))).status).toBe("complete");
  await expect(journal.flush()).rejects.toMatchObject({ code: "E_STORE_WRITE" });
  await journal.close();
});
