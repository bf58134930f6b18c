/**
 * @file `manifest.json`: what a folder that Troupe wrote must contain. Written last, so a folder with a manifest
 * is a folder that was finished, and any later change of a file shows.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "./checkpoint-error.ts";

export const manifestName = "manifest.json";

/** Raised when a reader of this version could misread what a later one wrote. */
export const manifestSchema = 1;

export interface ManifestFile {
  readonly size: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export interface Manifest {
  readonly schema: typeof manifestSchema;
  readonly files: Readonly<Record<string, ManifestFile>>;
  /** Whatever the writer wants to say of the whole: step, seed, kind. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** `undefined` where the folder has none, as a downloaded model has none. */
export async function readManifest(folder: string): Promise<Manifest | undefined> {
  const file = join(folder, manifestName);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cause;
  }
  try {
    return parseManifest(JSON.parse(text), file);
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw changed(folder, [`${manifestName} is not JSON`], cause);
  }
}

function parseManifest(json: unknown, file: string): Manifest {
  const { schema, files, facts } = (json ?? {}) as Record<string, unknown>;
  if (schema !== manifestSchema) {
    throw new CheckpointError({
      code: "E_CHECKPOINT_UNSUPPORTED",
      message: `${file} has schema ${JSON.stringify(schema)}; this version reads schema ${manifestSchema}.`,
      hint: "use the version of Troupe that wrote it.",
      facts: { file, schema },
    });
  }
  const valid =
    typeof files === "object" &&
    files !== null &&
    Object.entries(files).every(
      ([name, entry]) =>
        isPlainName(name) && typeof entry?.size === "number" && /^[0-9a-f]{64}$/.test(String(entry?.sha256)),
    );
  if (!valid) throw changed(file, ["its list of files is malformed"]);
  return {
    schema: manifestSchema,
    files: files as Manifest["files"],
    facts: (facts ?? {}) as Manifest["facts"],
  };
}

/** A file of the folder itself: no separator, no way out. */
export function isPlainName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !/[/\\\0]/.test(name);
}

/**
 * Checks that every file of the manifest is there with its size and, unless `sizesOnly`, its hash.
 * A folder without a manifest passes and gives `undefined`.
 */
export async function verifyFolder(
  folder: string,
  { sizesOnly = false }: { readonly sizesOnly?: boolean } = {},
): Promise<Manifest | undefined> {
  const manifest = await readManifest(folder);
  if (!manifest) return undefined;
  const wrong: string[] = [];
  for (const [name, wanted] of Object.entries(manifest.files)) {
    const file = join(folder, name);
    const size = await stat(file).then(
      (entry) => (entry.isFile() ? entry.size : undefined),
      () => undefined,
    );
    if (size === undefined) wrong.push(`${name} is missing`);
    else if (size !== wanted.size) wrong.push(`${name} has ${size} bytes instead of ${wanted.size}`);
    else if (!sizesOnly && (await hashFile(file)) !== wanted.sha256) wrong.push(`${name} has other contents`);
  }
  if (wrong.length > 0) throw changed(folder, wrong);
  return manifest;
}

export async function hashFile(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}

function changed(folder: string, wrong: readonly string[], cause?: unknown): CheckpointError {
  return new CheckpointError({
    code: "E_CHECKPOINT_CHANGED",
    message: `${folder} is not what was written: ${wrong.join("; ")}.`,
    hint: "go back to an earlier checkpoint, or copy this one again from where it was made.",
    cause,
    facts: { folder, wrong },
  });
}
