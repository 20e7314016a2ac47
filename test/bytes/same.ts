import * as assert from "uvu/assert";

/** Like `assert.equal`, whose report of megabytes takes minutes. */
export function same(actual: Uint8Array, expected: Uint8Array, what = "bytes"): void {
  assert.is(actual.length, expected.length, `length of ${what}`);
  const wrong = actual.findIndex((byte, i) => byte !== expected[i]);
  if (wrong >= 0) assert.unreachable(`${what} differ at ${wrong}`);
}
