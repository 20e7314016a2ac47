// The World tokenizer against the official one's results, and against a search by brute force.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RwkvError } from "../../src/errors.ts";
import { unpackVocabulary } from "../../src/text/packed.ts";
import { byteVocabulary, parseVocabulary } from "../../src/text/vocab.ts";
import { WorldTokenizer } from "../../src/text/world.ts";
import type { Vocabulary } from "../../src/types.ts";

const official = JSON.parse(readFileSync("test/fixtures/world.json", "utf8")) as {
  tokens: number;
  sha256: string;
  cases: { text: string; ids: number[] }[];
};
const vocabulary = await unpackVocabulary(new Uint8Array(readFileSync("weights/world.vocab")));
const world = new WorldTokenizer(vocabulary, 65536);
const stories = new WorldTokenizer(parseVocabulary(readFileSync("test/fixtures/stories-7m.vocab.txt")));

const failsAs = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof RwkvError && error.code === code && message.test(error.message);

test("the shipped vocabulary is the official one, token for token", () => {
  const hash = createHash("sha256");
  for (const token of vocabulary.tokens.slice(1)) hash.update(Uint8Array.of(token.length)).update(token);
  assert.is(hash.digest("hex"), official.sha256);
  assert.is(vocabulary.tokens.length, official.tokens + 1);
  assert.is(vocabulary.tokens[0].length, 0);
});

for (const { text, ids } of official.cases) {
  test(`encodes as the official tokenizer: ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.equal([...world.encode(text)], ids);
    assert.equal([...world.encode(new TextEncoder().encode(text))], ids);
    assert.is(world.decode(ids), text);
  });
}

test("the small model's vocabulary gives its prompts' known tokens", () => {
  assert.equal([...stories.encode("Once upon a time")], [512, 476, 259, 424]);
  assert.equal(
    [...stories.encode("Tom and Lily went to the park. They saw a big")],
    [1068, 268, 496, 461, 270, 261, 718, 47, 366, 435, 259, 411],
  );
  assert.equal([...stories.encode("The little robot was sad because")], [400, 408, 3940, 291, 650, 814]);
  assert.equal(
    [...stories.encode("One day, a small dog named Max found a")],
    [448, 364, 45, 259, 713, 610, 508, 742, 580, 259],
  );
});

test("size, beginning and end come from the vocabulary and the model", () => {
  assert.is(world.kind, "world");
  assert.is(world.size, 65536);
  assert.is(world.bos, 0);
  assert.equal(world.eos, [0]);
  assert.is(stories.size, 4096);
});

test("any bytes survive the round trip", () => {
  for (const tokenizer of [world, stories, new WorldTokenizer(byteVocabulary(300))])
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const ids = tokenizer.encode(bytes);
        assert.equal(Buffer.concat([...ids].map((id) => tokenizer.bytes(id))), Buffer.from(bytes));
      }),
    );
});

test("any text survives the round trip", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 100 }), (text) => {
      assert.is(world.decode(world.encode(text)), text);
    }),
  );
});

/** At each position the longest token that matches; of equal tokens the last. */
function bruteForce(tokens: readonly Uint8Array[], bytes: Uint8Array): number[] | undefined {
  const ids: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    let best = -1;
    tokens.forEach((token, id) => {
      const matches = token.length > 0 && token.every((byte, i) => bytes[at + i] === byte);
      if (matches && (best < 0 || token.length >= tokens[best].length)) best = id;
    });
    if (best < 0) return undefined;
    ids.push(best);
    at += tokens[best].length;
  }
  return ids;
}

test("agrees with brute force on random vocabularies and bytes", () => {
  // Few different bytes, so that tokens share beginnings; many of one length, so that both ways of sorting are used.
  const bytes = (maxLength: number) =>
    fc.array(fc.constantFrom(0, 1, 2, 127, 128, 255), { maxLength }).map((values) => Uint8Array.from(values));
  const random = fc.tuple(fc.array(bytes(5), { maxLength: 80 }), bytes(40), fc.boolean());
  fc.assert(
    fc.property(random, ([some, text, complete]) => {
      const tokens = complete ? [...some, ...byteVocabulary(256).tokens] : some;
      const tokenizer = new WorldTokenizer({ kind: "world", tokens, eos: [] });
      const expected = bruteForce(tokens, text);
      if (expected) assert.equal([...tokenizer.encode(text)], expected);
      else assert.throws(() => tokenizer.encode(text), failsAs("input", /no token for the byte 0x/));
    }),
    { numRuns: 500 },
  );
});

test("agrees with brute force on the World vocabulary: random bytes, and its own tokens in random order", () => {
  // All tokens by their bytes; from each position every length is tried, the longest first.
  const key = (bytes: Uint8Array) => String.fromCharCode(...bytes);
  const ids = new Map(vocabulary.tokens.map((token, id) => [key(token), id]));
  const longest = Math.max(...vocabulary.tokens.map((token) => token.length));
  const expected = (bytes: Uint8Array): number[] => {
    const found: number[] = [];
    for (let at = 0; at < bytes.length; ) {
      let length = Math.min(longest, bytes.length - at);
      while (!ids.has(key(bytes.subarray(at, at + length)))) length--;
      found.push(ids.get(key(bytes.subarray(at, at + length)))!);
      at += length;
    }
    return found;
  };
  const token = fc.integer({ min: 1, max: 65529 }).map((id) => [...vocabulary.tokens[id]]);
  const cut = fc.tuple(token, fc.nat(8)).map(([bytes, end]) => bytes.slice(0, bytes.length - end));
  const text = fc.array(fc.oneof(token, cut, fc.array(fc.nat(255), { maxLength: 4 })), { maxLength: 40 });
  fc.assert(
    fc.property(text, (parts) => {
      const bytes = Uint8Array.from(parts.flat());
      assert.equal([...world.encode(bytes)], expected(bytes));
    }),
    { numRuns: 300 },
  );
});

test("the World vocabulary's trie takes about a megabyte", () => {
  const { first, label, token, nodes } = world.trie;
  assert.is(nodes, 116_079);
  for (const array of [first, label, token]) assert.is(array.buffer.byteLength, array.byteLength);
  assert.is(first.byteLength + label.byteLength + token.byteLength, 9 * nodes + 4);
});

test("every node of the trie is reached by its bytes, and every token has its node", () => {
  const { trie } = stories;
  let tokens = 0;
  const visit = (node: number, path: number[]): void => {
    let at = 0;
    for (const byte of path) at = trie.child(at, byte);
    assert.is(at, node);
    if (trie.token[node] >= 0) {
      tokens++;
      assert.equal([...stories.bytes(trie.token[node])], path);
    }
    for (let child = trie.first[node]; child < trie.first[node + 1]; child++)
      visit(child, [...path, trie.label[child]]);
  };
  visit(0, []);
  assert.is(tokens, 4095);
  assert.is(trie.child(0, 256), -1);
});

test("a byte without a token is named with its position", () => {
  const tokenizer = new WorldTokenizer(byteVocabulary(128));
  assert.equal([...tokenizer.encode("plain")], [112, 108, 97, 105, 110]);
  assert.throws(() => tokenizer.encode("caf\u00e9"), failsAs("input", /0xc3 at byte 3/));
});

test("half a surrogate pair is refused with its position", () => {
  assert.throws(() => world.encode("ab\ud83d"), failsAs("input", /U\+D83D.* position 2/));
  assert.throws(() => world.encode("\u{1f642}\ude42x"), failsAs("input", /U\+DE42.* position 2/));
  assert.equal(world.decode(world.encode("\u{1f642}")), "\u{1f642}");
});

test("what is neither string nor bytes is refused", () => {
  for (const wrong of [undefined, null, 5, ["a"], new ArrayBuffer(2)])
    assert.throws(() => world.encode(wrong as unknown as string), failsAs("input", /only a string or a Uint8Array/));
});

test("ids out of range are refused, ids without bytes decode to nothing", () => {
  for (const id of [-1, 65536, 1.5, Number.NaN, Number.POSITIVE_INFINITY, "3" as unknown as number]) {
    assert.throws(() => world.bytes(id), failsAs("input", /out of range/));
    assert.throws(() => world.decode([33, id]), failsAs("input", /out of range/));
  }
  assert.is(world.decode([0, 65530, 65535]), "");
  assert.is(world.decode([]), "");
});

test("decoding replaces bad UTF-8 and keeps a byte order mark", () => {
  const bytes = new WorldTokenizer(byteVocabulary(256));
  assert.is(bytes.kind, "bytes");
  assert.is(bytes.decode([0xef, 0xbb, 0xbf, 0x61, 0xe2, 0x82, 0x62, 0xff]), "\ufeffa\ufffdb\ufffd");
});

test("a vocabulary that is larger than the model's table is refused", () => {
  assert.throws(() => new WorldTokenizer(vocabulary, 4096), failsAs("input", /another model/));
});

test("tokens over the limit are refused", () => {
  const tokens = (...lengths: number[]): Vocabulary => ({
    kind: "world",
    tokens: lengths.map((length) => new Uint8Array(length)),
    eos: [],
  });
  assert.is(new WorldTokenizer(tokens(1024, 1)).encode(new Uint8Array(2049)).length, 3);
  assert.throws(() => new WorldTokenizer(tokens(1, 1025)), failsAs("unsupported", /token 1 is 1025 bytes/));
});

test.run();
