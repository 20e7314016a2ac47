// Text that arrives in pieces is the text that would have arrived at once.
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { TextStream } from "../../src/text/stream.ts";
import { runs } from "../runs.ts";

/** UTF-8 decoding as the Encoding Standard writes it down: one U+FFFD for each maximal part of a character. */
function decode(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at++];
    const more = lead < 0x80 ? 0 : lead < 0xc2 ? -1 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : -1;
    let point = more === 0 ? lead : lead & (0x3f >> more);
    let low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
    let high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
    let missing = more;
    while (missing > 0 && at < bytes.length && bytes[at] >= low && bytes[at] <= high) {
      point = (point << 6) | (bytes[at++] & 0x3f);
      low = 0x80;
      high = 0xbf;
      missing--;
    }
    text += missing === 0 ? String.fromCodePoint(point) : "\ufffd";
  }
  return text;
}

// Bytes at the edges of the rules are drawn often.
const edges = [
  0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbb, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf4, 0xf5,
];
const bytesWithEdges = fc
  .array(fc.oneof(fc.constantFrom(...edges), fc.nat(255)), { maxLength: 24 })
  .map((values) => Uint8Array.from(values));

function inPieces(stream: TextStream, bytes: Uint8Array, lengths: readonly number[]): string {
  let text = "";
  let at = 0;
  for (const length of lengths) {
    text += stream.push(bytes.subarray(at, at + length));
    at += length;
  }
  return text + stream.push(bytes.subarray(at)) + stream.flush();
}

test("pieces joined are the whole, whatever the bytes and the cuts", () => {
  const stream = new TextStream();
  fc.assert(
    fc.property(bytesWithEdges, fc.array(fc.nat(4), { maxLength: 12 }), (bytes, lengths) => {
      assert.is(inPieces(stream, bytes, lengths), decode(bytes));
    }),
    { numRuns: 2000 },
  );
});

test("a piece never ends inside a character", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 12 }), (text) => {
      const stream = new TextStream();
      let sofar = "";
      for (const byte of new TextEncoder().encode(text)) {
        sofar += stream.push(Uint8Array.of(byte));
        assert.ok(text.startsWith(sofar));
        assert.not.match(sofar, /\p{Surrogate}/u);
      }
      assert.is(sofar, text);
      assert.is(stream.flush(), "");
    }),
  );
});

test("a character waits for its last byte", () => {
  const stream = new TextStream();
  const pieces = [[0x61, 0xf0], [0x9f, 0x99], [], [0x82, 0x62]].map((bytes) => stream.push(Uint8Array.from(bytes)));
  assert.equal(pieces, ["a", "", "", "\u{1f642}b"]);
});

test("an unfinished character is one U+FFFD, and the stream starts afresh", () => {
  const stream = new TextStream();
  assert.is(stream.push(Uint8Array.of(0xf0, 0x9f, 0x99)), "");
  assert.is(stream.flush(), "\ufffd");
  assert.is(stream.flush(), "");
  assert.is(stream.push(Uint8Array.of(0x82, 0x61)), "\ufffda");
});

test("a byte order mark is kept, at the start and after a flush", () => {
  const stream = new TextStream();
  for (let i = 0; i < 2; i++) {
    assert.is(stream.push(Uint8Array.of(0xef, 0xbb)), "");
    assert.is(stream.push(Uint8Array.of(0xbf, 0x61)), "\ufeffa");
    assert.is(stream.flush(), "");
  }
});

test("unfinished is true whenever a flush would give something", () => {
  fc.assert(
    fc.property(bytesWithEdges, fc.array(fc.nat(4)), (bytes, lengths) => {
      const stream = new TextStream();
      let at = 0;
      for (const length of [...lengths, bytes.length]) {
        stream.push(bytes.subarray(at, at + length));
        at = Math.min(bytes.length, at + length);
        const copy = new TextStream();
        copy.push(bytes.subarray(0, at));
        if (copy.flush() !== "") assert.ok(stream.unfinished);
      }
    }),
    { numRuns: runs(500) },
  );
});

test.run();
