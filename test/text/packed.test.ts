// The packed vocabulary: what was packed comes back, and a damaged file is an error.
import { readFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { pack } from "../../scripts/vocabulary/pack.ts";
import { RwkvError } from "../../src/errors.ts";
import { unpackVocabulary } from "../../src/text/packed.ts";
import type { Vocabulary } from "../../src/types.ts";

const shipped = new Uint8Array(readFileSync("weights/world.vocab"));

const vocabularyOf = (tokens: readonly Uint8Array[]): Vocabulary => ({
  kind: "world",
  tokens: [new Uint8Array(0), ...tokens],
  bos: 0,
  eos: [0],
});
const small = pack(
  vocabularyOf([Uint8Array.of(97), Uint8Array.of(98), Uint8Array.of(97, 97), Uint8Array.of(97, 99, 1)]),
);

async function refuses(packed: Uint8Array<ArrayBuffer>, message: RegExp): Promise<void> {
  const error = await unpackVocabulary(packed, "w.vocab").then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.instance(error, RwkvError);
  assert.is((error as RwkvError).code, "weights");
  assert.match((error as RwkvError).message, /^w\.vocab: /);
  assert.match((error as RwkvError).message, message);
}

/** A packed file made by hand, not by `pack`. */
function packedOf(count: number, shared: number[], added: number[], suffixes: number[]): Uint8Array<ArrayBuffer> {
  const header = [0x52, 0x56, 0x4f, 0x43, count & 255, (count >> 8) & 255, (count >> 16) & 255, count >>> 24];
  return new Uint8Array(gzipSync(Uint8Array.from([...header, ...shared, ...added, ...suffixes])));
}

test("what was packed comes back", async () => {
  const byte = fc.oneof(fc.constantFrom(0, 1, 255), fc.nat(255));
  const token = fc.array(byte, { minLength: 1, maxLength: 12 });
  const tokens = fc.uniqueArray(token, { minLength: 1, maxLength: 60, selector: (values) => values.join() });
  await fc.assert(
    fc.asyncProperty(tokens, async (values) => {
      const vocabulary = vocabularyOf(
        values.map((bytes) => Uint8Array.from(bytes)).sort((a, b) => a.length - b.length || Buffer.compare(a, b)),
      );
      assert.equal(await unpackVocabulary(pack(vocabulary)), vocabulary);
    }),
  );
});

test("only a vocabulary in World's order can be packed", () => {
  const refused = (...tokens: number[][]) =>
    assert.throws(() => pack(vocabularyOf(tokens.map((bytes) => Uint8Array.from(bytes)))));
  refused([2], [1]);
  refused([1, 1], [2]);
  refused([1], [1]);
  refused([1], []);
  refused(new Array(256).fill(1));
});

test("no change and no missing byte gives other tokens", async () => {
  const whole = await unpackVocabulary(small);
  let errors = 0;
  for (let bit = 0; bit < 8 * small.length; bit++) {
    const damaged = small.slice();
    damaged[bit >> 3] ^= 1 << (bit & 7);
    try {
      // gzip has bits without meaning: the time of writing, the padding of the last byte.
      assert.equal(await unpackVocabulary(damaged), whole);
    } catch (error) {
      assert.is((error as RwkvError).code, "weights");
      errors++;
    }
  }
  assert.ok(errors > 4 * small.length);
  for (let length = 0; length < small.length; length++) await refuses(small.slice(0, length), /damaged|not a packed/);
  await refuses(shipped.slice(0, 50_000), /damaged/);
  const damaged = shipped.slice();
  damaged[70_000] ^= 1;
  await refuses(damaged, /damaged/);
});

test("other files are refused", async () => {
  await refuses(new TextEncoder().encode("1 'a' 1\n"), /not compressed with gzip/);
  await refuses(new Uint8Array(gzipSync("")), /not a packed vocabulary/);
  await refuses(new Uint8Array(gzipSync("something else, compressed")), /not a packed vocabulary/);
});

test("contents that contradict themselves are refused though the checksum is right", async () => {
  assert.is((await unpackVocabulary(packedOf(2, [0, 0], [1, 1], [1, 2]))).tokens.length, 3);
  await refuses(packedOf(0, [], [], []), /0 tokens do not fit/);
  await refuses(packedOf(3, [0, 0], [1, 1], [1]), /3 tokens do not fit/);
  await refuses(packedOf(0xffffffff, [0, 0], [1, 1], [1, 2]), /4294967295 tokens do not fit/);
  await refuses(packedOf(1, [1], [1], [1]), /token 0 .* does not follow/);
  await refuses(packedOf(2, [0, 2], [1, 1], [1, 2]), /token 1 .* does not follow/);
  await refuses(packedOf(2, [0, 1], [1, 0], [1]), /token 1 .* does not follow/);
  await refuses(packedOf(2, [0, 0], [1, 1], [1, 2, 3]), /take 2 bytes, but there are 3/);
  await refuses(packedOf(2, [0, 0], [1, 2], [1, 2]), /take 3 bytes, but there are 2/);
  await refuses(packedOf(2, [0, 0], [1, 1], [2, 1]), /token 1 .* out of order/);
  await refuses(packedOf(2, [0, 0], [1, 1], [1, 1]), /token 1 .* out of order/);
});

test("a file that unpacks to far too much is stopped", async () => {
  const bomb = Buffer.concat([gunzipSync(small), Buffer.alloc(64 << 20)]);
  await refuses(new Uint8Array(gzipSync(bomb)), /unpacks to more than/);
});

test.run();
