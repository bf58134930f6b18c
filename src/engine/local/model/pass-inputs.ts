/** @file What every layer reads besides its own input, made once a pass from packed rows, with all indices checked. */

import type { OrtBackend, OrtTensor } from "../ort/backend.ts";
import { attentionMask } from "./attention-mask.ts";
import { BodyError } from "./body-error.ts";
import type { DecoderConfig } from "./config.ts";
import type { PackedRows } from "./packed.ts";
import { type RotaryTable, rotaryTable } from "./rotary.ts";

export class PassInputs {
  readonly #backend: OrtBackend;
  readonly #config: DecoderConfig;
  /** Grows by doubling. */
  #table: RotaryTable | null = null;

  constructor(backend: OrtBackend, config: DecoderConfig) {
    this.#backend = backend;
    this.#config = config;
  }

  /** Tensors by the names of the graphs' inputs; the caller disposes them. */
  make(packed: PackedRows): Map<string, OrtTensor> {
    checkPacked(this.#config, packed);
    const { rows, width, positions, sources, inverse } = packed;
    // int64 as two int32 words, low first: no BigInt per token. ONNX Runtime exists for little-endian machines only.
    const words = new Int32Array(rows * width * 2);
    // The rotary kernel wants a table no shorter than a row, though a row's positions start over with each sequence.
    let longest = width;
    for (let i = 0; i < positions.length; i++) {
      words[2 * i] = positions[i]!;
      longest = Math.max(longest, positions[i]! + 1);
    }
    if (this.#table === null || this.#table.length < longest) {
      this.#table = rotaryTable(this.#config.rope, 2 ** Math.ceil(Math.log2(longest)));
    }
    const { length, cosines, sines, negatedSines } = this.#table;
    const table = [length, this.#config.headSize / 2];
    const tensor = this.#backend.tensor.bind(this.#backend);
    return new Map([
      ["tokens", tensor(packed.tokens, [rows * width])],
      ["positions", tensor(new BigInt64Array(words.buffer), [rows, width])],
      ["mask", tensor(attentionMask(packed), [rows, 1, width, width])],
      ["cosines", tensor(cosines, table)],
      ["sines", tensor(sines, table)],
      ["negatedSines", tensor(negatedSines, table)],
      ["sources", tensor(sources, [sources.length])],
      ["inverse", tensor(inverse, [inverse.length])],
    ]);
  }
}

/** Gathers clamp or wrap silently; so bad indices are refused here. */
function checkPacked(config: DecoderConfig, packed: PackedRows): void {
  const { rows, width, tokens, positions, end, sources, inverse } = packed;
  const { vocabularySize, contextLength } = config;
  const size = rows * width;
  for (const [name, array] of Object.entries({ tokens, positions, end, inverse })) {
    if (array.length !== size) {
      fail("E_BODY_SHAPE", `"${name}" has ${array.length} elements, not ${rows} × ${width} = ${size}.`);
    }
  }
  if (sources.length === 0) fail("E_BODY_EMPTY", "no position is scored.");
  for (let i = 0; i < size; i++) {
    const column = i % width;
    const token = tokens[i]!;
    const position = positions[i]!;
    const until = end[i]!;
    if (token < 0 || token >= vocabularySize) {
      fail(
        "E_BODY_TOKEN",
        `token id ${token} at ${place(i, width)} is outside the vocabulary of ${vocabularySize}.`,
      );
    }
    if (position < 0 || position >= contextLength) {
      fail(
        "E_BODY_POSITION",
        `position ${position} at ${place(i, width)} is outside the model's context of ${contextLength} tokens.`,
        "shorten the prompts or the answers",
      );
    }
    if (until <= column || until > width) {
      fail(
        "E_BODY_END",
        `the subtree at ${place(i, width)} ends at column ${until}, not in ${column + 1} … ${width}.`,
      );
    }
  }
  for (let n = 0; n < sources.length; n++) {
    const at = sources[n]!;
    if (inverse[at] !== n)
      fail("E_BODY_SOURCES", `source ${n} is position ${at}, whose inverse is ${inverse[at]}.`);
  }
}

const place = (index: number, width: number): string =>
  `row ${Math.floor(index / width)}, column ${index % width}`;

function fail(code: string, what: string, hint?: string): never {
  throw new BodyError({ code, message: `Packed rows: ${what}`, ...(hint === undefined ? {} : { hint }) });
}
