/** Small pieces of files, as the writers of the tests put them together. They run in every runtime. */

/** The parts, one after the other. */
export function joined(...parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export const u32 = (n: number): number[] => [0, 8, 16, 24].map((shift) => (n >>> shift) & 255);
export const u64 = (n: number | bigint): number[] => {
  const big = BigInt.asUintN(64, BigInt(n));
  return [...u32(Number(big & 0xffffffffn)), ...u32(Number(big >> 32n))];
};
export const text = (s: string): number[] => {
  const bytes = [...new TextEncoder().encode(s)];
  return [...u64(bytes.length), ...bytes];
};
