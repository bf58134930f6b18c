import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { loadTrainConfig } from "../../src/cli/command-output.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import { sparkline, table } from "../../src/cli/table.ts";
import { loadTasks } from "../../src/data/task-source.ts";
import { checkConfig } from "../../src/trainer/config.ts";
import { readRun } from "../../src/trainer/run-record.ts";
import { readTrajectory } from "../../src/workflow/trajectory-json.ts";

let folder: string;
let runs: string;
const file = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "troupe-commands-"));
  runs = file("runs");
  await writeFile(
    file("team.ts"),
    `import { agent, taskOf, workflow } from "troupe";
     const namer = agent("namer", { prompt: (v: { word: string }) => \`\${v.word} is\`, maxTokens: 1 });
     const judge = agent("judge", { prompt: (v: { name: string }) => \`\${v.name} is\`, maxTokens: 1 });
     export const team = workflow("colours", { agents: { namer, judge }, task: taskOf<{ word: string; answer: string }>() },
       async ({ task, agents, reward }) => {
         const { text } = await agents.namer({ word: task.word });
         await agents.judge({ name: text });
         reward(text === task.answer ? 1 : 0, { name: "correct" });
         reward(0.1, { name: "present" });
         return text;
       });`,
  );
  const train = (team: string) =>
    `import { grpo, jsonl, tabularPolicy, trainConfig } from "troupe";
     import { team } from "./${team}";
     const tasks = jsonl<{ word: string; answer: string }>(new URL("tasks.jsonl", import.meta.url));
     export default trainConfig({ workflow: team, tasks, evaluate: tasks,
       metrics: { correct: ({ result, task }) => (result === task.answer ? 1 : 0) },
       policies: { small: tabularPolicy({ words: ["sun", "sky", "yellow", "blue", "is"] }) },
       runsFolder: ${JSON.stringify(runs)},
       method: grpo({ groupSize: 8 }), steps: 3, tasksPerStep: 2, learningRate: 0.1, evaluateEvery: 0 });`;
  await writeFile(file("train.ts"), train("team.ts"));
  await writeFile(file("tasks.jsonl"), '{"word":"sun","answer":"yellow"}\n{"word":"sky","answer":"blue"}\n');
  const team = await readFile(file("team.ts"), "utf8");
  await writeFile(file("changed-team.ts"), team.replace(".name} is", ".name} is is"));
  await writeFile(file("changed.ts"), train("changed-team.ts"));
  await writeFile(file("renamed-team.ts"), team.replace('workflow("colours"', 'workflow("shades"'));
  await writeFile(file("renamed.ts"), train("renamed-team.ts"));
  expect((await troupe("train", file("train.ts"), "--run", "first")).code).toBe(0);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function troupe(...args: readonly string[]) {
  const written = { output: "", errors: "" };
  const listen = (stream: NodeJS.WriteStream, to: keyof typeof written) =>
    vi.spyOn(stream, "write").mockImplementation((text) => {
      written[to] += String(text);
      return true;
    });
  const spies = [listen(process.stdout, "output"), listen(process.stderr, "errors")];
  process.exitCode = undefined;
  try {
    return { code: await runCommandLine(args), ...written };
  } finally {
    process.exitCode = undefined;
    for (const spy of spies) spy.mockRestore();
  }
}

const lines = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

describe("runs", () => {
  test("one line a run, newest first, with its state", async () => {
    const { output, code } = await troupe("runs", "--runs-folder", runs);
    expect(code).toBe(0);
    expect(output).toMatch(/^run +state +step +reward +held-out +began +time\n/);
    expect(output).toMatch(/first +finished +3\/3 +\d\.\d{3} +correct \d\.\d{3} → \d\.\d{3} +20\d\d-/);
  });

  test("as JSON", async () => {
    const { output } = await troupe("runs", "--runs-folder", runs, "--json");
    expect(JSON.parse(output)).toMatchObject([
      { name: "first", state: "finished", step: 3, steps: 3, heldOut: { metric: "correct" } },
    ]);
  });

  test("a folder without runs", async () => {
    const { output, code } = await troupe("runs", "--runs-folder", file("none"));
    expect(code).toBe(0);
    expect(output).toContain("There are no runs");
    expect(JSON.parse((await troupe("runs", "--runs-folder", file("none"), "--json")).output)).toEqual([]);
  });

  test("what became of a run: killed, interrupted, failed, running; a torn last line is left out", async () => {
    const copy = async (name: string) => {
      await cp(join(runs, "first"), file(`states/${name}`), { recursive: true });
      return file(`states/${name}`);
    };
    const killed = await copy("killed");
    await rm(join(killed, "summary.json"));
    await writeFile(join(killed, "run.lock"), "999999999");
    const metrics = join(killed, "metrics.jsonl");
    await writeFile(metrics, `${await readFile(metrics, "utf8")}{"kind":"st`);
    expect(await readRun(killed)).toMatchObject({ state: "crashed", steps: { length: 3 } });
    const stopped = await copy("stopped");
    const summary = JSON.parse(await readFile(join(stopped, "summary.json"), "utf8"));
    await writeFile(join(stopped, "summary.json"), JSON.stringify({ ...summary, interrupted: true }));
    expect(await readRun(stopped)).toMatchObject({ state: "interrupted" });
    const failed = await copy("failed");
    await rm(join(failed, "summary.json"));
    expect(await readRun(failed)).toMatchObject({ state: "failed" });
    // The parent process lives as long as this test does.
    await writeFile(join(failed, "run.lock"), String(process.ppid));
    expect(await readRun(failed)).toMatchObject({ state: "running" });
    const broken = await copy("broken");
    await writeFile(join(broken, "metrics.jsonl"), 'nonsense\n{"kind":"step"}\n');
    await expect(readRun(broken)).rejects.toThrow(/metrics\.jsonl, line 1 cannot be read/);
    const { output } = await troupe("show", killed);
    expect(output).toContain("crashed, step 3 of 3");
    expect(output).toContain("The same `troupe train` command goes on");
  });
});

describe("show", () => {
  test("a run: configuration, curve, terms, evaluations, policies", async () => {
    const { output, code } = await troupe("show", "first", "--runs-folder", runs);
    expect(code).toBe(0);
    expect(output).toContain("first: finished, step 3 of 3, seed 0");
    expect(output).toContain("workflow colours: namer → small, judge → small");
    expect(output).toMatch(/reward +[▁-█]{3} /);
    expect(output).toMatch(/present: ▁▁▁ +0\.100 → 0\.100/);
    expect(output).toMatch(/held out +before training: correct 0\.\d+ \[.*\], n = 2/);
    expect(output).toContain("policy    small: 3 updates");
    const path = join(runs, "first");
    expect(JSON.parse((await troupe("show", path, "--json")).output)).toMatchObject({ state: "finished" });
  });

  test("a step with its groups, and a group with its episodes", async () => {
    const step = await troupe("show", join(runs, "first"), "--step", "2");
    expect(step.output).toMatch(/step 2: 16 complete episodes.*of 2 groups with signal/);
    expect(step.output).toMatch(/ 1 +\d\.\d{3} +\d\.\d{3}( +[01]\.\d\d){8} +\{"word"/);
    const group = await troupe("show", join(runs, "first"), "--step", "2", "--group", "1");
    expect(group.output).toContain("train/000002/001/07");
    const dry = JSON.parse((await troupe("show", join(runs, "first"), "--step", "0", "--json")).output);
    expect(dry).toMatchObject({ metrics: null, groups: [{ group: 0, episodes: { length: 8 } }] });
  });

  test("an episode: prompts, tokens, rewards, advantages, data flow", async () => {
    const id = "train/000003/000/02";
    const { output } = await troupe("show", join(runs, "first"), "--episode", id);
    expect(output).toContain(`episode ${id} of colours`);
    expect(output).toMatch(/\[call 0\] namer \(small v2, prompt 2 tokens, 1 tokens, length\)/);
    expect(output).toMatch(/> s\w+ is/);
    expect(output).toMatch(/reward [01]\.100 · advantage -?\d\.\d{3}/);
    expect(output).toMatch(/whole trajectory: [01]\.100/);
    const facts = JSON.parse((await troupe("show", join(runs, "first"), "--episode", id, "--json")).output);
    expect(facts).toMatchObject({ schema: "troupe.episode/2", id, advantages: { 0: expect.any(Number) } });
    expect(facts.edges).toEqual(expect.any(Array));
  });

  test("what is not there is said, with what is", async () => {
    const path = join(runs, "first");
    const missing = await troupe("show", "second", "--runs-folder", runs);
    expect(missing.code).toBe(2);
    expect(missing.errors).toContain(`${runs} has first.`);
    expect((await troupe("show", path, "--step", "9")).errors).toContain("has no step 9; its newest is 3");
    expect((await troupe("show", path, "--step", "1", "--group", "7")).errors).toContain("has no group 7");
    expect((await troupe("show", path, "--group", "0")).errors).toContain("--group needs --step");
    expect((await troupe("show", path, "--episode", "train/000003/000/99")).errors).toContain("no episode");
  });
});

describe("replay", () => {
  test("every recorded episode of a run is equal", async () => {
    const { output, code } = await troupe("replay", join(runs, "first"), "--file", file("train.ts"));
    expect(output).toMatch(/^60 of 60 episodes replay equal/);
    expect(code).toBe(0);
  });

  test("a changed prompt diverges: the first effect is named, the code is 1", async () => {
    const episodes = join(runs, "first", "episodes", "dry.jsonl");
    const { output, code } = await troupe("replay", episodes, "--file", file("changed.ts"));
    expect(code).toBe(1);
    expect(output).toMatch(/dry\/000000\/000\/00: diverged\n.*agent "judge"/);
    expect(output).toContain("… and 5 more diverge");
    expect(output).toContain("0 of 8 episodes replay equal");
    const json = lines((await troupe("replay", episodes, "--file", file("changed.ts"), "--json")).output);
    expect(json).toHaveLength(9);
    expect(json.at(-1)).toMatchObject({ kind: "replays", episodes: 8, equal: 0, diverged: 8 });
  });

  test("one episode, another workflow, no such episode, a torn file", async () => {
    const path = join(runs, "first");
    const one = await troupe("replay", path, "--file", file("train.ts"), "--episode", "train/000001/001/03");
    expect(one.output).toContain("train/000001/001/03: equal\n1 of 1 episodes");
    const other = await troupe("replay", path, "--file", file("renamed.ts"));
    expect(other.code).toBe(2);
    expect(other.errors).toContain('recorded by workflow "colours"');
    const none = await troupe("replay", path, "--file", file("train.ts"), "--episode", "nix");
    expect(none.code).toBe(2);
    await writeFile(file("torn.jsonl"), '{"schema":"troupe.episode/2","ca');
    const torn = await troupe("replay", file("torn.jsonl"), "--file", file("train.ts"));
    expect(torn.code).toBe(2);
    expect(torn.errors).toContain("torn.jsonl, line 1");
  });
});

describe("eval", () => {
  test("of the policies as they are, and of a run's checkpoint", async () => {
    const before = lines((await troupe("eval", file("train.ts"), "--json")).output).at(-2);
    expect(before).toMatchObject({ kind: "evaluation", n: 2, samples: 1, checkpoint: null });
    const { output, code } = await troupe("eval", file("train.ts"), "--checkpoint", join(runs, "first"));
    expect(code).toBe(0);
    expect(output).toContain("weights of");
    expect(output).toMatch(/held-out correct \d\.\d{3} \[.*\], n = 2/);
    const after = (await readRun(join(runs, "first"))).summary?.after;
    expect(output).toContain(`correct ${Number(after?.correct).toFixed(3)} [`);
  });

  test("sampled, pass@k, other tasks, episodes written for replay", async () => {
    await writeFile(file("one.jsonl"), '{"word":"sun","answer":"yellow"}\n');
    const to = file("evaluated.jsonl");
    const args = ["--tasks", file("one.jsonl"), "--sampled", "--samples", "4", "--pass-at", "1,4"];
    const { output } = await troupe("eval", file("train.ts"), ...args, "--episodes", to);
    expect(output).toMatch(/1 tasks × 4 episodes, sampled/);
    expect(output).toMatch(/pass@1 .*pass@4 .*n = 1/);
    const recorded = (await readFile(to, "utf8")).trim().split("\n").map(readTrajectory);
    expect(recorded.map(({ identity }) => identity.sample)).toEqual([0, 1, 2, 3]);
    expect((await troupe("replay", to, "--file", file("train.ts"))).output).toContain("4 of 4 episodes");
  });

  test("wrong use", async () => {
    const wrong = async (...args: string[]) => {
      const { code, errors } = await troupe("eval", file("train.ts"), ...args);
      expect(code).toBe(2);
      return errors;
    };
    expect(await wrong("--pass-at", "4")).toContain("pass@k needs at least k episodes");
    expect(await wrong("--checkpoint", file("nowhere"))).toContain("There is no checkpoint");
    expect(await wrong("--tasks", file("nix.jsonl"))).toContain("cannot be read");
    expect(await wrong("--episodes", file("no/such/folder.jsonl"))).toContain("cannot be written");
  });
});

test("train --dry reports, and writes nothing", async () => {
  const before = await readdir(runs);
  const { output, code } = await troupe("train", file("train.ts"), "--dry", "--run", "dry-only");
  expect(code).toBe(0);
  expect(output).toContain("first 2 groups: 16 of 16 episodes complete");
  expect(output).toContain("Nothing was trained or written");
  expect(await readdir(runs)).toEqual(before);
  const json = lines((await troupe("train", file("train.ts"), "--dry", "--groups", "1", "--json")).output);
  expect(json).toContainEqual(expect.objectContaining({ kind: "dry run", episodes: 8 }));
  expect((await troupe("train", file("train.ts"), "--groups", "3")).errors).toContain(
    "--groups belongs to --dry",
  );
});

describe("init", () => {
  test("writes a project whose configuration is whole", async () => {
    const target = file("New Team");
    const { output, code } = await troupe("init", target);
    expect(code).toBe(0);
    expect(output).toContain("npx troupe train train.ts");
    const manifest = JSON.parse(await readFile(join(target, "package.json"), "utf8"));
    expect(manifest).toMatchObject({
      name: "new-team",
      type: "module",
      dependencies: { troupe: expect.any(String) },
    });
    for (const name of ["README.md", "model/model.safetensors", "tasks.jsonl", "team.ts"])
      expect(existsSync(join(target, name))).toBe(true);
    const settings = checkConfig(await loadTrainConfig(join(target, "train.ts")));
    expect(settings).toMatchObject({ gradingFields: ["answer"], run: "starter" });
    expect(await loadTasks(settings.tasks, "tasks", settings.workflow.task)).toHaveLength(400);
  });

  test("refuses a folder with files, unless forced; a package.json stays", async () => {
    const target = file("mine");
    await mkdir(join(target, ".git"), { recursive: true });
    expect((await troupe("init", target)).code).toBe(0);
    await writeFile(
      join(target, "package.json"),
      JSON.stringify({ name: "own", dependencies: { other: "1" }, scripts: { lint: "x" } }),
    );
    const refused = await troupe("init", target);
    expect(refused.code).toBe(2);
    expect(refused.errors).toContain("is not empty");
    expect((await troupe("init", target, "--force", "--json")).code).toBe(0);
    expect(JSON.parse(await readFile(join(target, "package.json"), "utf8"))).toMatchObject({
      name: "own",
      scripts: { lint: "x" },
      dependencies: { other: "1", troupe: expect.any(String) },
    });
    await writeFile(file("a-file"), "");
    expect((await troupe("init", file("a-file"))).errors).toContain("is no folder");
  });
});

test("tables and curves", () => {
  expect(table(["a", "long"], [["xyz", "1"]], ["long"])).toBe("a    long\nxyz     1");
  expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7])).toBe("▁▂▃▄▅▆▇█");
  expect(sparkline([3, 3, 3])).toBe("▁▁▁");
  expect(sparkline([0, 0, 10, 10], 2)).toBe("▁█");
  expect(sparkline([])).toBe("");
});
