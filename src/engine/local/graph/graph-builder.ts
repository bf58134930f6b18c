/**
 * @file Builds ONNX models in memory: named inputs, constants, nodes and outputs, then `build()` to bytes.
 * Field numbers follow onnx.proto3 (IR version 10, opset 21) plus the `com.microsoft` domain, version 1.
 * It knows no shapes and no gradients; those are the tape's.
 */

import { ProtobufWriter } from "./protobuf.ts";

export type DataType = "float32" | "int32" | "int64" | "bool";

/** TensorProto.DataType */
const dataTypeCode: Record<DataType, number> = { float32: 1, int32: 6, int64: 7, bool: 9 };

/** A symbolic dimension is named by a string; equal names must have equal sizes in one run. */
export type Dimension = number | string;

/** A tensor inside a graph under construction. */
export interface Value {
  readonly name: string;
  readonly type: DataType;
}

/** ONNX tells ints from floats by the attribute's declared type, so a float that happens to be whole must say so. */
export class FloatAttribute {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}
export const float = (value: number): FloatAttribute => new FloatAttribute(value);

export type Attribute = number | FloatAttribute | string | readonly number[];

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Default: the ONNX domain. */
  readonly domain?: "" | "com.microsoft";
  /** Data type of each output; default: that of the first input. Its length is the number of outputs (default 1). */
  readonly types?: readonly DataType[];
}

export type ConstantData = Float32Array | Int32Array | BigInt64Array;

interface NodeRecord {
  readonly type: string;
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly string[];
  readonly options: NodeOptions;
}

export class GraphBuilder {
  readonly inputNames: string[] = [];
  readonly outputNames: string[] = [];
  readonly #nodes: NodeRecord[] = [];
  /** Names of values that nodes made. */
  readonly #made = new Set<string>();
  /** Outputs that go by another name than their node gave them. */
  readonly #renamed = new Map<string, string>();
  readonly #interface = new ProtobufWriter();
  readonly #initializers = new ProtobufWriter();
  readonly #constants = new Map<string, Value>();
  #counter = 0;

  input(name: string, type: DataType, dimensions: readonly Dimension[]): Value {
    this.inputNames.push(name);
    this.#interface.messageField(11, (w) => writeValueInfo(w, name, type, dimensions));
    return { name, type };
  }

  /**
   * Marks a value as an output under `name`. The node that makes it writes it under that name: an Identity node would
   * copy it, and is used only where there is no such node (inputs, constants) or it has a name already.
   */
  output(value: Value, dimensions: readonly Dimension[], name = value.name): void {
    if (name !== value.name) {
      const free = !this.#renamed.has(value.name) && !this.outputNames.includes(value.name);
      if (free && this.#made.has(value.name)) this.#renamed.set(value.name, name);
      else this.#nodes.push({ type: "Identity", inputs: [value], outputs: [name], options: {} });
    }
    this.outputNames.push(name);
    this.#interface.messageField(12, (w) => writeValueInfo(w, name, value.type, dimensions));
  }

  /** Equal constants are stored once. */
  constant(data: ConstantData, dimensions: readonly number[]): Value {
    const type: DataType =
      data instanceof Float32Array ? "float32" : data instanceof Int32Array ? "int32" : "int64";
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const identity = `${type}[${dimensions}]${bytes.byteLength > 256 ? this.#counter : bytes}`;
    const known = this.#constants.get(identity);
    if (known) return known;
    const value: Value = { name: this.#fresh("c"), type };
    this.#initializers.messageField(5, (w) => {
      for (const d of dimensions) w.varintField(1, d);
      w.varintField(2, dataTypeCode[type]);
      w.stringField(8, value.name);
      w.bytesField(9, bytes);
    });
    this.#constants.set(identity, value);
    return value;
  }

  scalar(value: number): Value {
    return this.constant(Float32Array.of(value), []);
  }

  int64s(values: readonly number[]): Value {
    return this.constant(BigInt64Array.from(values, BigInt), [values.length]);
  }

  /** Adds a node with one output. `null` leaves an optional input out. */
  op(type: string, inputs: readonly (Value | null)[], options: NodeOptions = {}): Value {
    return this.ops(type, inputs, options)[0]!;
  }

  /** Adds a node with as many outputs as `options.types` names. */
  ops(type: string, inputs: readonly (Value | null)[], options: NodeOptions = {}): Value[] {
    const types = options.types ?? [inputs.find((v) => v !== null)?.type ?? "float32"];
    const outputs = types.map((t): Value => ({ name: this.#fresh(type), type: t }));
    const names = outputs.map((o) => o.name);
    for (const name of names) this.#made.add(name);
    this.#nodes.push({ type, inputs, outputs: names, options });
    return outputs;
  }

  build(): Uint8Array {
    const model = new ProtobufWriter();
    const nodes = new ProtobufWriter();
    for (const node of this.#nodes) this.#writeNode(nodes, node);
    model.varintField(1, 10);
    model.stringField(2, "troupe");
    model.messageField(7, (graph) => {
      const parts = [nodes, this.#initializers, this.#interface];
      graph.stringField(2, "troupe");
      graph.append(...parts.map((p) => p.bytes()));
    });
    for (const [domain, version] of [
      ["", 21],
      ["com.microsoft", 1],
    ] as const) {
      model.messageField(8, (w) => {
        w.stringField(1, domain);
        w.varintField(2, version);
      });
    }
    return model.bytes().slice();
  }

  #fresh(prefix: string): string {
    return `${prefix}_${this.#counter++}`;
  }

  #writeNode(writer: ProtobufWriter, { type, inputs, outputs, options }: NodeRecord): void {
    const named = (name: string): string => this.#renamed.get(name) ?? name;
    writer.messageField(1, (node) => {
      for (const value of inputs) node.stringField(1, value ? named(value.name) : "");
      for (const name of outputs) node.stringField(2, named(name));
      node.stringField(3, `${type}:${outputs[0]}`);
      node.stringField(4, type);
      for (const [name, attribute] of Object.entries(options.attributes ?? {})) {
        node.messageField(5, (w) => writeAttribute(w, name, attribute));
      }
      if (options.domain) node.stringField(7, options.domain);
    });
  }
}

function writeValueInfo(
  writer: ProtobufWriter,
  name: string,
  type: DataType,
  dimensions: readonly Dimension[],
): void {
  writer.stringField(1, name);
  writer.messageField(2, (typeProto) =>
    typeProto.messageField(1, (tensor) => {
      tensor.varintField(1, dataTypeCode[type]);
      tensor.messageField(2, (shape) => {
        for (const dimension of dimensions) {
          shape.messageField(1, (w) =>
            typeof dimension === "number" ? w.varintField(1, dimension) : w.stringField(2, dimension),
          );
        }
      });
    }),
  );
}

/** AttributeProto: f=2, i=3, s=4, ints=8; type=20 with FLOAT=1, INT=2, STRING=3, INTS=7. */
function writeAttribute(writer: ProtobufWriter, name: string, attribute: Attribute): void {
  writer.stringField(1, name);
  if (typeof attribute === "number") {
    writer.varintField(3, attribute);
    writer.varintField(20, 2);
  } else if (attribute instanceof FloatAttribute) {
    writer.floatField(2, attribute.value);
    writer.varintField(20, 1);
  } else if (typeof attribute === "string") {
    writer.stringField(4, attribute);
    writer.varintField(20, 3);
  } else {
    for (const i of attribute) writer.varintField(8, i);
    writer.varintField(20, 7);
  }
}
