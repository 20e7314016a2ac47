// Which bytes are characters: as the runtime's own decoder says, for all beginnings that there are.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { characterLength, textOf } from "../../src/text/utf8.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The length of the first character by trying: the shortest beginning that decodes. */
function byTrying(bytes: Uint8Array): number {
  for (let length = 1; length <= Math.min(4, bytes.length); length++) {
    try {
      strict.decode(bytes.subarray(0, length));
      return length;
    } catch {
      // Not complete, or not UTF-8.
    }
  }
  return 0;
}

test("every pair of first bytes, followed by bytes of all kinds", () => {
  for (let first = 0; first < 256; first++)
    for (let second = 0; second < 256; second++)
      for (const rest of [[], [0x80], [0xbf, 0x80], [0x80, 0xc0], [0x41, 0x80], [0xc2, 0xa0]]) {
        const bytes = Uint8Array.of(first, second, ...rest);
        if (characterLength(bytes, 0) !== byTrying(bytes)) assert.unreachable(`the bytes ${bytes}`);
      }
});

test("in the middle, and cut off at the end", () => {
  const bytes = new TextEncoder().encode("a\u00e9\u20ac\u{1f642}");
  assert.equal(
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((at) => characterLength(bytes, at)),
    [1, 2, 0, 3, 0, 0, 4, 0, 0, 0],
  );
  for (let end = 7; end < 10; end++) assert.is(characterLength(bytes.subarray(0, end), 6), 0);
});

test("text of parts, wherever they are cut", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 20 }), fc.array(fc.nat(5)), (text, lengths) => {
      const bytes = new TextEncoder().encode(text);
      const parts: Uint8Array[] = [];
      let at = 0;
      for (const length of lengths) {
        parts.push(bytes.subarray(at, at + length));
        at += length;
      }
      assert.is(textOf([...parts, bytes.subarray(at)]), text);
    }),
  );
  assert.is(textOf([]), "");
  assert.is(textOf([Uint8Array.of(0xef, 0xbb), Uint8Array.of(0xbf, 0xff)]), "\ufeff\ufffd");
});

test.run();
