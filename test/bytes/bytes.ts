// Bytes to test with, in any runtime.
import * as assert from "uvu/assert";

/** Like `assert.equal`, whose report of megabytes takes minutes. */
export function same(actual: Uint8Array, expected: Uint8Array, what = "bytes"): void {
  assert.is(actual.length, expected.length, `length of ${what}`);
  const wrong = actual.findIndex((byte, i) => byte !== expected[i]);
  if (wrong >= 0) assert.unreachable(`${what} differ at ${wrong}`);
}

/** Bytes that differ from place to place, even between offsets that differ by a power of two. */
export function someBytes(length: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = 1;
  for (let i = 0; i < words.length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    words[i] = x ^ (x >>> 15);
  }
  return new Uint8Array(words.buffer).subarray(0, length);
}
