/**
 * @file Makes the publishable tarball in `build/`.
 *
 * onnxruntime-node ships the kernel library for every platform inside its own package, and beside that an install
 * step that downloads CUDA libraries and fails where its server is out of reach. Users of Troupe must meet neither,
 * so the tarball bundles the package without that step (MIT licence, kept beside it). `npm install troupe` then runs
 * no script of ours or of a dependency's that it needs.
 */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const stage = join(root, "build", "package");
const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const write = (path, value) => writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);

execFileSync("npm", ["run", "build"], { cwd: root, stdio: "inherit" });
rmSync(stage, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });

const manifest = read(join(root, "package.json"));
for (const entry of [...manifest.files, "README.md", "LICENSE"]) {
  cpSync(join(root, entry), join(stage, entry), { recursive: true });
}

const bundled = ["onnxruntime-node", "onnxruntime-common"];
for (const name of bundled) {
  const from = join(root, "node_modules", name);
  const to = join(stage, "node_modules", name);
  // `.pdb` and the duplicate of the macOS library are not loaded by anything.
  cpSync(from, to, {
    recursive: true,
    filter: (path) => !/\.(map|pdb)$|libonnxruntime\.1\.30\.0\.dylib$|[/\\]script([/\\]|$)/.test(path),
  });
  const { scripts: _, devDependencies: __, ...rest } = read(join(from, "package.json"));
  const dependencies = name === "onnxruntime-node" ? { "onnxruntime-common": rest.version } : {};
  write(join(to, "package.json"), { ...rest, dependencies });
}

const { devDependencies: _, scripts: __, ...published } = manifest;
write(join(stage, "package.json"), {
  ...published,
  dependencies: { ...manifest.dependencies, "onnxruntime-common": manifest.dependencies["onnxruntime-node"] },
  bundleDependencies: bundled,
});

execFileSync("npm", ["pack", "--pack-destination", join(root, "build")], { cwd: stage, stdio: "inherit" });
