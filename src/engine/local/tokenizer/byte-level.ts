/**
 * @file The 256 printable characters that stand for bytes in byte-level vocabularies, and back.
 * Source: GPT-2's encoder (Radford et al., 2019): printable Latin-1 stands for itself, the rest for U+0100 upwards.
 */

const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

/** [256] the character of each byte. */
export const byteCharacters: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
})();

const bytes = new Map(byteCharacters.map((character, byte) => [character, byte]));

/** The bytes that a byte-level token spells; `undefined` when one of its characters stands for no byte. */
export function bytesOfByteLevelToken(token: string): Uint8Array | undefined {
  const result = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = bytes.get(token[i]!);
    if (byte === undefined) return undefined;
    result[i] = byte;
  }
  return result;
}
