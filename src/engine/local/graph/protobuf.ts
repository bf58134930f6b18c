/** @file The few protobuf wire forms that an ONNX ModelProto needs. Wire format: protobuf encoding guide. */

const text = new TextEncoder();

/** Grows by doubling; `bytes()` is a view, valid until the next write. */
export class ProtobufWriter {
  #buffer = new Uint8Array(1024);
  #length = 0;

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  varintField(field: number, value: number | bigint): void {
    this.#varint(BigInt(field << 3));
    this.#varint(BigInt.asUintN(64, BigInt(value)));
  }

  floatField(field: number, value: number): void {
    this.#varint(BigInt((field << 3) | 5));
    this.#raw(new Uint8Array(new Float32Array([value]).buffer));
  }

  bytesField(field: number, value: Uint8Array): void {
    this.#varint(BigInt((field << 3) | 2));
    this.#varint(BigInt(value.byteLength));
    this.#raw(value);
  }

  stringField(field: number, value: string): void {
    this.bytesField(field, text.encode(value));
  }

  messageField(field: number, write: (writer: ProtobufWriter) => void): void {
    const inner = new ProtobufWriter();
    write(inner);
    this.bytesField(field, inner.bytes());
  }

  /** Already encoded fields, as they are. */
  append(...chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.#raw(chunk);
  }

  #varint(value: bigint): void {
    this.#reserve(10);
    let rest = value;
    while (rest >= 0x80n) {
      this.#buffer[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#buffer[this.#length++] = Number(rest);
  }

  #raw(value: Uint8Array): void {
    this.#reserve(value.byteLength);
    this.#buffer.set(value, this.#length);
    this.#length += value.byteLength;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#buffer.byteLength) return;
    const grown = new Uint8Array(Math.max(this.#buffer.byteLength * 2, this.#length + count));
    grown.set(this.bytes());
    this.#buffer = grown;
  }
}
